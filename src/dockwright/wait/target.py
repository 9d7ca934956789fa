"""What can be waited for: a container, a native process, or just something on this host."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dockwright.errors import ConflictError, EngineError, NoSuchObjectError, UsageError
from dockwright.model import Address
from dockwright.wait.log import ContainerLog, FileLog, LogSource
from dockwright.wait.loop import Failed
from dockwright.wait.state import State, StateWatch, container_state
from dockwright.wait.watchers import wake_on_exit

if TYPE_CHECKING:
    from dockwright.engine import Engine, ExecStream
    from dockwright.wait.loop import Wait

TAIL_LINES = 20


@dataclass(frozen=True, slots=True)
class CommandResult:
    """What a command gave: its exit code and its output."""

    exit_code: int
    output: str


class Target:
    """Something on this host that is neither a container nor a native process.

    Args:
        name: what messages call it.
        address_of: where one of its ports is reached; default: on this host.
        cwd: what relative paths mean and where commands run; default: the caller's directory.
    """

    def __init__(
        self,
        name: str = "this host",
        *,
        address_of: Callable[[int], Address] | None = None,
        cwd: Path | None = None,
    ) -> None:
        self.name = name
        self.cwd = cwd or Path()
        self._address_of = address_of

    def address(self, port: int) -> Address:
        """Return where `port` is reached from here."""
        return self._address_of(port) if self._address_of else Address("127.0.0.1", port)

    def run(self, argv: Sequence[str], *, timeout_s: float) -> CommandResult | None:
        """Run a command where the target is; None: it took longer than `timeout_s` seconds."""
        try:
            process = subprocess.Popen(
                argv,
                cwd=self.cwd,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            return CommandResult(127, str(error))
        with process:
            try:
                output, _ = process.communicate(timeout=timeout_s)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)  # with what it has started
                return None
        return CommandResult(process.returncode, output.decode(errors="replace"))

    def log(self) -> LogSource:
        """Return where its output can be read.

        Raises:
            UsageError: it has none.
        """
        raise UsageError(
            f"cannot wait for the log of {self.name}: it is neither a container nor a process "
            "whose output is kept"
        )

    def begin_state(self, wait: Wait) -> Callable[[], State]:  # noqa: ARG002  (for those below)
        """Start to follow its state during `wait`; return a function that returns it."""
        return lambda: State("running")

    def failure(self, state: State) -> Failed:
        """Return the outcome of a wait that its exit ended."""
        return Failed("\n".join([f"it {state}", *self._tail()]), hint=state.hint)

    def diagnosis(self) -> list[str]:
        """Return lines for the message of a wait that timed out: state, last log lines."""
        return []

    def _tail(self) -> list[str]:
        return []


class ContainerTarget(Target):
    """A container.

    Args:
        engine: the engine that it is on.
        container_id: its id or name.
        name: what messages call it, e.g. its service; default: its short id.
        address_of: where one of its ports is reached; default: where it is published.
    """

    def __init__(
        self,
        engine: Engine,
        container_id: str,
        *,
        name: str | None = None,
        address_of: Callable[[int], Address] | None = None,
    ) -> None:
        super().__init__(name or container_id[:12], address_of=address_of)
        self.engine = engine
        self.container_id = container_id
        self._hanging: ExecStream | None = None

    def address(self, port: int) -> Address:
        """Return where `port` is reached from here.

        Raises:
            UsageError: it is not published.
            ConflictError: the container does not run, so no port is reached.
        """
        if self._address_of:
            return self._address_of(port)
        document = self.engine.inspect_container(self.container_id)
        if not document["State"]["Running"]:
            raise ConflictError(f"{self.name} {container_state(document)}")
        ports = document["NetworkSettings"]["Ports"] or {}
        if not (published := ports.get(f"{port}/tcp")):
            raise UsageError(
                f"port {port} of {self.name} is not published",
                hint="publish it, or wait for the service to be healthy",
            )
        return Address(self.engine.endpoint.host_ip, int(published[0]["HostPort"]))

    def run(self, argv: Sequence[str], *, timeout_s: float) -> CommandResult | None:
        """Run a command in the container; None: it took longer than `timeout_s` seconds.

        One that took longer is killed. Where it cannot be killed, the next one waits for its end.
        """
        if self._hanging is not None and not _has_ended(self._hanging, timeout_s):
            return None
        stream = self.engine.exec_stream(self.container_id, argv)
        done = stream.result(timeout_s)
        if done is None:
            self._hanging = None if self.engine.end_exec(stream) else stream
            return None
        return CommandResult(done.exit_code, (done.stdout + done.stderr).decode(errors="replace"))

    def log(self) -> LogSource:
        """Return where its output can be read."""
        return ContainerLog(self.engine, self.container_id)

    def begin_state(self, wait: Wait) -> Callable[[], State]:
        """Start to follow its state during `wait`; return a function that returns it."""
        return self.state_watch(wait).state

    def state_watch(self, wait: Wait) -> StateWatch:
        """Return what follows its state during `wait`; all parts of the wait share one."""
        return wait.shared(StateWatch, lambda: StateWatch(self.engine, self.container_id, wait))

    def diagnosis(self) -> list[str]:
        """Return lines for the message of a wait that timed out: state, last log lines."""
        try:
            state = container_state(self.engine.inspect_container(self.container_id))
        except EngineError as error:
            return [f"  its state could not be read: {error.message}"]
        return [f"  container {self.container_id[:12]} {state}", *self._tail()]

    def _tail(self) -> list[str]:
        try:
            return _shown(self.log())
        except EngineError as error:  # it was removed, or its log driver keeps nothing
            return [f"  its log could not be read: {error.message}"]


def _has_ended(stream: ExecStream, timeout_s: float) -> bool:
    try:
        return stream.wait(timeout_s) is not None
    except NoSuchObjectError:  # its container has restarted, or is gone
        return True


class ProcessTarget(Target):
    """A native process that this process started.

    Args:
        process: the process.
        name: what messages call it.
        log_file: where its output goes, or None where it is not kept.
        address_of: where one of its ports is reached; default: on this host.
        cwd: what relative paths mean and where commands run; default: the caller's directory.
    """

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        name: str,
        *,
        log_file: Path | None = None,
        address_of: Callable[[int], Address] | None = None,
        cwd: Path | None = None,
    ) -> None:
        super().__init__(name, address_of=address_of, cwd=cwd)
        self.process = process
        self._log_file = log_file

    def log(self) -> LogSource:
        """Return where its output can be read.

        Raises:
            UsageError: it is not kept.
        """
        return FileLog(self._log_file) if self._log_file else super().log()

    def begin_state(self, wait: Wait) -> Callable[[], State]:
        """Start to follow its state during `wait`; return a function that returns it."""
        wait.closing.callback(wake_on_exit(self.process.pid, wait.wakeup.set))
        return self._state

    def diagnosis(self) -> list[str]:
        """Return lines for the message of a wait that timed out: state, last log lines."""
        return [f"  process {self.process.pid} {self._state()}", *self._tail()]

    def _state(self) -> State:
        code = self.process.poll()
        return State("running") if code is None else State("exited", exit_code=code)

    def _tail(self) -> list[str]:
        return _shown(FileLog(self._log_file)) if self._log_file else []


def _shown(source: LogSource) -> list[str]:
    lines = source.tail(TAIL_LINES)
    if not lines:
        return ["  it logged nothing"]
    return ["  last log lines:", *(f"    {line}" for line in lines)]
