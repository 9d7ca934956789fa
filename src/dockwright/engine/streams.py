"""One response body read bit by bit, which another thread may end at any moment."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from http.client import HTTPException, HTTPResponse
from typing import TYPE_CHECKING, Literal, TypeAlias, cast

from dockwright.engine.errors import lost_connection
from dockwright.engine.parallel import Closing
from dockwright.engine.types import Document
from dockwright.untrusted import json_value

if TYPE_CHECKING:
    import requests

StreamName: TypeAlias = Literal["stdout", "stderr"]

CHUNK_BYTES = 64 * 1024
_LINE_BYTES = 64 << 20
_HEADER = struct.Struct(">BxxxL")


class ByteStream(Closing):
    """The body of one response.

    Args:
        response: an answered, unread response.
        action: what is being read, for messages: ``logs of web``.
        endless: whether silence is normal, so that no read may time out.
    """

    def __init__(self, response: requests.Response, action: str, *, endless: bool) -> None:
        self.action = action
        self._response = response
        # http.client's response: urllib3 hands out no public way to the socket below it.
        self._http: HTTPResponse = cast("HTTPResponse", response.raw._fp)  # noqa: SLF001
        # http.client forgets its file when the body is empty; the file wraps a socket.
        reader = getattr(getattr(self._http, "fp", None), "raw", None)
        self._socket: socket.socket | None = getattr(reader, "_sock", None)
        if endless and self._socket is not None:
            self._socket.settimeout(None)
        self._reading = threading.Lock()
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    @property
    def content_type(self) -> str:
        """The type that the engine gave the body, or an empty text."""
        return self._response.headers.get("Content-Type", "")

    def read_some(self, limit: int = CHUNK_BYTES) -> bytes:
        """Return what has come, at most `limit` bytes; wait for the first; b"" at the end."""
        with self._reading:
            if self._closed:
                return b""
            try:
                return self._http.read1(limit)
            except (OSError, HTTPException) as exc:
                if self.closed:  # by another thread, meanwhile
                    return b""
                raise lost_connection(self.action, exc) from exc

    def read_exactly(self, size: int) -> bytes:
        """Return `size` bytes, fewer only where the stream ends before."""
        parts = bytearray()
        while len(parts) < size and (data := self.read_some(size - len(parts))):
            parts += data
        return bytes(parts)

    def send(self, data: bytes) -> None:
        """Send `data` the other way, to a command whose output this is."""
        if self._closed or self._socket is None:
            raise lost_connection(self.action, EOFError("the connection is closed"))
        try:
            self._socket.sendall(data)
        except OSError as exc:
            raise lost_connection(self.action, exc) from exc

    def close(self) -> None:
        """End the stream; a read that waits in another thread returns b"" at once."""
        self._closed = True
        if self._socket is not None:
            with contextlib.suppress(OSError):  # the peer was faster
                self._socket.shutdown(socket.SHUT_RDWR)
        with self._reading:
            self._response.close()

    def __iter__(self) -> Iterator[bytes]:
        """Yield what comes until the end, then close."""
        try:
            while data := self.read_some():
                yield data
        finally:
            self.close()


def frames(stream: ByteStream, *, multiplexed: bool) -> Iterator[tuple[StreamName, bytes]]:
    """Yield the output of a process as it comes, in pieces of at most 64 KiB.

    Args:
        stream: the body of an attach, exec or logs response.
        multiplexed: whether the engine put a header before each piece that tells its stream
            (it does unless the process has a terminal).
    """
    if not multiplexed:
        while data := stream.read_some():
            yield "stdout", data
        return
    while len(header := stream.read_exactly(_HEADER.size)) == _HEADER.size:
        kind, left = _HEADER.unpack(header)
        name: StreamName = "stderr" if kind == 2 else "stdout"
        while left and (data := stream.read_some(min(left, CHUNK_BYTES))):
            left -= len(data)
            yield name, data


def json_lines(stream: ByteStream) -> Iterator[Document]:
    """Yield each JSON object of a body that has one a line."""
    rest = b""
    while data := stream.read_some():
        *lines, rest = (rest + data).split(b"\n")
        yield from (_object(line, stream) for line in lines if line.strip())
        if len(rest) > _LINE_BYTES:
            raise lost_connection(stream.action, ValueError("a line does not end"))
    if rest.strip() and not stream.closed:
        yield _object(rest, stream)


def _object(line: bytes, stream: ByteStream) -> Document:
    try:
        found = json_value(line)
        if isinstance(found, dict):
            return found
    except ValueError as exc:
        raise lost_connection(stream.action, exc) from exc
    raise lost_connection(stream.action, ValueError(f"a {type(found).__name__}, not an object"))
