"""The calls of the Linux kernel that worlds are made of and that Python 3.11 does not offer."""

from __future__ import annotations

import ctypes
import fcntl
import os
import signal
import socket
import struct

NEW_MOUNTS = 0x00020000
NEW_CGROUPS = 0x02000000
NEW_UTS = 0x04000000
NEW_IPC = 0x08000000
NEW_PIDS = 0x20000000
NEW_NETWORK = 0x40000000

READ_ONLY, REMOUNT, BIND, RECURSIVE, PRIVATE = 0x1, 0x20, 0x1000, 0x4000, 0x40000
_NO_SETUID, _NO_DEVICES, _NO_PROGRAMS = 0x2, 0x4, 0x8
PLAIN = _NO_SETUID | _NO_DEVICES | _NO_PROGRAMS
"""Mount flags of file systems that hold no programs and no devices."""

_DETACH = 2
_SET_DEATH_SIGNAL = 1
_GET_FLAGS, _SET_FLAGS, _IS_UP = 0x8913, 0x8914, 0x1


def unshare(flags: int) -> None:
    """Leave the namespaces in `flags` for new ones; that of processes is for children only.

    Raises:
        OSError: this user or machine does not allow it.
    """
    _checked(_libc().unshare(flags), "unshare")


def join_processes(descriptor: int) -> None:
    """Let later children be in the process namespace that `descriptor` stands for.

    Raises:
        OSError: this user or machine does not allow it.
    """
    _checked(_libc().setns(descriptor, NEW_PIDS), "setns")


def mount(source: str, target: str, kind: str = "", flags: int = 0, options: str = "") -> None:
    """Mount a file system, or change a mount.

    Raises:
        OSError: this user or machine does not allow it; names the target.
    """
    words = [os.fsencode(word) or None for word in (source, target, kind)]
    done = _libc().mount(*words, ctypes.c_ulong(flags), os.fsencode(options) or None)
    _checked(done, f"mount {kind or source}", target)


def unmount(target: str) -> None:
    """Take away a mount at once, even if it is in use.

    Raises:
        OSError: there is none, or this user or machine does not allow it.
    """
    _checked(_libc().umount2(os.fsencode(target), _DETACH), "unmount", target)


def bind(source: str, target: str, *, read_only: bool = False) -> None:
    """Show what is at `source` also at `target`."""
    mount(source, target, flags=BIND | RECURSIVE)
    if read_only:
        mount("", target, flags=BIND | REMOUNT | READ_ONLY)


def end_with_parent() -> None:
    """Have the kernel kill this process when its parent dies."""
    _checked(_libc().prctl(_SET_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0), "prctl")


def raise_loopback() -> None:
    """Switch on the loopback interface of a new network namespace."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sh22x", b"lo", 0)
        answer = fcntl.ioctl(any_socket, _GET_FLAGS, request)
        (flags,) = struct.unpack_from("h", answer, 16)
        fcntl.ioctl(any_socket, _SET_FLAGS, struct.pack("16sh22x", b"lo", flags | _IS_UP))


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _checked(result: int, *what: str) -> None:
    if result:
        number = ctypes.get_errno()
        raise OSError(number, f"{what[0]}: {os.strerror(number)}", *what[1:])


def restore_signals() -> None:
    """Undo what Python and worlds do with signals, before another program takes this process."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
