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
NEW_USERS = 0x10000000
NEW_PIDS = 0x20000000
NEW_NETWORK = 0x40000000

READ_ONLY, REMOUNT, BIND, RECURSIVE, PRIVATE = 0x1, 0x20, 0x1000, 0x4000, 0x40000
_NO_SETUID, _NO_DEVICES, _NO_PROGRAMS = 0x2, 0x4, 0x8
PLAIN = _NO_SETUID | _NO_DEVICES | _NO_PROGRAMS
"""Mount flags of file systems that hold no programs and no devices."""

_CLONE3 = 435  # the same number on all processors
_DETACH = 2
_SET_DEATH_SIGNAL = 1
_GET_FLAGS, _SET_FLAGS, _IS_UP = 0x8913, 0x8914, 0x1


def unshare(flags: int) -> None:
    """Leave the namespaces in `flags` for new ones; that of processes is for children only.

    Raises:
        OSError: this user or machine does not allow it.
    """
    _checked(_libc().unshare(flags), "unshare")


def fork_into_processes() -> int:
    """Fork so that the child is the first process of a new process namespace.

    `unshare` would put all later children of this process there, and only root can go back.

    Returns:
        The child's process id; 0 in the child.

    Raises:
        OSError: this user or machine does not allow it.
    """
    arguments = struct.pack("11Q", NEW_PIDS, 0, 0, 0, signal.SIGCHLD, 0, 0, 0, 0, 0, 0)
    python, libc = ctypes.pythonapi, ctypes.PyDLL(None, use_errno=True)
    python.PyOS_BeforeFork()
    pid = libc.syscall(_CLONE3, arguments, ctypes.c_size_t(len(arguments)))
    if pid == 0:
        python.PyOS_AfterFork_Child()
        return 0
    python.PyOS_AfterFork_Parent()
    _checked(int(pid < 0), "clone")
    return int(pid)


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
        kept = os.statvfs(target).f_flag & PLAIN  # must not be lost in a user namespace
        mount("", target, flags=BIND | REMOUNT | READ_ONLY | kept)


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
