"""Where a broker's socket, lock and log are, and how one is found or started."""

from __future__ import annotations

import hashlib
import json
import os
import select
import socket
import stat
import struct
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from dockwright._files import locked
from dockwright.errors import LeaseError
from dockwright.paths import project_hash
from dockwright.recording import encoded
from dockwright.settings import Settings

_DIRECTORY_LIMIT = 78  # so that a socket's path fits: 104 bytes on macOS, 108 on Linux


def runtime_directory() -> Path:
    """Return the user's private directory for sockets; created with mode 0700.

    Raises:
        LeaseError: there can be none, or it belongs to somebody else.
    """
    tried = []
    for directory in _candidates():
        if len(str(directory)) > _DIRECTORY_LIMIT:
            tried.append(f"{directory}: its path is too long for a socket")
            continue
        try:
            return _made_private(directory)
        except OSError as failure:
            tried.append(f"{directory}: {failure.strerror}")
    raise LeaseError(
        "no directory for the broker's socket: " + "; ".join(tried),
        hint="set XDG_RUNTIME_DIR to a directory of your own, with a short path",
    )


def _candidates() -> Iterator[Path]:
    base = os.environ.get("XDG_RUNTIME_DIR", "")
    if base and os.access(base, os.W_OK):
        yield Path(base) / "dockwright"
    name = f"dockwright-{os.getuid()}"
    with suppress(FileNotFoundError):  # no directory for temporary files can be written to
        yield Path(tempfile.gettempdir()) / name
    yield Path("/tmp") / name  # noqa: S108 - it is looked at whose it is


def _made_private(directory: Path) -> Path:
    directory.mkdir(exist_ok=True, mode=0o700)
    status = directory.lstat()
    if status.st_uid != os.getuid() or not stat.S_ISDIR(status.st_mode):
        raise LeaseError(
            f"{directory} belongs to another user",
            hint="set XDG_RUNTIME_DIR to a directory of your own",
        )
    directory.chmod(0o700)
    return directory


_BACKLOG = 128


@dataclass(frozen=True, slots=True)
class BrokerPlace:
    """The files of one broker: one per project root, engine and, if they differ, version.

    Attributes:
        name: stands for those in the names of the files.
        directory: holds them.
    """

    name: str
    directory: Path

    @classmethod
    def of(cls, root: Path, engine_url: str, *, version: str = "") -> BrokerPlace:
        """Return the place for a project root and an engine."""
        key = f"{project_hash(root)}\n{engine_url}\n{version}"
        return cls(hashlib.sha256(key.encode()).hexdigest()[:16], runtime_directory())

    @classmethod
    def at(cls, address: Path) -> BrokerPlace:
        """Return the place of a broker whose socket is `address`."""
        return cls(address.stem, address.parent)

    @property
    def address(self) -> Path:
        """The Unix socket."""
        return self.directory / f"{self.name}.sock"

    @property
    def log(self) -> Path:
        """The file that takes the broker's messages."""
        return self.directory / f"{self.name}.log"

    @property
    def _lock(self) -> Path:
        return self.directory / f"{self.name}.lock"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the right to start or end the broker of this place."""
        with locked(self._lock, create=True):  # the broker that held it may have removed it
            yield

    def vacate(self) -> None:
        """Remove what a broker that has ended leaves, unless another one is here already.

        Its log stays if there is something in it.
        """
        with self.locked():
            if self.address.exists():
                return
            if self.log.exists() and not self.log.stat().st_size:
                self.log.unlink()
            self._lock.unlink()  # whoever waits for it sees that, and makes another

    def connect(self) -> socket.socket | None:
        """Return a connection to the broker, or None where none listens."""
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.connect(str(self.address))
        except (FileNotFoundError, ConnectionRefusedError):
            sock.close()
            return None
        return sock

    def listen(self) -> socket.socket:
        """Return a listening socket, mode 0600; what a dead broker left is replaced."""
        self.address.unlink(missing_ok=True)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        before = os.umask(0o177)
        try:
            sock.bind(str(self.address))
        finally:
            os.umask(before)
        sock.listen(_BACKLOG)
        return sock


def connect_or_start(place: BrokerPlace, settings: Settings) -> socket.socket:
    """Return a connection to the place's broker; start it if none listens.

    Of many clients that find none, one starts it: the socket listens before the broker does, so
    that nobody has to wait for its start.

    Args:
        place: where the broker is.
        settings: how it runs if it is started here.

    Raises:
        LeaseError: none can be started.
    """
    try:
        sock = _connected_or_started(place, settings)
    except OSError as failure:
        raise LeaseError(
            f"cannot start the broker in {place.directory}: {failure}",
            hint="check free space and write permission; XDG_RUNTIME_DIR sets another directory",
        ) from failure
    if sock is None:
        raise LeaseError(
            "the broker ended as soon as it was started", hint=f"its log is {place.log}"
        )
    return sock


def _connected_or_started(place: BrokerPlace, settings: Settings) -> socket.socket | None:
    sock = place.connect()
    if sock is not None:
        return sock
    with place.locked():
        sock = place.connect()
        if sock is not None:
            return sock
        listener = place.listen()
        try:
            _spawn(place, listener, settings)
        finally:
            listener.close()
        return place.connect()


def _spawn(place: BrokerPlace, listener: socket.socket, settings: Settings) -> None:
    """Start the broker in a session of its own, so that no signal for this process reaches it."""
    root = settings.root.resolve()
    argv = [
        *(sys.executable, "-m", "dockwright.pool.broker"),
        *("--fd", str(listener.fileno())),
        *("--socket", str(place.address)),
        *("--root", str(root)),
    ]
    listener.set_inheritable(True)
    log_flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as its_input:
        try:
            os.posix_spawn(
                sys.executable,
                argv,
                os.environ,
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, reading, 0),
                    (os.POSIX_SPAWN_OPEN, 1, str(place.log), log_flags, 0o600),
                    (os.POSIX_SPAWN_DUP2, 1, 2),
                ],
                setsid=True,
            )
        finally:
            os.close(reading)
        # Not on the command line, which everybody can read: an engine's URL may hold a password.
        json.dump(encoded(replace(settings, root=root)), its_input)


def peer_uid(sock: socket.socket) -> int:
    """Return the user id of the process at the other end of a Unix socket."""
    if hasattr(socket, "SO_PEERCRED"):
        credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        return int(struct.unpack("3i", credentials)[1])
    # macOS: struct xucred { u_int version; uid_t uid; ... } (sys/ucred.h)
    level, option = 0, 1  # SOL_LOCAL, LOCAL_PEERCRED
    credentials = sock.getsockopt(level, option, struct.calcsize("2I"))
    return int(struct.unpack("2I", credentials)[1])


def process_handle(pid: int) -> int | None:
    """Return a descriptor that becomes readable when a process ends; None: there is none."""
    if not hasattr(os, "pidfd_open"):
        return None
    try:
        return os.pidfd_open(pid)
    except OSError:  # an old kernel, or it has just ended
        return None


def ends_within(pid: int, seconds: float) -> bool:
    """Wait until a process has ended; return whether it has within this time."""
    handle = process_handle(pid)
    if handle is None:
        return True  # it is gone, or this system cannot tell: its owner is looked at all the same
    try:
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        return bool(poll.poll(1000 * seconds))
    finally:
        os.close(handle)
