"""The messages between a broker and its clients: JSON, each with its length before it.

    client  ──  {"id": 1, "do": "hello", "version": "0.1.0", ...}  ──►  broker
    client  ◄─  {"id": 1, "ok": {...}}  or  {"id": 1, "error": {...}}  ──  broker

Requests of one client may be answered in any order; `id` tells which answer is whose. A client
that is gone is an end of file.
"""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, TypeAlias, cast

from dockwright import errors
from dockwright.errors import DockwrightError, LeaseError

PROTOCOL = 4
"""Raised by every change that an older client or broker would misread."""

LIMIT_BYTES = 16 << 20
"""The longest message: a client's environment and Compose options fit many times over."""

Message: TypeAlias = dict[str, Any]
"""One decoded message; its fields depend on what it asks for."""

_LENGTH = struct.Struct("!I")


class ProtocolError(LeaseError):
    """The other side sent something that is no message."""


class Connection:
    """One end of a connection; several threads may send, one receives."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._sending = threading.Lock()

    def send(self, message: Mapping[str, object]) -> None:
        """Send one message.

        Raises:
            OSError: the other side is gone.
            ProtocolError: the message is too long.
        """
        data = json.dumps(message, separators=(",", ":")).encode()
        if len(data) > LIMIT_BYTES:
            raise ProtocolError(f"a message of {len(data)} bytes is over {LIMIT_BYTES}")
        with self._sending:
            self._sock.sendall(_LENGTH.pack(len(data)) + data)

    def receive(self) -> Message | None:
        """Return the next message; None at the end of the connection.

        Raises:
            ProtocolError: what came is no message.
        """
        head = self._exactly(_LENGTH.size)
        if head is None:
            return None
        (length,) = _LENGTH.unpack(head)
        if length > LIMIT_BYTES:
            raise ProtocolError(f"a message of {length} bytes was announced: over {LIMIT_BYTES}")
        data = self._exactly(length)
        if data is None:
            return None
        try:
            message = json.loads(data)
        except ValueError as exc:
            raise ProtocolError(f"a message is not JSON: {exc}") from exc
        if not isinstance(message, dict):
            raise ProtocolError(f"a message is an object, not {type(message).__name__}")
        return cast("Message", message)

    def fileno(self) -> int:
        """Return the socket's descriptor, to be waited for."""
        return self._sock.fileno()

    def close(self) -> None:
        """End the connection; a blocked `receive` in another thread returns None."""
        with suppress(OSError):  # it may not be connected any more
            self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()

    def _exactly(self, count: int) -> bytes | None:
        parts = bytearray()
        while len(parts) < count:
            try:
                part = self._sock.recv(count - len(parts))
            except OSError:
                return None  # reset by a peer that died, or closed by our own side
            if not part:
                return None
            parts += part
        return bytes(parts)


def error_to_json(failure: BaseException) -> Message:
    """Return an error as a message part that `error_from_json` raises on the other side."""
    if isinstance(failure, DockwrightError):
        return {
            "type": type(failure).__name__,
            "message": failure.message,
            "hint": failure.hint,
        }
    return {"type": "LeaseError", "message": f"{type(failure).__name__}: {failure}", "hint": None}


def error_from_json(part: Message) -> DockwrightError:
    """Return the error that the other side reported, of the same class where it is one of ours."""
    found = getattr(errors, str(part["type"]), LeaseError)
    kind = found if isinstance(found, type) and issubclass(found, DockwrightError) else LeaseError
    return kind(str(part["message"]), hint=part["hint"])
