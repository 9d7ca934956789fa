"""Commands run inside a container, waited for or read while they run."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from dockwright.engine.containers import ContainerCalls, EngineCalls
from dockwright.engine.http import Call, path, short
from dockwright.engine.parallel import Closing, expiring
from dockwright.engine.streams import ByteStream, StreamName, frames
from dockwright.engine.types import Document, ExecResult
from dockwright.errors import EngineError, EngineTimeoutError
from dockwright.model import Json

if TYPE_CHECKING:
    from dockwright.engine.http import Transport

_EXIT_POLL_S, _LONGEST_EXIT_POLL_S = 0.01, 0.25
_ENDING_S = 2.0
_RECENT_EXECS = 8  # of one container: sessions are few, and shorter commands end


class ExecStream(Closing):
    """The output of one command, read while it runs: an iterable of (stream name, bytes).

    `close` ends the reading at once, also from another thread; the command itself runs on, since
    engines cannot end it.

    Attributes:
        container: where it runs.
    """

    def __init__(
        self, transport: Transport, container: str, exec_id: str, stream: ByteStream
    ) -> None:
        self.container = container
        self._http = transport
        self._id = exec_id
        self._stream = stream

    def __iter__(self) -> Iterator[tuple[StreamName, bytes]]:
        """Yield output as it comes, in pieces of at most 64 KiB, until the command ends."""
        try:
            yield from frames(self._stream, multiplexed=True)
        finally:
            self._stream.close()

    def result(self, timeout_s: float) -> ExecResult | None:
        """Return its exit code and output at its end; None: it takes longer than `timeout_s`."""
        output = {"stdout": bytearray(), "stderr": bytearray()}
        began = time.monotonic()
        with expiring(timeout_s, self.close) as expired:
            for name, data in self:
                output[name] += data
        left_s = timeout_s - (time.monotonic() - began)
        code = None if expired.is_set() else self.wait(left_s)
        if code is None:
            return None
        return ExecResult(code, bytes(output["stdout"]), bytes(output["stderr"]))

    def wait(self, timeout_s: float) -> int | None:
        """Return its exit code at its end, which may come long after that of its output.

        None: it takes longer than `timeout_s` seconds.
        """
        deadline, pause_s = time.monotonic() + timeout_s, _EXIT_POLL_S
        while (code := self.exit_code()) is None and time.monotonic() < deadline:
            time.sleep(pause_s)  # the engine has no call that waits for a command
            pause_s = min(2 * pause_s, _LONGEST_EXIT_POLL_S)
        return code

    def exit_code(self) -> int | None:
        """Ask the engine for the command's exit code; None while it runs."""
        answer = self._inspect()
        code: int | None = answer.get("ExitCode")
        return None if answer.get("Running") else code

    def pid(self) -> int | None:
        """Ask the engine for the command's pid on its host; None where it does not run."""
        answer = self._inspect()
        return int(answer["Pid"]) if answer.get("Running") else None

    def _inspect(self) -> Document:
        call = Call("GET", path("exec", self._id, "json"), "inspect exec", self._id)
        return self._http.document(call)

    def close(self) -> None:
        """End the reading."""
        self._stream.close()


