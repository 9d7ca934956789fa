"""What isolated runs of a project noted for later ones: images, and how busy workers were.

One file per project has a line of JSON for each fact. Any process of a run may add lines, also one
of a world that is about to be killed.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from dockwright._files import write_file
from dockwright.isolate.inside.busy import Busy
from dockwright.untrusted import json_value, read_plain

_LIMIT_BYTES, _LONG_BYTES = 1 << 22, 1 << 16
_KEPT_S = 90 * 86_400
_MOST_LINES = 100


@dataclass(frozen=True, slots=True)
class Notes:
    """What is known from earlier runs.

    Attributes:
        images: names or ids of images that tests used or missed, the latest first.
        busy: how busy the workers of the last run were; None: not known.
        files_s: how long the tests of each long file took in the last run, in seconds.
    """

    images: tuple[str, ...] = ()
    busy: Busy | None = None
    files_s: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def read(cls, file: Path) -> Notes:
        """Read a project's file; what cannot be read is not known. A long file is shortened."""
        try:
            content = read_plain(file, limit_bytes=_LIMIT_BYTES)
        except (OSError, ValueError):
            return cls()
        lines = _latest(_facts(content.splitlines()))
        if len(content) > _LONG_BYTES:
            with suppress(OSError):  # it is long, and nothing else
                write_file(file, "".join(f"{json.dumps(each)}\n" for each in lines).encode())
        images = (str(each["image"]) for each in reversed(lines) if "image" in each)
        return cls(tuple(images), _last_busy(lines), _last_files(lines))


def _last_busy(lines: Iterable[dict[str, object]]) -> Busy | None:
    found = None
    for each in lines:
        with suppress(TypeError, ValueError):  # written by another version
            found = Busy.from_facts(each["busy"]) if "busy" in each else found
    return found


def _last_files(lines: Iterable[dict[str, object]]) -> dict[str, float]:
    found = [each["files_s"] for each in lines if isinstance(each.get("files_s"), dict)]
    last = found[-1] if found else {}
    assert isinstance(last, dict)
    return {str(file): took for file, took in last.items() if isinstance(took, (int, float))}


def _facts(lines: Iterable[bytes]) -> Iterator[dict[str, object]]:
    oldest = time.time() - _KEPT_S
    for line in lines:
        with suppress(ValueError, TypeError):  # a line of another version, or half of one
            facts = json_value(line)
            if isinstance(facts, dict) and float(facts.get("at") or 0) > oldest:
                yield facts


def _latest(lines: Iterable[dict[str, object]]) -> list[dict[str, object]]:
    """Return the latest line about each image, about workers and files, in their order."""
    latest: dict[str, dict[str, object]] = {}
    for each in lines:
        about = str(each.get("image") or sorted(each))
        latest.pop(about, None)
        latest[about] = each
    return list(latest.values())[-_MOST_LINES:]
