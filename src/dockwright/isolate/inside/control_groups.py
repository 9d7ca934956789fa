"""The control groups of a world: one directory in each hierarchy, below the group we are in.

A world is a namespace of control groups too: inside, its own group is the root, and groups outside
cannot be seen or killed. Both versions of control groups are supported, also side by side.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from dockwright.isolate.inside import kernel, users

_UNIFIED = "cgroup2"
_INHERITED = ("cpuset.cpus", "cpuset.mems")
_LEAF = "world"
_END_S = 10.0
_PAUSE_S = 0.01


@dataclass(frozen=True)
class Hierarchy:
    """One mounted hierarchy of control groups.

    Attributes:
        mounted: where.
        kind: the type of its file system: ``cgroup`` or ``cgroup2``.
        options: what selects it when it is mounted again.
        current: the directory of the group that this process is in.
    """

    mounted: Path
    kind: str
    options: str
    current: Path


def hierarchies() -> list[Hierarchy]:
    """Return the hierarchies that are mounted on this machine."""
    paths = _own_paths()
    found = (_parsed(line, paths) for line in _lines("/proc/self/mountinfo"))
    by_place = {each.mounted: each for each in found if each is not None}  # the last one is on top
    return list(by_place.values())


def _own_paths() -> dict[frozenset[str], str]:
    """Return the path of this process's group by the controllers of its hierarchy."""
    parts = (line.split(":", 2) for line in _lines("/proc/self/cgroup"))
    return {frozenset(filter(None, names.split(","))): path for _, names, path in parts}


def _parsed(line: str, paths: dict[frozenset[str], str]) -> Hierarchy | None:
    before, _, after = line.partition(" - ")
    root, mounted = before.split()[3:5]
    kind, _, options = after.split()[:3]
    if kind not in ("cgroup", _UNIFIED):
        return None
    offered = frozenset(options.split(",")) if kind == "cgroup" else frozenset()
    names = next((each for each in paths if each <= offered and bool(each) == bool(offered)), None)
    if names is None:
        return None
    below = os.path.relpath(paths[names], root)
    if below.startswith(".."):
        return None  # not below what is mounted here
    named = any(name.startswith("name=") for name in names)
    wanted = ",".join((["none"] if named else []) + sorted(names))
    return Hierarchy(Path(mounted), kind, wanted, Path(mounted, below))


def places(name: str) -> list[Path]:
    """Return where the group `name` of a world belongs, in each hierarchy.

    Nowhere without the machine's root: its administrator gives groups to nobody else, as a rule.
    """
    return [] if users.is_rootless() else [_parent(each) / name for each in hierarchies()]


def create(groups: Iterable[Path]) -> list[Path]:
    """Make the groups, and return those that this machine allows."""
    made = []
    for group in groups:
        with suppress(OSError):
            group.mkdir(exist_ok=True)
            for name in _INHERITED:  # version 1 leaves them empty
                if (value := _read(group.parent / name)) and not _read(group / name):
                    (group / name).write_text(value)
            made.append(group)
    return made


def _parent(hierarchy: Hierarchy) -> Path:
    """Return the group to make ours in: with version 2, one whose children have controllers."""
    here = hierarchy.current
    if hierarchy.kind == _UNIFIED:
        for group in (here, *here.parents):
            if _read(group / "cgroup.subtree_control"):
                return group
            if group == hierarchy.mounted:
                break
    return here


def enter(groups: Collection[Path]) -> None:
    """Move this process into a world's groups, and make them the roots that it sees.

    Raises:
        OSError: this machine does not allow it.
    """
    if not groups:
        return
    mounts = hierarchies()
    for group in groups:
        (group / "cgroup.procs").write_text("0")
    kernel.unshare(kernel.NEW_CGROUPS)
    for each in mounts:
        options = "" if each.kind == _UNIFIED else each.options
        kernel.unmount(str(each.mounted))  # the same hierarchy cannot lie over itself
        kernel.mount(each.kind, str(each.mounted), each.kind, kernel.PLAIN, options)
        if each.kind == _UNIFIED:
            _leave_root(each.mounted)


def _leave_root(root: Path) -> None:
    """Move to a leaf: in version 2, a group whose children have controllers has no processes."""
    leaf = root / _LEAF
    leaf.mkdir(exist_ok=True)
    (leaf / "cgroup.procs").write_text("0")
    for controller in _read(root / "cgroup.controllers").split():
        with suppress(OSError):
            (root / "cgroup.subtree_control").write_text(f"+{controller}")


def used_cpu_s(groups: Iterable[Path]) -> float:
    """Return how much processor time the groups have used so far, in seconds."""
    for group in groups:
        if used := _read(group / "cpuacct.usage"):
            return int(used) / 1e9
        for line in _read(group / "cpu.stat").splitlines():
            if line.startswith("usage_usec "):
                return int(line.split()[1]) / 1e6
    return 0.0


def end(groups: list[Path]) -> bool:
    """Kill everything in the groups and remove them; return whether that was possible."""
    deadline = time.monotonic() + _END_S
    while True:
        for pid in _processes(groups):
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        left = [group for group in groups if not _removed(group)]
        if not left:
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(_PAUSE_S)  # a group can be removed once the kernel has let go of its processes


def _processes(groups: Iterable[Path]) -> set[int]:
    found: set[int] = set()
    for group in groups:
        for directory, _, _ in os.walk(group):
            found.update(int(pid) for pid in _read(Path(directory, "cgroup.procs")).split())
    return found - {0, os.getpid()}


def _removed(group: Path) -> bool:
    for directory, _, _ in os.walk(group, topdown=False):
        with suppress(FileNotFoundError):
            try:
                Path(directory).rmdir()
            except OSError:
                return False
    return True


def _lines(path: str) -> Iterator[str]:
    yield from _read(Path(path)).splitlines()


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
