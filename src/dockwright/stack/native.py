"""Native processes of a stack: started beside its containers, found again, and ended."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from dockwright.engine import ownership_labels, parse_ownership
from dockwright.errors import StackError, UnknownServiceError, WaitTimeoutError
from dockwright.model import Address, Ownership, ProcessSpec
from dockwright.stack.naming import Identity
from dockwright.wait import Cadence, Continue, Outcome, Ready, WaitOptions, until
from dockwright.wait.processes import has_ended

_PREFIX = "DOCKWRIGHT_LABEL_"
_PROJECT = f"{_PREFIX}PROJECT_NAME"
_UNIT = f"{_PREFIX}UNIT"
_PORTS = f"{_PREFIX}PORTS"
_LOG = f"{_PREFIX}LOG"
_CONFIG_HASH = f"{_PREFIX}CONFIG_HASH"
_KILL_WAIT_S = 5.0
_END_CADENCE = Cadence(0.001, 0.02)  # a killed process is gone after 2 ms, as a rule


def label_environment(identity: Identity, unit: str) -> dict[str, str]:
    """Return the variables that mark a process (and its children) as part of a stack's copy."""
    labels = ownership_labels(identity.ownership)
    marks = {_PREFIX + key.replace(".", "__"): value for key, value in labels.items()}
    return marks | {_PROJECT: identity.project, _UNIT: unit}


@dataclass(frozen=True, slots=True)
class MarkedProcess:
    """A process on this host that has dockwright's marks in its environment.

    Attributes:
        process: the process.
        project: the project name of its copy.
        unit: its name in the stack spec.
        ownership: whose it is.
        ports: the host port it was given for each port it asked for.
        log: the file that it writes to.
        config_hash: of the declaration that it was started from.
    """

    process: psutil.Process
    project: str
    unit: str
    ownership: Ownership
    ports: Mapping[int, int]
    log: Path
    config_hash: str

    @property
    def is_leader(self) -> bool:
        """Whether this is the process that was started, not one of its children."""
        try:
            return os.getsid(self.process.pid) == self.process.pid
        except ProcessLookupError:  # it has ended meanwhile
            return False


def marked_processes(project: str | None = None) -> list[MarkedProcess]:
    """Find the marked processes of this user; with `project`, only those of that project."""
    found = []
    for process in psutil.process_iter():
        try:
            environment = process.environ()
        except (psutil.Error, OSError):
            continue  # another user's, or it has ended
        marked = _read_marks(process, environment)
        if marked is not None and project in (None, marked.project):
            found.append(marked)
    return found


def _read_marks(process: psutil.Process, environment: Mapping[str, str]) -> MarkedProcess | None:
    if _PROJECT not in environment or _UNIT not in environment:
        return None
    labels = {
        key.removeprefix(_PREFIX).replace("__", "."): value
        for key, value in environment.items()
        if key.startswith(_PREFIX)
    }
    ownership = parse_ownership(labels)
    if ownership is None:
        return None
    pairs = (pair.split("=") for pair in environment.get(_PORTS, "").split(",") if "=" in pair)
    return MarkedProcess(
        process=process,
        project=environment[_PROJECT],
        unit=environment[_UNIT],
        ownership=ownership,
        ports={int(asked): int(given) for asked, given in pairs},
        log=Path(environment.get(_LOG, os.devnull)),
        config_hash=environment.get(_CONFIG_HASH, ""),
    )


@dataclass(frozen=True, slots=True)
class StartedProcess:
    """How a running native process was started, so that the same can be started again.

    Attributes:
        unit: its name in the stack spec.
        command: the argument list.
        cwd: its working directory.
        environment: all of its variables, with our marks.
        log: the file that it writes to.
    """

    unit: str
    command: tuple[str, ...]
    cwd: str
    environment: Mapping[str, str]
    log: Path

    @classmethod
    def of(cls, marked: MarkedProcess) -> StartedProcess | None:
        """Look at a running process; None where it has just ended."""
        try:
            process = marked.process
            return cls(
                marked.unit,
                tuple(process.cmdline()),
                process.cwd(),
                process.environ(),
                marked.log,
            )
        except psutil.Error:
            return None

    def start(self) -> subprocess.Popen[bytes]:
        """Start it again.

        Raises:
            StackError: the command can no longer be started.
        """
        return _spawn(self.unit, self.command, self.cwd, self.environment, self.log)


