"""Runs a command as a process group of its own, measured, and ended gently when we are."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_GRACE_S = 60.0
"""A suite that is interrupted removes its containers; rivals do so one after the other."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a command took.

    Attributes:
        wall_s: from its start to its end.
        cpu_s: processor time of the process and of those that it waited for, user and system.
    """

    wall_s: float
    cpu_s: float


def run(
    argv: Sequence[str], *, directory: Path, environment: Mapping[str, str], timeout_s: float
) -> Cost:
    """Run a command to its end.

    Args:
        argv: the command.
        directory: in which it runs, and which gets its output.
        environment: its environment.
        timeout_s: after this time it is interrupted, which is a failure.

    Raises:
        RuntimeError: it failed; with the end of its output.
    """
    log = directory / "output.log"
    before, began = _children_cpu_s(), time.perf_counter()
    with log.open("w") as output:
        process = subprocess.Popen(
            argv,
            cwd=directory,
            env=environment,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    timer = threading.Timer(timeout_s, _signal, (process, signal.SIGINT))
    timer.start()
    try:
        status = process.wait()
    except BaseException:
        _end(process)
        raise
    finally:
        timer.cancel()
    cost = Cost(time.perf_counter() - began, _children_cpu_s() - before)
    if status:
        end = "\n".join(log.read_text(errors="replace").splitlines()[-40:])
        raise RuntimeError(f"`{' '.join(argv)}` ended with {status}:\n{end}")
    return cost


def _children_cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _end(process: subprocess.Popen[bytes]) -> None:
    """Let an interrupted suite clean up, but not for ever."""
    _signal(process, signal.SIGINT)
    try:
        process.wait(_GRACE_S)
    except subprocess.TimeoutExpired:
        _signal(process, signal.SIGKILL)
        process.wait()


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError):  # it has just ended by itself
        os.killpg(process.pid, number)
