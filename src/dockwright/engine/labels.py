"""The labels that say which process owns a resource, and whether that process still runs."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from dockwright.model import Owner, Ownership

PREFIX = "dev.dockwright."

_START_TOLERANCE_S = 1.0
"""Two processes with one pid cannot start within a second of each other."""


def ownership_labels(ownership: Ownership) -> dict[str, str]:
    """Return the labels that `parse_ownership` reads back."""
    labels = {
        "session": ownership.session,
        "project": ownership.project,
        "stack": ownership.stack,
        "created": f"{ownership.created:.3f}",
        "version": ownership.version,
    }
    if owner := ownership.owner:
        labels |= {
            "owner.host": owner.host,
            "owner.boot": owner.boot_id,
            "owner.pid": str(owner.pid),
            "owner.started": f"{owner.started:.2f}",
        }
    return {f"{PREFIX}{key}": value for key, value in labels.items()}


def parse_ownership(labels: Mapping[str, str] | None) -> Ownership | None:
    """Read what `ownership_labels` wrote; None where the labels are not ours or not whole."""
    ours = {
        key.removeprefix(PREFIX): value
        for key, value in (labels or {}).items()
        if key.startswith(PREFIX)
    }
    try:
        return Ownership(
            session=ours["session"],
            project=ours["project"],
            stack=ours["stack"],
            owner=_parse_owner(ours),
            created=float(ours["created"]),
            version=ours["version"],
        )
    except (KeyError, ValueError):
        return None


def _parse_owner(ours: Mapping[str, str]) -> Owner | None:
    if not any(key.startswith("owner.") for key in ours):
        return None
    return Owner(
        boot_id=ours["owner.boot"],
        pid=int(ours["owner.pid"]),
        started=float(ours["owner.started"]),
        host=ours["owner.host"],
    )


def current_owner() -> Owner:
    """Return this process as an owner."""
    return _owner_of(os.getpid())


def owner_is_alive(owner: Owner) -> bool:
    """Return whether the process that made a resource may still run.

    An owner on another machine, or in another container's process namespace, cannot be seen from
    here: it counts as alive, so that nobody's running stack is ever removed.
    """
    here = current_owner()
    if owner.host != here.host:
        return True
    if owner.boot_id != here.boot_id:
        return False
    try:
        started = _started(owner.pid)
    except PermissionError:
        return True  # it runs, but this user may not see when it started
    return started is not None and abs(started - owner.started) <= _START_TOLERANCE_S


@cache  # by pid: a forked child is an owner of its own
def _owner_of(pid: int) -> Owner:
    started = _started(pid)
    if started is None:
        raise RuntimeError(f"process {pid} does not run")
    return Owner(boot_id=_boot_id(), pid=pid, started=round(started, 2), host=_host())


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        # Start times are absolute there (`_started`): no process of another boot has the same.
        return "any"


def _host() -> str:
    """Name the machine and the process namespace: pids mean nothing beyond them."""
    try:
        namespace = Path("/proc/self/ns/pid").readlink().name
    except OSError:
        namespace = ""
    return f"{socket.gethostname()}/{_machine_id()}/{namespace}"


def _machine_id() -> str:
    for path in (Path("/etc/machine-id"), Path("/var/lib/dbus/machine-id")):
        try:
            return path.read_text().strip()
        except OSError:
            continue
    return ""


def _started(pid: int) -> float | None:
    """Return when a process started, None when it does not run (a zombie does not).

    In seconds: since the boot on Linux, where the clock cannot change it; else since the epoch.

    Raises:
        PermissionError: it runs, but is hidden from this user.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return _started_unseen(pid)
    state, ticks = fields[0], int(fields[19])  # fields 3 and 22 of proc(5)
    return None if state in "ZX" else ticks / os.sysconf("SC_CLK_TCK")


def _started_unseen(pid: int) -> float | None:
    """The same without ``/proc/PID``: not Linux, another user's under ``hidepid``, or gone."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    if Path("/proc/self/stat").exists():
        return None  # it ended between the two looks, or began after the first
    import psutil  # costs 20 ms, and only other systems need it

    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else process.create_time()
    except psutil.NoSuchProcess:
        return None
