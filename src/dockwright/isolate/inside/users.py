"""Root's rights for other users: a user namespace in which they are root, but nowhere else.

Inside, this user is user 0, and the ids that the system's administrator has given to this user
(``/etc/subuid`` and ``/etc/subgid``) are the others. Without such ids, user 0 is the only one:
enough for worlds, but not for engines, whose containers have files and processes of many users.
"""

from __future__ import annotations

import os
import pwd
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from dockwright.isolate.inside import kernel

ENOUGH_IDS = 65_536
"""As many ids as images may use; fewer are not enough for an engine."""

_PROGRAMS = {"uid": "newuidmap", "gid": "newgidmap"}
_ALL_IDS = "4294967295"
_HELPER_FAILED = 3


@dataclass(frozen=True)
class Ids:
    """Ids that belong to a user.

    Attributes:
        first: the lowest.
        count: how many.
    """

    first: int
    count: int


def is_rootless() -> bool:
    """Return whether this process is in a user namespace, so that its root is not the machine's."""
    with suppress(OSError):
        return Path("/proc/self/uid_map").read_text().split() != ["0", "0", _ALL_IDS]
    return False


def outside_user() -> int:
    """Return the id of this process's user as the outermost namespace that it knows sees it."""
    with suppress(OSError, ValueError):
        for line in Path("/proc/self/uid_map").read_text().splitlines():
            inside, outside, count = map(int, line.split())
            if inside <= os.getuid() < inside + count:
                return outside + os.getuid() - inside
    return os.getuid()


def given_ids(file: Path) -> Ids | None:
    """Return the largest range that a file like ``/etc/subuid`` gives to this user."""
    names = {str(os.getuid())}
    with suppress(KeyError):  # a user without an entry
        names.add(pwd.getpwuid(os.getuid()).pw_name)
    found = []
    with suppress(OSError):
        for line in file.read_text().splitlines():
            with suppress(ValueError):  # not a line of this format
                name, first, count = line.split(":")
                if name in names:
                    found.append(Ids(int(first), int(count)))
    return max(found, key=lambda each: each.count, default=None)


def lacking() -> str:
    """Return what this user lacks for an engine, and how to get it; empty: nothing."""
    if missing := [name for name in _PROGRAMS.values() if shutil.which(name) is None]:
        return f"install {' and '.join(missing)} (on Debian, the package uidmap)"
    for kind in _PROGRAMS:
        file = Path(f"/etc/sub{kind}")
        ids = given_ids(file)
        if ids is None or ids.count < ENOUGH_IDS:
            return (
                f"give this user {ENOUGH_IDS} ids in {file}: "
                f"`sudo usermod --add-sub{kind}s 100000-165535 USER`, with a range that is free"
            )
    return ""


def become_root(words: Sequence[str]) -> NoReturn:
    """Become a command in a user namespace in which this user is root.

    Args:
        words: the command.

    Raises:
        OSError: this machine does not allow it.
    """
    enough = not lacking()
    unshared = os.pipe()
    helper = os.fork() if enough else 0
    if enough and not helper:
        _map_from_outside(os.getppid(), unshared)
    user, group = os.getuid(), os.getgid()
    with suppress(KeyError):  # in /tmp, pytest and others have directories named after the user
        os.environ["USER"] = os.environ["LOGNAME"] = pwd.getpwuid(user).pw_name
    kernel.unshare(kernel.NEW_USERS)
    if enough:
        os.write(unshared[1], b"1")
        if os.waitstatus_to_exitcode(os.waitpid(helper, 0)[1]):
            raise OSError(0, "newuidmap does not give this user its ids")
    else:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    os.execvp(words[0], list(words))


def _map_from_outside(target: int, unshared: tuple[int, int]) -> NoReturn:
    """Give the ids to the namespace of a process: only one outside of it may do that."""
    try:
        import subprocess  # not in all worlds

        os.close(unshared[1])
        if os.read(unshared[0], 1) != b"1":
            os._exit(_HELPER_FAILED)
        for kind, own in (("uid", os.getuid()), ("gid", os.getgid())):
            ids = given_ids(Path(f"/etc/sub{kind}"))
            assert ids is not None
            numbers = (0, own, 1, 1, ids.first, ids.count)
            subprocess.run([_PROGRAMS[kind], str(target), *map(str, numbers)], check=True)
        os._exit(0)
    finally:
        os._exit(_HELPER_FAILED)
