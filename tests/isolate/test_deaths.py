"""Whatever is killed at any moment, nothing of a world is left soon after."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from dockwright.engine import Engine
from dockwright.wait import Continue, Outcome, Ready, until
from tests._support.isolate.runs import COMMAND, Around, Worlds, wrappers
from tests._support.sample import FULL, drawn

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

_PROMISED_S = 2.0
_MARGIN_S = 1.0 if FULL else 28.0  # machines of the default run may do other things

_SUITE = """
import pathlib, subprocess, time, pytest

@pytest.mark.parametrize("turn", range(30))
def test_turn(turn):
    name = f"box-{turn}"
    subprocess.run(["docker", "run", "-d", "--name", name, "-p", "8080:8080", IMAGE, "sh", "-c",
                    "while :; do sleep 0.2; done"], check=True)
    subprocess.Popen(["setsid", "sleep", "600"])
    pathlib.Path("begun-FILE").touch()
    time.sleep(0.3)
    subprocess.run(["docker", "rm", "-f", name], check=True)
"""

Victim = Callable[[Worlds, psutil.Process], psutil.Process]


def _outer_wrapper(worlds: Worlds, run: psutil.Process) -> psutil.Process:
    return run  # the command became it


def _controller(worlds: Worlds, run: psutil.Process) -> psutil.Process:
    return _found(run, lambda each: "pytest" in each.cmdline() and "start.py" not in _words(each))


def _inner_wrapper(worlds: Worlds, run: psutil.Process) -> psutil.Process:
    return _found(run, lambda each: "start.py worker" in _words(each))


def _worker(worlds: Worlds, run: psutil.Process) -> psutil.Process:
    return _found(run, lambda each: "start.py" not in _words(each) and "-c" in each.cmdline())


def _engine(worlds: Worlds, run: psutil.Process) -> psutil.Process:
    return _found(run, lambda each: each.name() == "dockerd")


def _containerd(worlds: Worlds, run: psutil.Process) -> psutil.Process:
    return _found(run, lambda each: each.name() == "containerd")


def _keeper(worlds: Worlds, run: psutil.Process) -> psutil.Process:
    return next(each for each in wrappers(worlds.cache) if os.getsid(each.pid) == each.pid)


def _words(process: psutil.Process) -> str:
    return " ".join(process.cmdline())


def _found(run: psutil.Process, fits: Callable[[psutil.Process], bool]) -> psutil.Process:
    for process in run.children(recursive=True):
        try:
            if fits(process):
                return process
        except psutil.Error:
            continue
    raise LookupError("there is no such process")


ENDS_THE_RUN = (_outer_wrapper, _controller)
ENDS_A_WORLD = (_inner_wrapper, _worker, _engine, _containerd, _keeper)
CASES = [*ENDS_THE_RUN, *ENDS_A_WORLD] * (8 if FULL else 1)


@pytest.mark.soak(sample=2)
@pytest.mark.parametrize(("number", "victim"), list(enumerate(CASES)))
def test_nothing_is_left_after_a_kill_at_a_random_moment(
    worlds: Worlds, engine: Engine, scratch: str, number: int, victim: Victim
) -> None:
    for name in ("one", "two"):
        text = _SUITE.replace("IMAGE", repr(scratch)).replace("FILE", name)
        (worlds.suite / f"test_{name}.py").write_text(text)
    dice = drawn(f"deaths {number}")
    command = worlds.pytest("-n", "2", "-p", "no:cacheprovider")
    with worlds.start(*COMMAND, "isolate", "--image", scratch, "--", *command) as process:
        run = psutil.Process(process.pid)
        try:
            _wait_until_tests_run(worlds.suite, run)
            time.sleep(dice.uniform(0, 1.5))
            around = worlds.around(run)
            _kill(victim, worlds, run, dice)
            if victim in ENDS_A_WORLD:
                time.sleep(dice.uniform(0, 2.0))
                around = worlds.around(run)
        finally:
            _kill_quietly(run)  # the rest of the run, which may go on
    _nothing_is_left(worlds, around)


@pytest.mark.soak
def test_nothing_is_left_after_the_main_process_of_pytest_is_killed(
    worlds: Worlds, engine: Engine, scratch: str
) -> None:
    """By the option of pytest: nothing but the keepers is then around the worlds of its workers."""
    for name in ("one", "two"):
        text = _SUITE.replace("IMAGE", repr(scratch)).replace("FILE", name)
        (worlds.suite / f"test_{name}.py").write_text(text)
    options = ("-n", "2", "--dockwright-isolate", "--dockwright-isolate-images", scratch)
    with worlds.start(*worlds.pytest(*options)) as process:
        _wait_until_tests_run(worlds.suite, psutil.Process(process.pid))
        assert len(worlds.look()) == 2
        around = worlds.around(psutil.Process(process.pid))
        process.kill()
    _nothing_is_left(worlds, around)


def test_clean_removes_what_is_left_when_everything_was_killed_at_once(
    worlds: Worlds, engine: Engine
) -> None:
    """And nothing of a world that lives."""
    plan = worlds.plan(engine=False)
    command = plan.command("alone", "sh", "-c", "touch begun-$PPID; exec sleep 600")
    with (
        worlds.start(*command, DOCKWRIGHT_ISOLATE_PLAN=plan.to_json()) as dead,
        worlds.start(*command, DOCKWRIGHT_ISOLATE_PLAN=plan.to_json()) as alive,
    ):
        _wait_until_tests_run(worlds.suite, psutil.Process(dead.pid))
        until(
            lambda: Ready() if len(worlds.look()) == 2 else Continue("one is missing"),
            subject="two worlds",
            timeout_s=60,
        )
        kept = [each for each in wrappers(worlds.cache) if each.ppid() == dead.pid]
        (keeper,) = [each for each in kept if os.getsid(each.pid) == each.pid]
        keeper.suspend()
        dead.kill()
        dead.wait()
        keeper.kill()
        code, text = worlds.run(*COMMAND, "clean")
        assert (code, "removed 1 world of killed workers" in text) == (0, True), text
        assert len(list(worlds.cache.glob("worlds/*"))) == 1
        around = worlds.around(psutil.Process(alive.pid))
        alive.kill()
    _nothing_is_left(worlds, around)


@pytest.mark.soak
def test_nothing_is_left_after_ctrl_c(worlds: Worlds, engine: Engine, scratch: str) -> None:
    """As a terminal sends it: to all processes of the group, inside and outside."""
    (worlds.suite / "test_one.py").write_text(
        _SUITE.replace("IMAGE", repr(scratch)).replace("FILE", "one")
    )
    command = worlds.pytest("-n", "1", "-p", "no:cacheprovider")
    process = subprocess.Popen(
        [*COMMAND, "isolate", "--image", scratch, "--", *command],
        cwd=worlds.suite,
        env=worlds.environ,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with process:
        _wait_until_tests_run(worlds.suite, psutil.Process(process.pid))
        around = worlds.around(psutil.Process(process.pid))
        os.killpg(process.pid, signal.SIGINT)
        text, _ = process.communicate(timeout=60)
    assert process.returncode == pytest.ExitCode.INTERRUPTED, text
    assert "KeyboardInterrupt" in text
    _nothing_is_left(worlds, around)


def _wait_until_tests_run(suite: Path, run: psutil.Process) -> None:
    def begun() -> Outcome:
        assert run.is_running()
        return Ready() if list(suite.glob("begun-*")) else Continue("no test has begun")

    until(begun, subject="the first test to begin", timeout_s=120)


def _kill(victim: Victim, worlds: Worlds, run: psutil.Process, dice: random.Random) -> None:
    """Kill a process; one that is being replaced at this moment is waited for."""
    for _ in range(100):
        try:
            victim(worlds, run).send_signal(signal.SIGKILL)
        except (LookupError, StopIteration, psutil.NoSuchProcess):
            time.sleep(dice.uniform(0.01, 0.1))
        else:
            return
    raise AssertionError("there was nobody to kill")


def _kill_quietly(run: psutil.Process) -> None:
    with suppress(psutil.NoSuchProcess):
        run.kill()


def _nothing_is_left(worlds: Worlds, around: Around) -> None:
    """Look for what was there, often; and once it is gone, for anything else."""
    began = time.monotonic()

    def gone(look: Callable[[], list[str]]) -> Callable[[], Outcome]:
        return lambda: Continue(", ".join(left)) if (left := look()) else Ready()

    until(gone(around.left), subject="the run to go", timeout_s=_PROMISED_S + _MARGIN_S)
    print(f"gone after {time.monotonic() - began:.2f} s")
    until(gone(worlds.left), subject="everything else to go", timeout_s=_MARGIN_S)
