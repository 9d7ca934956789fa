"""Runs what reads foreign input many times in a process of its own, and bounds each time.

A module of mutations calls `main` with its `attempt`; a test calls `failures` with that module.
"""

from __future__ import annotations

import gc
import re
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from dockwright.errors import DockwrightError

_CPU_S = 2.0
_MEMORY_KIB = 300 << 10
_FAILURES = 5

Attempt = Callable[[int], object]
"""Reads the input that a seed makes: returns, or raises a `DockwrightError`."""


class _TooLongError(BaseException):
    """No `except Exception` of what is tested may hide it."""


def failures(module: str, seeds: range) -> str:
    """Return what went wrong with the inputs of some seeds; nothing where nothing did.

    Wrong are: an error that is not one of dockwright's, more than 2 s of processor time for one
    input, more than 300 MB of memory.
    """
    argv = [sys.executable, "-m", module, str(seeds.start), str(seeds.stop)]
    ended = subprocess.run(argv, capture_output=True, text=True, check=False)
    killed = f"ended with {ended.returncode}: {ended.stderr}" if ended.returncode else ""
    return ended.stdout + killed


def main(attempt: Attempt) -> None:
    """Try the seeds that the command line names, and print what went wrong."""
    start, stop = map(int, sys.argv[1:])
    wrong = 0
    for seed in range(start, stop):
        gc.collect()  # what earlier errors still hold does not count
        if problem := _problem(attempt, seed):
            print(f"seed {seed}: {problem}", flush=True)
            wrong += 1
        used = _most_memory_kib()
        if used > _MEMORY_KIB:
            print(f"seed {seed}: {used >> 10} MiB of memory", flush=True)
            return
        if wrong >= _FAILURES:
            return


def _problem(attempt: Attempt, seed: int) -> str:
    try:
        with _limited():
            attempt(seed)
    except DockwrightError as failure:
        return "its message is long" if len(str(failure)) > 3000 else ""
    except (Exception, _TooLongError) as bug:  # noqa: BLE001 - what is looked for
        return "".join(traceback.format_exception(bug)[-8:])
    return ""


def _most_memory_kib() -> int:
    match = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(match[1]) if match else 0


@contextmanager
def _limited() -> Iterator[None]:
    def end(number: int, frame: FrameType | None) -> None:
        raise _TooLongError(f"more than {_CPU_S:g} s of processor time")

    signal.signal(signal.SIGPROF, end)
    signal.setitimer(signal.ITIMER_PROF, _CPU_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
