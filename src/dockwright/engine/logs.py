"""What a container wrote, line by line, however much it is."""

from __future__ import annotations

from collections.abc import Iterator

from dockwright.engine.containers import EngineCalls
from dockwright.engine.http import Call, path
from dockwright.engine.parallel import Closing
from dockwright.engine.streams import CHUNK_BYTES, ByteStream, StreamName, frames
from dockwright.engine.types import LogLine, split_time

_LONGEST_LINE_BYTES = CHUNK_BYTES


class LogStream(Closing):
    """Lines as they were written: an iterable of `LogLine` that holds only the line at hand.

    `close` ends the reading at once, also from another thread.
    """

    def __init__(self, stream: ByteStream, *, multiplexed: bool, timestamps: bool) -> None:
        self._stream = stream
        self._multiplexed = multiplexed
        self._timestamps = timestamps

    def __iter__(self) -> Iterator[LogLine]:
        """Yield the lines; while following, wait for more until the container ends."""
        try:
            for name, line in split_lines(frames(self._stream, multiplexed=self._multiplexed)):
                yield self._line(name, line)
        finally:
            self._stream.close()

    def close(self) -> None:
        """End the reading."""
        self._stream.close()

    def _line(self, name: StreamName, line: bytes) -> LogLine:
        text = line.decode("utf-8", "replace").removesuffix("\r")
        if not self._timestamps:
            return LogLine(name, text)
        time_s, text = split_time(text)
        return LogLine(name, text, time_s)


def split_lines(
    pieces: Iterator[tuple[StreamName, bytes]],
) -> Iterator[tuple[StreamName, bytes]]:
    """Yield whole lines, each stream's own; one longer than 64 KiB in pieces of that size."""
    rests: dict[StreamName, bytes] = {}
    for name, data in pieces:
        *lines, rest = (rests.get(name, b"") + data).split(b"\n")
        for line in lines:
            yield name, line
        while len(rest) >= _LONGEST_LINE_BYTES:
            yield name, rest[:_LONGEST_LINE_BYTES]
            rest = rest[_LONGEST_LINE_BYTES:]
        rests[name] = rest
    yield from ((name, rest) for name, rest in rests.items() if rest)


class LogCalls(EngineCalls):
    """The call that reads a container's log."""

    def logs(
        self,
        container: str,
        *,
        tail: int | None = None,
        since: float | None = None,
        until: float | None = None,
        follow: bool = False,
        timestamps: bool = False,
    ) -> LogStream:
        """Read what a container wrote.

        Args:
            container: its id or name.
            tail: only so many of the last lines; None: all.
            since: only what was written from then on, seconds since the epoch.
            until: only what was written before, seconds since the epoch.
            follow: whether to wait for more until the container ends.
            timestamps: whether the lines' times are wanted.
        """
        params = {
            "stdout": True,
            "stderr": True,
            "follow": follow,
            "timestamps": timestamps,
            "tail": "all" if tail is None else tail,
            "since": None if since is None else f"{since:.9f}",
            "until": None if until is None else f"{until:.9f}",
        }
        call = Call(
            "GET", path("containers", container, "logs"), "read log of", container, params=params
        )
        stream = self._http.stream(call, endless=follow)
        multiplexed = self._is_multiplexed(container, stream)
        return LogStream(stream, multiplexed=multiplexed, timestamps=timestamps)

    def _is_multiplexed(self, container: str, stream: ByteStream) -> bool:
        # Engines from API 1.42 on say so in the content type; older ones must be asked.
        if "multiplexed-stream" in stream.content_type:
            return True
        if "raw-stream" in stream.content_type and self._http.can.names_log_format:
            return False
        inspect = Call("GET", path("containers", container, "json"), "inspect container", container)
        try:
            return not self._http.document(inspect)["Config"]["Tty"]
        except BaseException:  # nothing else has it yet
            stream.close()
            raise
