"""A herd of processes that keep runs in one store, some of which are killed all the time.

    python -m tests._support.recording.writers STORE ACKNOWLEDGED WRITERS KILLS SEED

Each writer appends a run's id to ACKNOWLEDGED when `RunStore.add` has returned.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
import time
import warnings
from pathlib import Path

from dockwright.recording import RunRecord, RunStore, Span, StoreOptions, TestRecord

_LONGEST_S = 0.25


def _record(run: str) -> RunRecord:
    tests = tuple(
        TestRecord(
            f"test_{number % 50}.py::test_{number}",
            "main",
            float(number),
            1.0,
            "passed",
            spans=(Span("call", "", float(number), 1.0),),
        )
        for number in range(200)
    )
    return RunRecord(run, time.time(), 200.0, 0, tests=tests)


def _write(store: RunStore, acknowledged: Path) -> None:
    file = os.open(acknowledged, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    number = 0
    while True:
        run = f"{os.getpid()}-{number}"
        store.add(_record(run))
        os.write(file, f"{run}\n".encode())
        number += 1


def _fork(store: RunStore, acknowledged: Path) -> int:
    pid = os.fork()
    if pid:
        return pid
    try:
        _write(store, acknowledged)
    finally:
        os._exit(1)  # a writer ends by being killed; whatever else it was is told by its traceback


def main() -> None:
    """Let the herd write; tell how many writers ended by themselves, which none should."""
    store_file, acknowledged, writers, kills, seed = sys.argv[1:]
    warnings.simplefilter("error")
    dice = random.Random(int(seed))
    store = RunStore(Path(store_file), StoreOptions(keep_runs=0, keep_days=0, busy_s=30))
    herd = [_fork(store, Path(acknowledged)) for _ in range(int(writers))]
    moment = threading.Event()
    ended = 0
    for _ in range(int(kills)):
        moment.wait(dice.uniform(0.0, _LONGEST_S))  # what is wanted is just any moment
        victim = herd.pop(dice.randrange(len(herd)))
        os.kill(victim, signal.SIGKILL)
        _, status = os.waitpid(victim, 0)
        ended += not os.WIFSIGNALED(status)
        herd.append(_fork(store, Path(acknowledged)))
    for writer in herd:
        os.kill(writer, signal.SIGKILL)
        _, status = os.waitpid(writer, 0)
        ended += not os.WIFSIGNALED(status)
    print(ended)


if __name__ == "__main__":
    main()
