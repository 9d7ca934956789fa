"""Waiting for processes on this host to end: one that is known, or all that bear a name."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import psutil

from dockwright.wait.loop import Continue, Failed, Outcome, Ready, Wait
from dockwright.wait.strategy import Check
from dockwright.wait.watchers import wake_on_change, wake_on_exit

ProcessLike: TypeAlias = (
    "int | str | subprocess.Popen[bytes] | subprocess.Popen[str] | psutil.Process"
)


@dataclass(frozen=True, slots=True)
class ProcessExited:
    """Processes have ended; one that ended but was not reaped by its parent counts as ended.

    Args:
        process: a pid, a `Popen` (which is reaped), a `psutil.Process`, or a text: all processes
            whose name is that text or whose command line contains it, except this process and
            those that it descends from.
    """

    process: ProcessLike

    def __post_init__(self) -> None:
        _require_process(self.process)

    @property
    def survives_exit(self) -> bool:
        """An exit is what is waited for."""
        return True

    def __str__(self) -> str:
        return f"to see {_described(self.process)} ended"

    def begin(self, wait: Wait) -> Check:
        """Start to observe the processes that are meant."""
        if isinstance(self.process, subprocess.Popen):
            popen = self.process
            wait.closing.callback(wake_on_exit(popen.pid, wait.wakeup.set))
            return lambda: Ready() if popen.poll() is not None else _running([popen.pid])
        if isinstance(self.process, str):
            name = self.process
            return _NamedProcesses(lambda: find_processes(name), wait).check
        if isinstance(self.process, int):
            pid = self.process
            # Later a process with the same pid may be another, so it is looked for only once.
            return _NamedProcesses(_once(lambda: _by_pid(pid)), wait).check
        process = self.process
        return _NamedProcesses(_once(lambda: [process]), wait).check


class _NamedProcesses:
    """Observes processes, then looks whether there are new ones: a supervisor may restart them."""

    def __init__(self, find: Callable[[], list[psutil.Process]], wait: Wait) -> None:
        self._find = find
        self._wait = wait
        self._processes: list[psutil.Process] = []

    def check(self) -> Outcome:
        """Check whether all have ended."""
        self._processes = [each for each in self._processes if not has_ended(each)]
        if not self._processes:
            # Twice, since one may have taken another's place while the processes were listed.
            self._processes = self._find() or self._find()
            for process in self._processes:
                self._wait.closing.callback(wake_on_exit(process.pid, self._wait.wakeup.set))
            # Again, since one that ended before it was observed wakes no one.
            self._processes = [each for each in self._processes if not has_ended(each)]
        return _running([each.pid for each in self._processes]) if self._processes else Ready()


def has_ended(process: psutil.Process) -> bool:
    """Return whether a process has ended, reaped or not."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def find_processes(name: str) -> list[psutil.Process]:
    """Return the running processes called `name`, without this one and its ancestors.

    Args:
        name: a process's whole name, or a part of its command line.
    """
    own = psutil.Process()
    excluded = {own.pid, *(parent.pid for parent in own.parents())}
    return [
        process
        for process in psutil.process_iter(["name", "cmdline"])
        if process.pid not in excluded
        and (name == process.info["name"] or name in " ".join(process.info["cmdline"] or ()))
        and not has_ended(process)
    ]


def _by_pid(pid: int) -> list[psutil.Process]:
    try:
        return [psutil.Process(pid)]
    except psutil.NoSuchProcess:
        return []


def _once(find: Callable[[], list[psutil.Process]]) -> Callable[[], list[psutil.Process]]:
    answers = iter([find()])
    return lambda: next(answers, [])


def _running(pids: list[int]) -> Continue:
    if len(pids) == 1:
        return Continue(f"process {pids[0]} is running")
    return Continue(f"{len(pids)} processes are running: {', '.join(map(str, pids[:10]))}")


def _described(process: ProcessLike) -> str:
    if isinstance(process, str):
        return f"all processes named {process!r}"
    return f"process {process if isinstance(process, int) else process.pid}"


def _require_process(process: object) -> None:
    if isinstance(process, bool) or not isinstance(
        process, int | str | subprocess.Popen | psutil.Process
    ):
        raise TypeError(
            "a process is a pid, a name, a subprocess.Popen or a psutil.Process, "
            f"not {type(process).__name__}"
        )
    if isinstance(process, str) and not process.strip():
        raise ValueError("a process's name must not be empty")
    pid = process if isinstance(process, int) else getattr(process, "pid", None)
    if isinstance(pid, int) and pid <= 0:
        raise ValueError(f"a pid is a positive number, not {pid}")
    if pid == os.getpid():
        raise ValueError(f"process {pid} is the caller itself: it cannot wait for its own end")


@dataclass(frozen=True, slots=True)
class File:
    """A file or directory on this host exists (a link also has to lead somewhere)."""

    path: str | Path

    @property
    def survives_exit(self) -> bool:
        """The file may be what an ended process leaves."""
        return False

    def __str__(self) -> str:
        return f"to make the file {self.path}"

    def begin(self, wait: Wait) -> Check:
        """Start to observe the file's directory."""
        path = (wait.target.cwd / self.path).absolute()
        wait.closing.callback(wake_on_change(path, wait.wakeup.set))
        return lambda: _look(path, wanted=True)


@dataclass(frozen=True, slots=True)
class FileDeleted:
    """A file or directory on this host is gone, or never was."""

    path: str | Path

    @property
    def survives_exit(self) -> bool:
        """An ending process often deletes its files."""
        return True

    def __str__(self) -> str:
        return f"to delete the file {self.path}"

    def begin(self, wait: Wait) -> Check:
        """Start to observe the file's directory."""
        path = (wait.target.cwd / self.path).absolute()
        wait.closing.callback(wake_on_change(path, wait.wakeup.set))
        return lambda: _look(path, wanted=False)


def _look(path: Path, *, wanted: bool) -> Outcome:
    try:
        # A link that leads nowhere does not exist as a file, and is not deleted either.
        path.stat(follow_symlinks=wanted)
    except (FileNotFoundError, NotADirectoryError):
        return Continue(f"{path} does not exist") if wanted else Ready(path)
    except OSError as error:
        return Failed(f"{path} cannot be accessed: {error.strerror}")
    return Ready(path) if wanted else Continue(f"{path} still exists")
