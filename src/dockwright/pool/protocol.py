"""The messages between a broker and its clients: JSON, each with its length before it.

    client  ──  {"id": 1, "do": "hello", "version": "0.1.0", ...}  ──►  broker
    client  ◄─  {"id": 1, "ok": {...}}  or  {"id": 1, "error": {...}}  ──  broker

Requests of one client may be answered in any order; `id` tells which answer is whose. A client
that is gone is an end of file.
"""

from __future__ import annotations

import json
import select
import socket
import struct
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeAlias, cast

from dockwright import errors
from dockwright.compose import LoadOptions
from dockwright.errors import DockwrightError, LeaseError
from dockwright.model import Json, Owner, Ownership
from dockwright.pool.lease import Lease, LeaseInfo

PROTOCOL = 4
"""Raised by every change that an older client or broker would misread."""

LIMIT_BYTES = 4 << 20
"""The longest message: a client's environment and Compose options fit twice."""

_FRAME_S = 30.0
"""How long a message may take from its first byte to its last, in seconds."""

_SMALL_BYTES = 64 << 10

Message: TypeAlias = dict[str, Any]
"""One decoded message; its fields depend on what it asks for."""

_LENGTH = struct.Struct("!I")


class ProtocolError(LeaseError):
    """The other side sent something that is no message."""


class Room:
    """What all connections of one process may hold together of messages that are not whole yet.

    Args:
        limit_bytes: of those that are not small.
    """

    def __init__(self, limit_bytes: int = 32 << 20) -> None:
        self._left = limit_bytes
        self._lock = threading.Lock()

    @contextmanager
    def taken(self, count: int) -> Iterator[None]:
        """Hold so many bytes of it.

        Raises:
            ProtocolError: the others have left less.
        """
        count = count if count > _SMALL_BYTES else 0
        with self._lock:
            if count > self._left:
                raise ProtocolError(f"no room for a message of {count} bytes: too many are pending")
            self._left -= count
        try:
            yield
        finally:
            with self._lock:
                self._left += count


class Connection:
    """One end of a connection; several threads may send, one receives.

    Args:
        sock: connected to the other side.
        room: shared with the connections to others; default: one of its own.
    """

    def __init__(self, sock: socket.socket, room: Room | None = None) -> None:
        self._sock = sock
        self._room = room or Room()
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
        with self._room.taken(length):
            data = self._exactly(length, until=time.monotonic() + _FRAME_S)
            return None if data is None else _decoded(data)

    def fileno(self) -> int:
        """Return the socket's descriptor, to be waited for."""
        return self._sock.fileno()

    def close(self) -> None:
        """End the connection; a blocked `receive` in another thread returns None."""
        with suppress(OSError):  # it may not be connected any more
            self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()

    def _exactly(self, count: int, until: float | None = None) -> bytes | None:
        parts = bytearray()
        while len(parts) < count:
            try:
                self._await(until)
                part = self._sock.recv(count - len(parts))
            except OSError:
                return None  # reset by a peer that died, or closed by our own side
            if not part:
                return None
            parts += part
        return bytes(parts)

    def _await(self, until: float | None) -> None:
        """Wait until something has come; not by a timeout of the socket, that would end sending."""
        if until is None:
            return
        left_s = max(0.0, until - time.monotonic())
        poll = select.poll()  # not select: it knows the first 1024 descriptors only
        poll.register(self._sock, select.POLLIN)
        if not poll.poll(left_s * 1000):
            raise ProtocolError(f"a message was not whole after {_FRAME_S:g} s")


def _decoded(data: bytes) -> Message:
    try:
        message = json.loads(data)
    except (ValueError, RecursionError) as exc:
        raise ProtocolError(f"a message is not JSON: {exc}") from exc
    if not isinstance(message, dict):
        raise ProtocolError(f"a message is an object, not {type(message).__name__}")
    return cast("Message", message)


@contextmanager
def decoding(what: str) -> Iterator[None]:
    """Report a field that is missing or of another type as a message that is none.

    Raises:
        ProtocolError: in the place of the error of whoever reads the field.
    """
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as exc:
        raise ProtocolError(f"{what} is wrong: {type(exc).__name__}: {exc}"[:300]) from exc


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


def load_options_to_json(options: LoadOptions) -> dict[str, Json]:
    """Return options with all paths absolute: the broker lives in another directory."""

    def paths(given: tuple[Path, ...]) -> list[Json]:
        return [str(path.absolute()) for path in given]

    return {
        "files": paths(options.files),
        "project_name": options.project_name,
        "working_dir": str(options.working_dir.absolute()) if options.working_dir else None,
        "profiles": list(options.profiles),
        "env_files": paths(options.env_files),
        "environ": dict(options.environ),
        "start": str((options.start or Path.cwd()).absolute()),
    }


def load_options_from_json(values: dict[str, Any]) -> LoadOptions:
    """Read what `load_options_to_json` returned."""
    working_dir, start = values["working_dir"], values["start"]
    return LoadOptions(
        files=tuple(map(Path, values["files"])),
        project_name=values["project_name"],
        working_dir=Path(working_dir) if working_dir else None,
        profiles=tuple(values["profiles"]),
        env_files=tuple(map(Path, values["env_files"])),
        environ=values["environ"],
        start=Path(start),
    )


def lease_to_json(lease: Lease) -> dict[str, Json]:
    """Return what a client needs to use the leased stack without asking the engine for it."""
    stack = lease.stack
    return {
        "facts": asdict(lease.facts),
        "ownership": asdict(stack.identity.ownership),
        "containers": dict(stack.containers),
        "networks": stack.addresses.known(),
        "directory": str(stack.options.log_directory),
        "waited_s": lease.waited_s,
        "seeding": lease.seeding,
    }


def facts_from_json(values: dict[str, Any]) -> LeaseInfo:
    """Read the facts of a leased stack."""
    return LeaseInfo(**{**values, "units": tuple(values["units"])})


def ownership_from_json(values: dict[str, Any]) -> Ownership:
    """Read the ownership of a leased stack."""
    owner = values["owner"]
    return Ownership(**{**values, "owner": None if owner is None else Owner(**owner)})
