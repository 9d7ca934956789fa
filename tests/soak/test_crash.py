"""Whatever dies, at whatever moment: nothing of ours is left, and the next run passes."""

from __future__ import annotations

import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable

import psutil
import pytest

from dockwright.engine import Engine
from dockwright.wait import until
from tests._support.sample import FULL
from tests._support.soak_suite import Suite, kill_group, there, workers_of
from tests.soak.conftest import rounds

pytestmark = [pytest.mark.engine, pytest.mark.timeout(7200 if FULL else 300)]

ALONE_S = 2.0 if FULL else 10.0
"""How soon a living broker has removed everything; the sample runs beside other tests."""

RECOVERY_S = 30.0


def wall_time(suite: Suite) -> float:
    """Return how long an undisturbed run takes, in seconds."""
    began = time.monotonic()
    code, output = suite.run()
    assert code == 0, output
    return time.monotonic() - began


def kill_at(
    suite: Suite, whole_s: float, share: float, choose: Callable[[subprocess.Popen[str]], int]
) -> bool:
    """Start a run and kill what `choose` picks; return whether it was there.

    Args:
        suite: what runs.
        whole_s: how long an undisturbed run takes, in seconds.
        share: the part of that time after which to kill.
        choose: returns the pid.
    """
    pause = threading.Event()
    process = suite.start("-n", "2") if choose is pick_worker else suite.start()
    try:
        pause.wait(share * whole_s)  # the random moment; nothing can be waited for instead
        try:
            psutil.Process(choose(process)).kill()
        except (psutil.NoSuchProcess, IndexError):
            return False
        if choose is not pick_pytest:
            await_end(process, 60 + 3 * whole_s)
        return True
    finally:
        if process.returncode is None:
            kill_group(process)
        process.communicate(timeout=120)


def await_end(process: subprocess.Popen[str], timeout_s: float) -> None:
    """Wait for the end of a run; fail with what it printed and what still runs of it."""
    try:
        process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired as late:
        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(True)]
        running = "\n".join(f"{each.pid} {each.status()} {each.cmdline()}" for each in family)
        pytest.fail(f"after {timeout_s:.0f} s there still runs\n{running}\n{late.output!r}")


def pick_pytest(process: subprocess.Popen[str]) -> int:
    return process.pid


def pick_worker(process: subprocess.Popen[str]) -> int:
    return workers_of(psutil.Process(process.pid))[0].pid


@pytest.mark.parametrize("victim", ["pytest", "worker"])
def test_a_killed_pytest_or_worker_leaves_nothing(
    suite: Suite, engine: Engine, report: Callable[[str], None], victim: str
) -> None:
    choose = {"pytest": pick_pytest, "worker": pick_worker}[victim]
    whole_s = wall_time(suite)
    moments = random.Random(7)
    slowest_s, hits = 0.0, 0
    for _ in range(rounds(2, 30)):
        hits += kill_at(suite, whole_s, moments.random(), choose)
        slowest_s = max(slowest_s, suite.wait_until_nothing_is_left(engine, timeout_s=ALONE_S))
    code, output = suite.run()
    assert code == 0, output
    assert suite.left(engine) == []
    report(f"{victim} killed {hits} times: nothing left after {slowest_s:.2f} s at most")
    assert hits > 0


@pytest.mark.parametrize("keep_warm", ["0s", "10m"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["SIGTERM", "SIGKILL"])
def test_a_start_that_hangs_leaves_nothing(
    suite: Suite, engine: Engine, report: Callable[[str], None], keep_warm: str, number: int
) -> None:
    compose = suite.root / "compose.yaml"
    compose.write_text(compose.read_text().replace("true", "sleep 600"))
    slowest_s = 0.0
    for _ in range(rounds(1, 10)):
        with suite.start(
            f"--dockwright-keep-warm={keep_warm}", "--dockwright-start-timeout=600s"
        ) as process:
            until(lambda: there(suite, engine), subject="a container", timeout_s=100.0)
            process.send_signal(number)
            slowest_s = max(slowest_s, suite.wait_until_nothing_is_left(engine, timeout_s=ALONE_S))
        suite.end_brokers()
    name = signal.Signals(number).name
    what = f"{name} while a start hangs, keep_warm {keep_warm}"
    report(f"{what}: gone after {slowest_s:.2f} s at most")


def test_a_killed_broker_leaves_nothing_after_the_next_run(
    suite: Suite, engine: Engine, report: Callable[[str], None]
) -> None:
    whole_s = wall_time(suite)
    moments = random.Random(8)
    hits = 0

    def pick_broker(process: subprocess.Popen[str]) -> int:
        return suite.brokers()[0].pid

    for _ in range(rounds(2, 30)):
        hits += kill_at(suite, whole_s, moments.random(), pick_broker)
        code, output = suite.run()
        assert code == 0, output
        suite.wait_until_nothing_is_left(engine, timeout_s=RECOVERY_S)
    report(f"broker killed {hits} times: every next run passed, nothing left")
    assert hits > 0
