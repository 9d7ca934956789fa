"""Checks whether worlds can be made on this machine: by making some."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal, NamedTuple

from dockwright._text import duration
from dockwright.errors import UsageError
from dockwright.isolate.inside import control_groups
from dockwright.isolate.inside.plan import Plan
from dockwright.isolate.inside.users import is_rootless, lacking
from dockwright.isolate.planning import (
    find_dockerd,
    try_engine,
    try_world,
    worlds_directory,
)
from dockwright.isolate.rights import is_root, require_possible

_VERSION_S = 10.0
_TRY = "dockwright-try"
_ROOTLESS = "Linux, root in a user namespace"
_FIREWALL = "docs/how-to/isolate-a-suite.md lists what the machine must allow"


class Check(NamedTuple):
    """The result of one check.

    Attributes:
        name: what was checked.
        status: as that of the other findings of ``dockwright doctor``.
        detail: what was found.
        remedy: what to do about it.
    """

    name: str
    status: Literal["ok", "warn", "fail"]
    detail: str
    remedy: str = ""


def checks() -> Iterator[Check]:
    """Check one thing after the other, until one that the others depend on fails."""
    try:
        require_possible(engine=False)
    except UsageError as failure:
        yield Check("isolate: rights", "fail", failure.message, failure.hint or "")
        return
    rootless = is_rootless() or not is_root()
    yield Check("isolate: rights", "ok", _ROOTLESS if rootless else "Linux, root")
    yield _control_groups(rootless=rootless)
    plan = Plan(str(worlds_directory()), sys.executable, engine=False, rootless=rootless)
    if reason := try_world(plan):
        yield Check("isolate: namespaces", "fail", reason, "run in a VM or a privileged container")
        return
    yield Check("isolate: namespaces", "ok", "mounts, network, processes, IPC, host name")
    if not is_root() and (lack := lacking()):
        yield Check("isolate: user ids", "fail", "this user has one only", lack)
        return
    yield from _engine(replace(plan, engine=True))


def _control_groups(*, rootless: bool) -> Check:
    if rootless:
        return Check(
            "isolate: control groups",
            "warn",
            "none without root: limits of containers have no effect, and nobody counts what "
            "workers use",
            "run as root (`sudo`) where that matters",
        )
    groups = control_groups.create(control_groups.places(_TRY))
    control_groups.end(groups)
    kinds = {each.kind for each in control_groups.hierarchies()}
    shown = {"cgroup": "version 1", "cgroup2": "version 2"}
    found = " and ".join(shown[kind] for kind in sorted(kinds))
    if not groups:
        return Check(
            "isolate: control groups",
            "fail",
            "cannot create any",
            "mount them writable: run in a VM or a privileged container",
        )
    return Check("isolate: control groups", "ok", found)


def _engine(plan: Plan) -> Iterator[Check]:
    try:
        dockerd = find_dockerd("")
    except UsageError as failure:
        yield Check("isolate: dockerd", "fail", failure.message, failure.hint or "")
        return
    yield Check("isolate: dockerd", "ok", _version(dockerd))
    began = time.monotonic()
    reason = try_engine(replace(plan, dockerd=dockerd))
    if reason:
        yield Check("isolate: engine", "fail", reason, _FIREWALL)
        return
    took = duration(time.monotonic() - began)
    yield Check("isolate: engine", "ok", f"one in a world of its own started and ended in {took}")


def _version(dockerd: str) -> str:
    try:
        done = subprocess.run(
            [dockerd, "--version"], capture_output=True, text=True, timeout=_VERSION_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return dockerd
    return f"{done.stdout.strip()} ({Path(dockerd)})"