class ExecCalls(ContainerCalls):
    """The calls that run commands in a container."""

    def exec(
        self,
        container: str,
        argv: Sequence[str],
        *,
        user: str = "",
        workdir: str | None = None,
        env: Mapping[str, str] | None = None,
        privileged: bool = False,
        timeout_s: float = 60.0,
    ) -> ExecResult:
        """Run a command in a container and wait for its end.

        Args:
            container: the container's id or name.
            argv: the command and its arguments; no shell is in between.
            user: who runs it; empty: the container's user.
            workdir: where it runs; None: the container's working directory.
            env: variables beside the container's.
            privileged: whether it has all of the system's capabilities.
            timeout_s: how long it may take, in seconds.

        Returns:
            Its exit code and output.

        Raises:
            EngineTimeoutError: it took longer. Where root runs this on the engine's host, it was
                killed; elsewhere it runs on, since engines cannot end it.
        """
        stream = self.exec_stream(
            container, argv, user=user, workdir=workdir, env=env, privileged=privileged
        )
        result = stream.result(timeout_s)
        if result is None:
            ended = self.end_exec(stream)
            raise EngineTimeoutError(
                f"{' '.join(argv)!r} in container {short(container)} took longer than "
                f"{timeout_s:g} s",
                hint="allow it more time, or find out why it hangs"
                + ("" if ended else "; it may still run there"),
            )
        return result

    def end_exec(self, stream: ExecStream) -> bool:
        """Kill a command and what it has started, where its processes can be reached from here.

        The engine's API has no call for that: only root on the engine's own host can do it.

        Returns:
            Whether it has ended.
        """
        with suppress(EngineError):
            details = self.inspect_container(stream.container)
            pid = stream.pid()
            if pid is None or self.inside(details).end_session(pid):
                return stream.wait(_ENDING_S) is not None
        return False

    def made_exec(self, exec_id: str) -> bool:
        """Return whether this process ran that command (of late)."""
        return any(each == exec_id for _, each in list(self._http.execs))

    def exec_pids(self, container: str) -> set[int]:
        """Return the pids, on the engine's host, of the commands that this process runs there."""
        made = [each for where, each in list(self._http.execs) if where == container]
        return self.pids_of(made[-_RECENT_EXECS:])

    def pids_of(self, exec_ids: Iterable[str]) -> set[int]:
        """Return the pids, on the engine's host, of those commands that run now.

        A command that the engine is just starting has the pid 0.
        """
        pids = set()
        for exec_id in exec_ids:
            with suppress(EngineError):  # it has ended, and the engine has forgotten it
                call = Call("GET", path("exec", exec_id, "json"), "inspect exec", exec_id)
                answer = self._http.document(call)
                pids |= {int(answer["Pid"])} if answer.get("Running") else set()
        return pids

    def exec_stream(
        self,
        container: str,
        argv: Sequence[str],
        *,
        user: str = "",
        workdir: str | None = None,
        env: Mapping[str, str] | None = None,
        privileged: bool = False,
        stdin: bool = False,
    ) -> ExecStream:
        """Run a command in a container and return its output as it comes.

        The arguments are those of `exec`; `stdin` keeps the command's input open until the stream
        is closed.
        """
        exec_id, start = start_call(
            self._http,
            container,
            argv,
            user=user,
            workdir=workdir,
            env=env,
            privileged=privileged,
            stdin=stdin,
        )
        stream = self._http.stream(start, endless=True)
        return ExecStream(self._http, container, exec_id, stream)


def start_call(
    transport: Transport,
    container: str,
    argv: Sequence[str],
    *,
    user: str = "",
    workdir: str | None = None,
    env: Mapping[str, str] | None = None,
    privileged: bool = False,
    stdin: bool = False,
) -> tuple[str, Call]:
    """Create an exec; return its id and the call that starts it and answers with its output.

    The arguments are those of `ExecCalls.exec`; `stdin` keeps the command's input open.
    """
    body: dict[str, Json] = {
        "Cmd": list(argv),
        "AttachStdin": stdin,
        "AttachStdout": True,
        "AttachStderr": True,
        "User": user,
        "Privileged": privileged,
        "Env": [f"{key}={value}" for key, value in (env or {}).items()],
    }
    if workdir is not None:
        body["WorkingDir"] = workdir
    create = Call(
        "POST",
        path("containers", container, "exec"),
        "exec in container",
        short(container),
        json=body,
    )
    exec_id = str(transport.document(create)["Id"])
    transport.execs.append((container, exec_id))
    # Without "Upgrade", so that the answer is an ordinary body that ends with the command.
    start = Call(
        "POST",
        path("exec", exec_id, "start"),
        "start exec",
        f"{argv[0]!r} in container {short(container)}",
        json={"Detach": False, "Tty": False},
    )
    return exec_id, start


class ExecSession(Closing):
    """A running command with open standard input. Used by one thread at a time."""

    def __init__(self, stream: ByteStream, what: str) -> None:
        self.what = what
        self._stream = stream
        self._frames = frames(stream, multiplexed=True)

    def write(self, data: bytes) -> None:
        """Send `data` to the command's standard input.

        Raises:
            EngineError: the connection to the command is gone.
        """
        self._stream.send(data)

    def output(self) -> Iterator[tuple[StreamName, bytes]]:
        """Return the one iterator over what the command writes; it ends when the command does.

        Raises:
            EngineError: while iterating: the command was silent for longer than the engine's
                timeout, or the connection is gone.
        """
        return self._frames

    def close(self) -> None:
        """End the conversation; a client that reads its standard input ends with that."""
        self._stream.close()


class ExecSessionCalls(EngineCalls):
    """The call that opens such a conversation."""

    def exec_session(
        self,
        container: str,
        argv: Sequence[str],
        *,
        user: str = "",
        env: Mapping[str, str] | None = None,
    ) -> ExecSession:
        """Start a command in a container and keep its standard input open.

        Args:
            container: the container's id or name.
            argv: the command and its arguments; no shell is in between.
            user: who runs it; empty: the container's user.
            env: variables beside the container's.
        """
        _, start = start_call(self._http, container, argv, user=user, env=env, stdin=True)
        return ExecSession(self._http.stream(start), start.subject)
