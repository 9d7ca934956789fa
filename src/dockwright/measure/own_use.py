"""What this process used until now; light, for every process that runs tests tells it."""

from __future__ import annotations

import resource
import sys
from contextlib import suppress
from pathlib import Path


def own_use() -> dict[str, int | float | None]:
    """Return it by the names that `WorkerRecord` has for it."""
    mine = resource.getrusage(resource.RUSAGE_SELF)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    storage = _storage()
    unit = 1 if sys.platform == "darwin" else 1024  # getrusage(2): kilobytes, on macOS bytes
    return {
        "cpu_s": mine.ru_utime + mine.ru_stime,
        "children_cpu_s": children.ru_utime + children.ru_stime,
        "peak_memory_bytes": mine.ru_maxrss * unit,
        "read_bytes": storage.get("read_bytes"),
        "written_bytes": storage.get("write_bytes"),
    }


def _storage() -> dict[str, int]:
    with suppress(OSError, ValueError):  # only Linux tells
        lines = Path("/proc/self/io").read_text().splitlines()
        return {name: int(value) for name, value in (line.split(": ") for line in lines)}
    return {}
