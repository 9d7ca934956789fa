"""Whether this user may make worlds; users who are not root become it in a user namespace."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from typing import NoReturn

from dockwright.errors import UsageError
from dockwright.isolate.inside import users
from dockwright.isolate.inside.plan import AS_ROOT, start

_TRIAL_S = 20.0
_OTHER_WAYS = (
    "run as root (`sudo`), in a VM or in a privileged container; without, several engines by "
    "docker contexts can be shared among workers"
)
_LINUX_ONLY = (
    "run the suite in a Linux VM, or in a privileged Linux container; without, several engines by "
    "docker contexts can be shared among workers"
)


def is_root() -> bool:
    """Return whether this process has root's rights, in this user namespace at least."""
    return os.geteuid() == 0


def require_possible(*, engine: bool) -> None:
    """Check what no world can be without.

    Args:
        engine: whether worlds have engines of their own.

    Raises:
        UsageError: the system or this user's rights do not allow worlds; says what to do.
    """
    if not sys.platform.startswith("linux"):
        raise UsageError(
            "worlds are made of Linux namespaces, and this is not Linux", hint=_LINUX_ONLY
        )
    if is_root():
        return
    if reason := _refused():
        raise UsageError(
            f"user {os.geteuid()} cannot give workers a world of their own: this machine allows "
            f"no user namespaces ({reason})",
            hint=_OTHER_WAYS,
        )
    if engine and (lack := users.lacking()):
        raise UsageError(
            f"user {os.geteuid()} cannot give workers an engine of their own: containers need more "
            "than one user id",
            hint=f"{lack}; or separate only --home --net",
        )


def _refused() -> str:
    """Return why this user may not make user namespaces; empty: it may."""
    try:
        done = subprocess.run(
            with_rights(("true",)), capture_output=True, text=True, timeout=_TRIAL_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as failure:
        return str(failure)
    return (done.stderr.strip() or f"exit code {done.returncode}") if done.returncode else ""


def with_rights(command: Sequence[str]) -> list[str]:
    """Return a command that does the same with root's rights, if only in a user namespace."""
    return list(command) if is_root() else start(sys.executable, AS_ROOT, *command)


def become_root() -> NoReturn:
    """Run this whole program again, in a user namespace in which this user is root."""
    words = with_rights((sys.executable, *sys.orig_argv[1:]))
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(words[0], words)