class _Child(subprocess.Popen[bytes]):
    """A process that may outlive this object: a lease has ended, and the copy's reset ends it."""

    def __del__(self) -> None:
        """Do what `Popen` does, without its warning that the process is still running."""
        super().__del__(_warn=_ignore)  # type: ignore[call-arg]  # private, in all Pythons


def _ignore(*_: object, **__: object) -> None: ...


def _spawn(
    unit: str,
    command: Sequence[str],
    cwd: Path | str,
    environment: Mapping[str, str],
    log: Path,
) -> subprocess.Popen[bytes]:
    # As execvp does: a command is looked up in the PATH that the process itself gets.
    executable = shutil.which(command[0], path=environment.get("PATH")) or command[0]
    log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        with log.open("ab") as output:
            return _Child(
                [executable, *command[1:]],
                env=environment,
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
    except OSError as exc:
        raise StackError(
            f"process {unit}: cannot start {command[0]!r} in {cwd}: {exc.strerror}",
            hint=f"check x-dockwright.processes.{unit}.command in the Compose file",
        ) from exc


def kill_processes(processes: Iterable[psutil.Process]) -> None:
    """Kill `processes` at once and wait until they are gone.

    Raises:
        StackError: one is still there after 5 s.
    """
    doomed = list(processes)
    for process in doomed:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    try:
        _wait_ended(doomed, _KILL_WAIT_S)
    except WaitTimeoutError as failure:
        pids = ", ".join(str(process.pid) for process in doomed if not has_ended(process))
        raise StackError(
            f"killed processes still exist after {_KILL_WAIT_S:g} s: {pids}"
        ) from failure


def _wait_ended(processes: Sequence[psutil.Process], timeout_s: float) -> None:
    # Not psutil's wait: what a test and the broker start stays the starter's zombie for the other.
    until(
        lambda: _all_ended(processes),
        subject="processes to end",
        timeout_s=timeout_s,
        options=WaitOptions(_END_CADENCE),
    )


def _all_ended(processes: Iterable[psutil.Process]) -> Outcome:
    alive = [process for process in processes if not has_ended(process)]
    return Continue(f"{len(alive)} of them run") if alive else Ready()


class NativeProcess:
    """One declared native process of one copy of a stack.

    Args:
        spec: how it is declared.
        identity: of the copy.
        log: the file that takes its output.
        config_hash: of its declaration.
    """

    def __init__(self, spec: ProcessSpec, identity: Identity, log: Path, config_hash: str) -> None:
        self.spec = spec
        self.log = log
        self.config_hash = config_hash
        self.outdated = False
        self.ports: dict[int, int] = {}
        self._identity = identity
        self._popen: subprocess.Popen[bytes] | None = None
        self._leader: psutil.Process | None = None

    def port(self, asked: int) -> int:
        """Return the host port that this copy uses where the process asks for port `asked`.

        A long-lived stack's process gets what it asks for. Of several copies each gets one of its
        own, which was free when it was chosen.
        """
        if not self._identity.isolated:
            self.ports[asked] = asked
        if asked not in self.ports:
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                self.ports[asked] = int(probe.getsockname()[1])
        return self.ports[asked]

    @property
    def pid(self) -> int | None:
        """The process id, or None where it does not run."""
        return self._leader.pid if self._leader and self.running else None

    @property
    def running(self) -> bool:
        """Whether it runs (a zombie does not)."""
        if self._popen is not None:
            return self._popen.poll() is None
        return bool(self._leader and not has_ended(self._leader))

    @property
    def child(self) -> subprocess.Popen[bytes] | None:
        """The process, where this process started it."""
        return self._popen

    @property
    def exit_code(self) -> int | None:
        """Its exit code; None while it runs, or if it is not a child of this process."""
        return self._popen.poll() if self._popen else None

    @property
    def started_s(self) -> float | None:
        """When it started, seconds since the epoch."""
        return self._leader.create_time() if self._leader and self.running else None

    def adopt(self, marked: MarkedProcess) -> None:
        """Take over a process that an earlier command started."""
        self._leader = marked.process
        if self._popen is not None and self._popen.pid != self._leader.pid:
            self._popen = None  # it has ended: a reset has started another one
        self.ports = dict(marked.ports)
        self.log = marked.log
        self.outdated = marked.config_hash != self.config_hash

    def start(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        """Start it with its templates filled in.

        Raises:
            StackError: the command cannot be started; the message says why.
        """
        ports = ",".join(f"{asked}={given}" for asked, given in self.ports.items())
        marks = label_environment(self._identity, self.spec.name)
        marks |= {_PORTS: ports, _LOG: str(self.log), _CONFIG_HASH: self.config_hash}
        complete = {**os.environ, **environment, **marks}
        self._popen = _spawn(self.spec.name, command, self.spec.cwd, complete, self.log)
        self._leader = psutil.Process(self._popen.pid)
        self.outdated = False

    def stop(self) -> None:
        """Send the declared stop signal to the group, wait the declared grace, then kill."""
        if self._leader is not None and self.running:
            with suppress(ProcessLookupError):
                os.killpg(self._leader.pid, signal.Signals[self.spec.stop_signal])
            with suppress(WaitTimeoutError):  # then it is killed
                _wait_ended([self._leader], self.spec.stop_grace_s)
        self.kill()

    def kill(self) -> None:
        """Kill it and everything that it started, and wait until they are gone."""
        kill_processes(self._family())
        if self._popen is not None:
            self._popen.wait(timeout=_KILL_WAIT_S)

    def remove_log(self) -> None:
        """Delete its log file."""
        self.log.unlink(missing_ok=True)

    def last_lines(self, count: int) -> list[str]:
        """Return the last lines that it wrote, reading at most 64 KiB of the file."""
        return tail(self.log, count)

    def uptime_s(self) -> float | None:
        """Seconds since it started, or None where it does not run."""
        started = self.started_s
        return None if started is None else max(0.0, time.time() - started)

    def _family(self) -> list[psutil.Process]:
        leader = [self._leader] if self._leader is not None and self.running else []
        marked = [
            each.process
            for each in marked_processes(self._identity.project)
            if each.unit == self.spec.name and each.process not in leader
        ]
        return leader + marked


def tail(file: Path, count: int, limit_bytes: int = 65_536) -> list[str]:
    """Return the last `count` lines of `file`, from its last `limit_bytes`; none if absent."""
    if count <= 0 or not file.exists():
        return []
    with file.open("rb") as stream:
        stream.seek(max(0, file.stat().st_size - limit_bytes))
        return stream.read().decode(errors="replace").splitlines()[-count:]


Lookup = Callable[[str, int | None], Address]
"""Gives the address of a unit's port; None asks for the host alone."""

_TEMPLATE = re.compile(r"(\{?)\{([A-Za-z0-9_-]+)\.([a-z]+)(?::(\d+))?\}(\}?)")
_WITH_PORT = ("port", "address", "url")


def fill(text: str, where: str, lookup: Lookup) -> str:
    """Return `text` with its templates filled.

    Args:
        text: one argument or value.
        where: its place in the file, for messages.
        lookup: gives addresses.

    Raises:
        UnknownServiceError: a template is misspelt or names what is not there.
    """

    def replaced(match: re.Match[str]) -> str:
        opening, name, kind, port, closing = match.groups()
        if opening and closing:
            return match.group(0)[1:-1]
        if not (kind == "host" and port is None) and not (kind in _WITH_PORT and port):
            raise UnknownServiceError(
                f"{where}: {match.group(0)} is not a template",
                hint="use {NAME.host}, {NAME.port:8000}, {NAME.address:8000} or {NAME.url:8000}; "
                "double the braces to keep the text",
            )
        return opening + _value(kind, lookup(name, int(port) if port else None)) + closing

    return _TEMPLATE.sub(replaced, text)


def _value(kind: str, address: Address) -> str:
    values = {"host": address.host, "port": str(address.port), "url": f"http://{address}"}
    return values.get(kind, str(address))
