"""How much of the machine a container or process has used until now, read where it is cheapest.

A container on this host: its control group's files, version 1 or 2, some 0.1 ms. Elsewhere: one
sample of the engine, without its wait for a second one.

Source of the files: the kernel's admin-guide, cgroup-v1 (cpuacct, memory, blkio) and cgroup-v2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import psutil

from dockwright.engine import Engine

_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Reading:
    """What was used until now; None: unknown. See `Sample`."""

    cpu_s: float | None = None
    memory_bytes: int | None = None
    read_bytes: int | None = None
    written_bytes: int | None = None
    received_bytes: int | None = None
    sent_bytes: int | None = None
    log_bytes: int | None = None


class GoneError(Exception):
    """The container or process has ended."""


Gauge: TypeAlias = Callable[[], Reading]
"""Reads once; raises `GoneError` when there is nothing to read any more."""


def container_gauge(engine: Engine, container: str) -> Gauge:
    """Return what reads a running container.

    Raises:
        EngineError: the engine does not know it.
        GoneError: it does not run.
    """
    found = engine.inspect_container(container)
    pid = int(found.get("State", {}).get("Pid") or 0)
    if not pid:
        raise GoneError
    groups = _groups(pid, str(found.get("Id", container))) if engine.endpoint.is_local else {}
    log = Path(found.get("LogPath") or "/nowhere")
    if "memory" in groups:
        return ControlGroups(groups, pid, log).read
    return lambda: _from_engine(engine.stats(container))


@cache
def _mounts() -> Mapping[str, Path]:
    """Return where each controller of version 1 is mounted, and version 2 as an empty name."""
    found: dict[str, Path] = {}
    with suppress(OSError):
        for line in (_PROC / "self/mounts").read_text().splitlines():
            _, where, kind, options, *_ = line.split()
            if kind == "cgroup":
                found |= {name: Path(where) for name in options.split(",")}
            elif kind == "cgroup2":
                found[""] = Path(where)
    return found


def _groups(pid: int, container: str) -> dict[str, Path]:
    """Return the directories of a container's control groups, by controller.

    Empty where they cannot be read, or where the pid is that of another machine's process.
    """
    found: dict[str, Path] = {}
    with suppress(OSError):
        for line in (_PROC / str(pid) / "cgroup").read_text().splitlines():
            _, names, path = line.split(":", 2)
            for name in names.split(","):
                directory = _mounts().get(name, Path("/nowhere")) / path.lstrip("/")
                if container in path and directory.is_dir():
                    found[name] = directory
    unified = found.get("")
    if unified is not None and (unified / "memory.current").exists():
        found |= {"memory": unified}
    return found


class ControlGroups:
    """Reads the control groups of one container.

    Args:
        groups: their directories by controller; the unified one under an empty name.
        pid: the container's first process, whose network is the container's.
        log: the file to which the engine writes the container's output.
    """

    def __init__(self, groups: Mapping[str, Path], pid: int, log: Path) -> None:
        self._groups = groups
        self._net = _PROC / str(pid) / "net/dev"
        self._log = log
        self._unified = groups.get("") == groups["memory"]

    def read(self) -> Reading:
        """Read it now."""
        if not self._groups["memory"].is_dir():
            raise GoneError
        read, written = self._storage()
        received, sent = self._network()
        return Reading(
            self._cpu_s(), self._memory(), read, written, received, sent, self._log_bytes()
        )

    def _cpu_s(self) -> float | None:
        if self._unified:
            used = _numbers(self._groups["memory"] / "cpu.stat").get("usage_usec")
            return None if used is None else used / 1e6
        used = _number(self._groups.get("cpuacct", Path("/nowhere")) / "cpuacct.usage")
        return None if used is None else used / 1e9

    def _memory(self) -> int | None:
        group = self._groups["memory"]
        used = _number(group / ("memory.current" if self._unified else "memory.usage_in_bytes"))
        key = "inactive_file" if self._unified else "total_inactive_file"
        cache_bytes = _numbers(group / "memory.stat").get(key, 0)
        return None if used is None else max(0, used - cache_bytes)

    def _storage(self) -> tuple[int | None, int | None]:
        if self._unified:
            return _io_stat(_text(self._groups["memory"] / "io.stat"))
        group = self._groups.get("blkio", Path("/nowhere"))
        return _service_bytes(_text(group / "blkio.throttle.io_service_bytes"))

    def _network(self) -> tuple[int | None, int | None]:
        text = _text(self._net)
        if text is None:  # it belongs to another user, or the process has just ended
            return None, None
        lines = [line.partition(":") for line in text.splitlines()[2:]]
        used = [rest.split() for name, _, rest in lines if name.strip() != "lo"]
        return sum(int(each[0]) for each in used), sum(int(each[8]) for each in used)

    def _log_bytes(self) -> int | None:
        with suppress(OSError):  # needs root, and not every engine has a file
            return self._log.stat().st_size
        return None


def _text(file: Path) -> str | None:
    with suppress(OSError):
        return file.read_text()
    return None


def _number(file: Path) -> int | None:
    text = (_text(file) or "").strip()
    return int(text) if text.isdigit() else None


def _numbers(file: Path) -> dict[str, int]:
    """Return the numbers of a file of ``name value`` lines."""
    pairs = (line.split() for line in (_text(file) or "").splitlines())
    return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2 and pair[1].isdigit()}


def _io_stat(text: str | None) -> tuple[int | None, int | None]:
    if text is None:
        return None, None
    words = [word.partition("=") for word in text.split()]
    return (
        sum(int(value) for name, _, value in words if name == "rbytes"),
        sum(int(value) for name, _, value in words if name == "wbytes"),
    )


def _service_bytes(text: str | None) -> tuple[int | None, int | None]:
    if text is None:
        return None, None
    rows = [line.split() for line in text.splitlines()]
    return (
        sum(int(row[2]) for row in rows if len(row) == 3 and row[1] == "Read"),
        sum(int(row[2]) for row in rows if len(row) == 3 and row[1] == "Write"),
    )


def _from_engine(stats: Mapping[str, Any]) -> Reading:
    """Return the values of the Engine API's *ContainerStats*; they are empty once it has ended."""
    memory: Mapping[str, Any] = stats.get("memory_stats") or {}
    if not memory.get("usage"):
        raise GoneError
    cached = (memory.get("stats") or {}).get("inactive_file", 0)
    usage = ((stats.get("cpu_stats") or {}).get("cpu_usage") or {}).get("total_usage")
    storage = (stats.get("blkio_stats") or {}).get("io_service_bytes_recursive") or []
    networks = (stats.get("networks") or {}).values()
    return Reading(
        cpu_s=None if usage is None else usage / 1e9,
        memory_bytes=max(0, int(memory["usage"]) - int(cached)),
        read_bytes=_of_operation(storage, "read"),
        written_bytes=_of_operation(storage, "write"),
        received_bytes=sum(int(each.get("rx_bytes", 0)) for each in networks),
        sent_bytes=sum(int(each.get("tx_bytes", 0)) for each in networks),
    )


