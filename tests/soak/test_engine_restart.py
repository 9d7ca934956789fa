"""The engine goes, or answers nobody, and comes back in mid-run: nobody hangs, nothing is left."""

from __future__ import annotations

import random
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from dockwright.engine import Engine, connect, resolve_endpoint
from tests._support.engine.private import PrivateEngine, why_not
from tests._support.sample import FULL
from tests._support.soak_suite import Suite
from tests.soak.conftest import rounds
from tests.soak.test_crash import RECOVERY_S, wall_time

pytestmark = [pytest.mark.engine, pytest.mark.timeout(3600 if FULL else 300)]


@pytest.fixture
def private(scratch: str) -> Iterator[PrivateEngine]:
    """An engine that this test may end."""
    if reason := why_not():
        pytest.skip(f"a second daemon {reason}")
    with tempfile.TemporaryDirectory(prefix="dwtest-engine-") as home:
        engine = PrivateEngine(Path(home))
        try:
            engine.wait_until_it_answers()
            engine.load(scratch)
            yield engine
        finally:
            engine.close()


def test_nothing_hangs_or_is_left_after_an_engine_restarts_during_a_run(
    suite: Suite, private: PrivateEngine, report: Callable[[str], None]
) -> None:
    endpoint = resolve_endpoint({}, Path.home(), explicit=private.address)
    suite = replace(suite, environ={**suite.environ, "DOCKER_HOST": private.address})
    whole_s = wall_time(suite)
    moments = random.Random(9)
    codes: list[int] = []
    for _ in range(rounds(1, 10)):
        code, output = restarted_meanwhile(suite, private, moments.uniform(0.3, whole_s))
        assert code in (0, 1), output
        assert "INTERNALERROR" not in output
        assert code == 0 or "engine" in output or "container" in output, output
        codes.append(code)
        code, output = suite.run()
        assert code == 0, output
        engine: Engine = connect(endpoint)
        try:
            suite.wait_until_nothing_is_left(engine, timeout_s=RECOVERY_S)
        finally:
            engine.close()
    failed = sum(code != 0 for code in codes)
    report(
        f"engine restarted {len(codes)} times: {failed} runs failed and said why, every next one "
        "passed, nothing left"
    )


def test_nothing_is_left_after_an_engine_hung_for_some_time(
    suite: Suite, private: PrivateEngine, report: Callable[[str], None]
) -> None:
    suite = replace(suite, environ={**suite.environ, "DOCKER_HOST": private.address})
    whole_s = wall_time(suite)
    moments = random.Random(10)
    codes: list[int] = []
    stopped_s = 30.0 if FULL else 3.0
    for _ in range(rounds(1, 5)):
        stop = partial(private.stop_for, stopped_s)
        code, output = disturbed(suite, stop, moments.uniform(0.3, whole_s))
        assert code in (0, 1), output
        assert "INTERNALERROR" not in output
        codes.append(code)
        code, output = suite.run()
        assert code == 0, output
        with closing(connect(resolve_endpoint({}, Path.home(), explicit=private.address))) as found:
            suite.wait_until_nothing_is_left(found, timeout_s=RECOVERY_S)
    report(
        f"engine stopped for {stopped_s:.0f} s, {len(codes)} times: {codes.count(0)} runs passed, "
        f"{codes.count(1)} failed and said why; every next one passed, nothing left"
    )


def restarted_meanwhile(suite: Suite, private: PrivateEngine, delay_s: float) -> tuple[int, str]:
    """Run the suite, and restart the engine after `delay_s`; return exit code and output."""
    return disturbed(suite, private.restart, delay_s)


def disturbed(suite: Suite, disturb: Callable[[], None], delay_s: float) -> tuple[int, str]:
    """Run the suite, and disturb it after `delay_s`; return exit code and output."""
    with suite.start() as process:
        threading.Event().wait(delay_s)  # the random moment; nothing can be waited for instead
        disturb()
        output, _ = process.communicate(timeout=180)
    return process.returncode, output
