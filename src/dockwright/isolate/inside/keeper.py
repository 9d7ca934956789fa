"""Removes what a world leaves when it ends, however it ends.

A world is a tree of processes and namespaces, which end with its first process, and three things
that do not: control groups, a directory with data, and that first process itself if the one who
asked for the world dies. The keeper is a process outside the world that waits for both deaths.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import shutil
import signal
import time
from contextlib import suppress
from pathlib import Path

from dockwright.isolate.inside import control_groups

GROUPS = "groups.json"
_END_S = 10.0
_YOUNG_S = 60.0
_PAUSE_S = 0.02


def start(world: Path, wrapper: int, parent: int | None, lock: int, usage: str) -> tuple[int, int]:
    """Start a keeper for a world that is about to be made.

    Args:
        world: the directory with the world's data.
        wrapper: the process that the world ends with (a pidfd).
        parent: the process without which the world makes no sense (a pidfd); None: there is none.
        lock: the descriptor that holds the world's lock.
        usage: the file that gets a line with the processor time of the world; empty: none.

    Returns:
        Its process, and a descriptor: once all copies of that are closed, the keeper cleans up.
    """
    reading, writing = os.pipe()
    pid = os.fork()
    if pid:
        os.close(reading)
        return pid, writing
    try:
        os.close(writing)
        _detach({reading, wrapper, lock, *([parent] if parent is not None else [])})
        _wait(reading, wrapper, parent)
        if usage:
            _note_usage(world, usage)
        remove(world)
    finally:
        os._exit(0)


def remove(world: Path) -> bool:
    """Kill what is left of a world and remove its control groups and data; return success."""
    control_groups.end(_groups(world))
    deadline = time.monotonic() + _END_S
    while world.exists() and time.monotonic() < deadline:
        shutil.rmtree(world, ignore_errors=True)  # again while a dying process still writes
        if world.exists():
            time.sleep(_PAUSE_S)  # nothing says when a dying process has closed its last file
    return not world.exists()


def _groups(world: Path) -> list[Path]:
    with suppress(OSError, ValueError):
        return [Path(group) for group in json.loads((world / GROUPS).read_text())]
    return []


def _note_usage(world: Path, usage: str) -> None:
    used = control_groups.used_cpu_s(_groups(world))
    with suppress(OSError), Path(usage).open("a") as file:  # short lines arrive in one piece
        file.write(f"{used:.3f}\n")


def sweep(worlds: Path) -> list[str]:
    """Remove the worlds below a directory whose processes were all killed; return their names."""
    removed = []
    for world in sorted(worlds.iterdir()) if worlds.is_dir() else ():
        with suppress(OSError):
            if not (world / GROUPS).exists() and time.time() - world.stat().st_mtime < _YOUNG_S:
                continue  # its wrapper is about to lock it
            descriptor = os.open(world, os.O_RDONLY | os.O_DIRECTORY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if remove(world):
                    removed.append(world.name)
            finally:
                os.close(descriptor)
    return removed


def _detach(kept: set[int]) -> None:
    """Close the terminal and the pipes that others wait for, and ignore signals."""
    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in range(3):
        os.dup2(nowhere, descriptor)
    for descriptor in [int(entry.name) for entry in Path("/proc/self/fd").iterdir()]:
        if descriptor > 2 and descriptor not in kept:
            with suppress(OSError):  # the one with which the list was read
                os.close(descriptor)
    os.chdir("/")


def _wait(reading: int, wrapper: int, parent: int | None) -> None:
    """Return when the world has ended; end it if its parent has died."""
    poll = select.poll()
    for descriptor in (reading, wrapper, *([parent] if parent is not None else [])):
        poll.register(descriptor, select.POLLIN | select.POLLHUP)
    while True:
        ended = {descriptor for descriptor, _ in poll.poll()}
        if parent in ended:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(wrapper, signal.SIGKILL)
        if wrapper in ended or reading in ended or parent in ended:
            return
