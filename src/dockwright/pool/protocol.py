"""The messages between a broker and its clients: JSON, each with its length before it.

    client  ──  {"id": 1, "do": "hello", "version": "0.1.0", ...}  ──►  broker
    client  ◄─  {"id": 1, "ok": {...}}  or  {"id": 1, "error": {...}}  ──  broker

Requests of one client may be answered in any order; the `id` links an answer to its request. If a
client is gone, its connection ends.
"""

from __future__ import annotations

import json
import re
import select
import socket
import struct
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any, TypeAlias, cast

from dockwright.compose import LoadOptions
from dockwright.errors import DockwrightError, LeaseError
from dockwright.model import Json, Ownership
from dockwright.pool.lease import Lease, LeaseInfo
from dockwright.recording import encoded
from dockwright.untrusted import json_value

PROTOCOL = 7
"""Incremented by every change that an older client or broker would misread."""

LIMIT_BYTES = 4 << 20
"""The longest message: twice as long as the largest environment with Compose options."""

_FRAME_S = 30.0
"""How long a message may take from its first byte to its last, in seconds."""

_SMALL_BYTES = 64 << 10

Message: TypeAlias = dict[str, Any]
"""One decoded message; its fields depend on what it asks for."""

_LENGTH = struct.Struct("!I")

_ERROR_MODULE = re.compile(r"dockwright(\.[a-z]\w*)+")  # modules with a leading "_" run programs


class ProtocolError(LeaseError):
    """The other side sent something that is not a valid message."""


class PendingLimit:
    """Limits the memory for incomplete messages on all connections of one process.

    Args:
        limit_bytes: the most bytes of incomplete messages; small messages do not count.
    """

    def __init__(self, limit_bytes: int = 32 << 20) -> None:
        self._left = limit_bytes
        self._lock = threading.Lock()

    @contextmanager
    def reserved(self, count: int) -> Iterator[None]:
        """Reserve memory for one message.

        Raises:
            ProtocolError: too much is reserved already.
        """
        count = count if count > _SMALL_BYTES else 0
        with self._lock:
            if count > self._left:
                raise ProtocolError(
                    f"no memory for a message of {count} bytes: too many are pending"
                )
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
        pending: shared with other connections; default: a limit of its own.
    """

    def __init__(self, sock: socket.socket, pending: PendingLimit | None = None) -> None:
        self._sock = sock
        self._pending = pending or PendingLimit()
        self._sending = threading.Lock()

    def send(self, message: Mapping[str, object]) -> None:
        """Send one message.

        Raises:
            OSError: the other side is gone.
            ProtocolError: the message is too long.
        """
        data = json.dumps(message, separators=(",", ":")).encode()
        if len(data) > LIMIT_BYTES:
            raise ProtocolError(f"a message of {len(data)} bytes is longer than {LIMIT_BYTES}")
        with self._sending:
            self._sock.sendall(_LENGTH.pack(len(data)) + data)

    def receive(self) -> Message | None:
        """Return the next message; None at the end of the connection.

        Raises:
            ProtocolError: the data is not a valid message.
        """
        head = self._exactly(_LENGTH.size)
        if head is None:
            return None
        (length,) = _LENGTH.unpack(head)
        if length > LIMIT_BYTES:
            raise ProtocolError(f"a message of {length} bytes is longer than {LIMIT_BYTES}")
        with self._pending.reserved(length):
            data = self._exactly(length, until=time.monotonic() + _FRAME_S)
            return None if data is None else _decoded(data)

    def fileno(self) -> int:
        """Return the socket's file descriptor, for `poll`."""
        return self._sock.fileno()

    def close(self) -> None:
        """End the connection; a blocked `receive` in another thread returns None."""
        with suppress(OSError):  # it may be disconnected already
            self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()

    def _exactly(self, count: int, until: float | None = None) -> bytes | None:
        parts = bytearray()
        while len(parts) < count:
            try:
                self._await(until)
                part = self._sock.recv(count - len(parts))
            except OSError:
                return None  # reset by a peer that died, or closed on this side
            if not part:
                return None
            parts += part
        return bytes(parts)

    def _await(self, until: float | None) -> None:
        """Wait for data; without a timeout of the socket, which would apply to sending as well."""
        if until is None:
            return
        left_s = max(0.0, until - time.monotonic())
        poll = select.poll()  # select only knows the first 1024 descriptors
        poll.register(self._sock, select.POLLIN)
        if not poll.poll(left_s * 1000):
            raise ProtocolError(f"a message was not complete after {_FRAME_S:g} s")


