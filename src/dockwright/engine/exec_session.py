"""One command in a container that is spoken to: what it reads is written, what it writes is read.

An exec costs about 45 ms; a line to a client that runs already costs well under one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from dockwright.engine.closing import Closing
from dockwright.engine.execs import start_call
from dockwright.engine.group import EngineCalls
from dockwright.engine.streams import ByteStream, StreamName, frames


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