def _of_operation(storage: list[Mapping[str, Any]], name: str) -> int:
    return sum(int(each["value"]) for each in storage if str(each.get("op")).lower() == name)


def process_gauge(pid: int) -> Gauge:
    """Return what reads a process of this machine with its children.

    Raises:
        GoneError: it has ended.
    """
    try:
        process = psutil.Process(pid)
    except psutil.Error as exc:
        raise GoneError from exc

    def read() -> Reading:
        try:
            with process.oneshot():
                return _of_process(process)
        except psutil.Error as exc:
            raise GoneError from exc

    return read


def _of_process(process: psutil.Process) -> Reading:
    times = process.cpu_times()
    cpu_s = times.user + times.system + times.children_user + times.children_system
    memory_bytes = process.memory_info().rss
    read, written = _storage_of(process)
    for child in _children(process.pid):
        with suppress(psutil.Error):  # it has just ended
            each = child.cpu_times()
            cpu_s += each.user + each.system + each.children_user + each.children_system
            memory_bytes += child.memory_info().rss
    return Reading(cpu_s, memory_bytes, read, written)


def _storage_of(process: psutil.Process) -> tuple[int | None, int | None]:
    """Return the bytes that a process itself read from and wrote to storage."""
    if not hasattr(process, "io_counters"):  # not on macOS
        return None, None
    with suppress(psutil.Error, OSError, NotImplementedError):
        counters = process.io_counters()
        return counters.read_bytes, counters.write_bytes
    return None, None


def _children(pid: int) -> Iterator[psutil.Process]:
    """Return all descendants; psutil would look at every process of the machine."""
    for tasks in (_PROC / str(pid) / "task").glob("*/children"):
        for child in (_text(tasks) or "").split():
            with suppress(psutil.Error):
                yield psutil.Process(int(child))
            yield from _children(int(child))