def _decoded(data: bytes) -> Message:
    try:
        message = json_value(data)
    except ValueError as exc:
        raise ProtocolError(f"a message is not JSON: {exc}") from exc
    if not isinstance(message, dict):
        raise ProtocolError(f"a message must be an object, not {type(message).__name__}")
    return cast("Message", message)


@contextmanager
def decoding(what: str) -> Iterator[None]:
    """Report a missing field or a field of the wrong type as a protocol error.

    Args:
        what: the message or the part that is read.

    Raises:
        ProtocolError: replaces the error raised while reading the field.
    """
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as exc:
        raise ProtocolError(f"{what} is wrong: {type(exc).__name__}: {exc}"[:300]) from exc


def error_to_json(failure: BaseException) -> Message:
    """Return an error as a message part that `error_from_json` turns back into the error."""
    if not isinstance(failure, DockwrightError):
        failure = LeaseError(f"{type(failure).__name__}: {failure}")
    kind = type(failure)
    return {
        "type": f"{kind.__module__}:{kind.__qualname__}",
        "args": _plain(failure.args),
        "attributes": {name: _plain(value) for name, value in vars(failure).items()},
    }


def error_from_json(part: Message) -> DockwrightError:
    """Return the error that the other side reported: the same class with the same attributes."""
    kind = _error_class(str(part["type"]))
    failure = kind.__new__(kind, *map(_restored, part["args"]))
    failure.__dict__.update({name: _restored(value) for name, value in part["attributes"].items()})
    return failure


def _error_class(name: str) -> type[DockwrightError]:
    """Return the class of an error, imported from the module that defines it.

    Raises:
        ValueError: it is not one of dockwright's errors.
    """
    module, _, attribute = name.partition(":")
    if _ERROR_MODULE.fullmatch(module):
        with suppress(ImportError):
            kind = getattr(import_module(module), attribute, None)
            if isinstance(kind, type) and issubclass(kind, DockwrightError):
                return kind
    raise ValueError(f"not an error of dockwright: {name[:100]!r}")


def _plain(value: object) -> Json:
    """Return an attribute of an error as JSON; paths are marked, unknown values become texts."""
    if isinstance(value, Path):
        return {"path": str(value)}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value if isinstance(value, str | int | float | None) else str(value)


def _restored(value: Any) -> Any:
    if isinstance(value, dict):
        return Path(value["path"])
    return [_restored(item) for item in value] if isinstance(value, list) else value


def load_options_to_json(options: LoadOptions) -> dict[str, Json]:
    """Return options with all paths absolute: the broker runs in another directory."""
    working_dir = options.working_dir
    absolute = replace(
        options,
        files=tuple(path.absolute() for path in options.files),
        working_dir=None if working_dir is None else working_dir.absolute(),
        env_files=tuple(path.absolute() for path in options.env_files),
        start=(options.start or Path.cwd()).absolute(),
    )
    # The default, which would be left out, is the environment of whichever process reads this.
    return {**encoded(absolute), "environ": dict(options.environ)}


@dataclass(frozen=True, slots=True)
class Grant:
    """What a client needs to use a leased stack without asking the engine for it.

    Attributes:
        lease: the lease's number, which ends it.
        info: what is known of the stack without its engine.
        ownership: what its labels say.
        containers: ids by service.
        networks: what is known of its addresses, see `Addresses.adopt`.
        directory: where its native processes log.
        waited_s: how long the client waited for it, in seconds.
        seeding: whether the client has to seed the stack first.
        lost: see `Lease.lost`.
        doubted: see `Lease.doubted`.
    """

    lease: int
    info: LeaseInfo
    ownership: Ownership
    containers: Mapping[str, str]
    networks: Mapping[str, Any]
    directory: Path
    waited_s: float
    seeding: bool = False
    lost: tuple[str, ...] | None = None
    doubted: tuple[str, ...] = ()

    @classmethod
    def of(cls, number: int, lease: Lease) -> Grant:
        """Return the grant of a lease."""
        stack = lease.stack
        return cls(
            lease=number,
            info=lease.facts,
            ownership=stack.identity.ownership,
            containers=dict(stack.containers),
            networks=stack.addresses.known(),
            directory=stack.options.log_directory,
            waited_s=lease.waited_s,
            seeding=lease.seeding,
            lost=lease.lost,
            doubted=lease.doubted,
        )
