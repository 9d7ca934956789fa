"""Feeds the recorder; registered by the first use of a stack, or at once if every run is recorded.

Its hooks cost some microseconds a test: a suite that is not recorded does not pay them.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest

from dockwright.markers import requirement_of
from dockwright.measure import Open, Recorder
from dockwright.measure.recorder import Attempt
from dockwright.run import LEASES, REPORTED, RUN, Run


def pytest_configure(config: pytest.Config) -> None:
    """Begin to record; fires when this plugin is registered, in each process that runs tests."""
    worker = getattr(config, "workerinput", {}).get("workerid")
    run = config.stash[RUN]
    recorder = run.start_recording(worker or "main")
    manager = config.pluginmanager
    manager.register(Hooks(run, recorder, junit=bool(config.getoption("xmlpath", None))))
    if worker is not None or manager.hasplugin("rerunfailures"):
        manager.register(Reports(recorder, sends=worker is not None))


class Hooks:
    """The hooks of one recorder that see fixtures and tests.

    Args:
        run: of this process.
        recorder: takes what they see.
        junit: whether pytest writes JUnit XML, which is told of each test's time.
    """

    def __init__(self, run: Run, recorder: Recorder, *, junit: bool) -> None:
        self._run = run
        self._junit = junit
        self._recorder = recorder
        self._reported = recorder.tape.clock()

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self) -> None:
        """Note that tests may begin; fires once in each process that runs them."""
        self._reported = self._recorder.tape.clock()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[Any]
    ) -> Generator[None, object, object]:
        """Note the time of a set-up and, by finalizers around the others, of the tear-down."""
        name, wide, tape = fixturedef.argname, fixturedef.scope != "function", self._recorder.tape
        teardown = Open("fixture", name, "teardown", shared=wide)
        fixturedef.addfinalizer(lambda: tape.end(teardown))  # the first one is called last
        with tape.span(self._recorder.set_up(name, wide=wide)):
            result = yield
        fixturedef.addfinalizer(lambda: tape.begin(teardown))
        return result

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Note how long a stage of a test took and how it ended; fires after each of the three."""
        now = self._recorder.tape.clock()
        report = yield
        attempt = self._recorder.attempt(item.nodeid, call.when)
        # A test may stop pytest's clock (freezegun): no stage begins before the last one ended.
        began = min(max(now - call.duration, self._reported), now)
        attempt.stages[call.when] = (began, now)
        self._reported = now
        attempt.note(call.when, report.outcome, xfail=hasattr(report, "wasxfail"))
        if not attempt.stack:
            self._note_stack(item, attempt)
        if call.when == "teardown":
            self._recorder.ended(attempt, getattr(item, "fixturenames", ()))
            if self._junit:
                from dockwright.report import properties

                report.user_properties += properties(attempt)
        return report

    def _note_stack(self, item: pytest.Item, attempt: Attempt) -> None:
        """Note which copy of a stack a test uses, and how."""
        leases = item.stash.get(LEASES, None)
        if leases:
            requirement = requirement_of(item)
            attempt.stack = leases[0].facts.project
            attempt.lane = "stateful" if requirement.exclusive else "stateless"
            if requirement.scope == "module":
                attempt.lane = "module"
            return
        if not self._run.held:
            return
        names = getattr(item, "fixturenames", ())
        held = (each.lease.facts.project for each in self._run.held if each.fixture in names)
        attempt.stack = next(held, "")


class Reports:
    """The hook that sees each report before anybody else does; where there is use for it.

    Args:
        recorder: whose attempts the reports are about.
        sends: whether this is a worker of xdist, which sends reports to the main process.
    """

    def __init__(self, recorder: Recorder, *, sends: bool) -> None:
        self._recorder = recorder
        self._sends = sends

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """See reruns; send the tests that have ended along with this report.

        With a worker that dies, no more is lost than the test that it was at.
        """
        attempts = self._recorder.attempts
        if str(report.outcome) == "rerun" and attempts:  # of pytest-rerunfailures
            attempts[-1].outcome = "rerun"
        if self._sends and attempts:
            setattr(report, REPORTED, self._recorder.to_send())
