"""Commands run inside a container, waited for or read while they run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from dockwright.engine.containers import EngineCalls
from dockwright.engine.http import Call, path, short
from dockwright.engine.parallel import Closing, expiring
from dockwright.engine.streams import ByteStream, StreamName, frames
from dockwright.engine.types import ExecResult
from dockwright.errors import EngineError, EngineTimeoutError
from dockwright.model import Json

if TYPE_CHECKING:
    from dockwright.engine.http import Transport

_EXIT_POLL_S = 0.01
_RECENT_EXECS = 8  # of one container: sessions are few, and shorter commands end


class ExecStream(Closing):
    """The output of one command, read while it runs: an iterable of (stream name, bytes).

    `close` ends the reading at once, also from another thread; the command itself runs on, since
    engines cannot end it.
    """

    def __init__(self, transport: Transport, exec_id: str, stream: ByteStream) -> None:
        self._http = transport
        self._id = exec_id
        self._stream = stream

    def __iter__(self) -> Iterator[tuple[StreamName, bytes]]:
        """Yield output as it comes, in pieces of at most 64 KiB, until the command ends."""
        try:
            yield from frames(self._stream, multiplexed=True)
        finally:
            self._stream.close()

    def exit_code(self) -> int | None:
        """Ask the engine for the command's exit code; None while it runs."""
        call = Call("GET", path("exec", self._id, "json"), "inspect exec", self._id)
        answer = self._http.document(call)
        code: int | None = answer.get("ExitCode")
        return None if answer.get("Running") else code

    def close(self) -> None:
        """End the reading."""
        self._stream.close()


class ExecCalls(EngineCalls):
    """The calls that run commands in a container."""

    def exec(
        self,
        container: str,
        argv: Sequence[str],
        *,
        user: str = "",
        workdir: str | None = None,
        env: Mapping[str, str] | None = None,
        timeout_s: float = 60.0,
    ) -> ExecResult:
        """Run a command in a container and wait for its end.

        Args:
            container: the container's id or name.
            argv: the command and its arguments; no shell is in between.
            user: who runs it; empty: the container's user.
            workdir: where it runs; None: the container's working directory.
            env: variables beside the container's.
            timeout_s: how long it may take, in seconds.

        Returns:
            Its exit code and output.

        Raises:
            EngineTimeoutError: it took longer; it may still run, engines cannot end it.
        """
        stream = self.exec_stream(container, argv, user=user, workdir=workdir, env=env)
        output = {"stdout": bytearray(), "stderr": bytearray()}
        with expiring(timeout_s, stream.close) as expired:
            for name, data in stream:
                output[name] += data
            code = stream.exit_code()
            # A command may close its output long before it ends.
            while code is None and not expired.wait(_EXIT_POLL_S):
                code = stream.exit_code()
        if code is None or expired.is_set():
            raise EngineTimeoutError(
                f"{' '.join(argv)!r} in container {short(container)} took longer than "
                f"{timeout_s:g} s",
                hint="it may still run there; give it more time, or look why it hangs",
            )
        return ExecResult(code, bytes(output["stdout"]), bytes(output["stderr"]))

    def made_exec(self, exec_id: str) -> bool:
        """Return whether this process ran that command (of late)."""
        return any(each == exec_id for _, each in list(self._http.execs))

    def exec_pids(self, container: str) -> set[int]:
        """Return the pids, on the engine's host, of the commands that this process runs there."""
        made = [each for where, each in list(self._http.execs) if where == container]
        pids = set()
        for exec_id in made[-_RECENT_EXECS:]:
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
    ) -> ExecStream:
        """Run a command in a container and return its output as it comes.

        The arguments are those of `exec`.
        """
        exec_id, start = start_call(
            self._http, container, argv, user=user, workdir=workdir, env=env
        )
        return ExecStream(self._http, exec_id, self._http.stream(start, endless=True))


def start_call(
    transport: Transport,
    container: str,
    argv: Sequence[str],
    *,
    user: str = "",
    workdir: str | None = None,
    env: Mapping[str, str] | None = None,
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
