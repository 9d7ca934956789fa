"""Feeds the recorder; registered by the first use of a stack, or at once if every run is recorded.

Its hooks cost some microseconds a test: a suite that is not recorded does not pay them.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable
from contextlib import ExitStack
from dataclasses import astuple
from functools import partial
from typing import Any

import pytest

from dockwright.pytest_plugin.markers import requirement_of
from dockwright.pytest_plugin.run import LEASES, REPORTED, RUN, TRACES, surviving
from dockwright.recording import OpenSpan, Recorder
from dockwright.recording.recorder import Attempt

_WHAT = "record this run"


def pytest_configure(config: pytest.Config) -> None:
    """Begin to record; fires when this plugin is registered, in each process that runs tests."""
    with surviving(config, _WHAT):
        worker = getattr(config, "workerinput", {}).get("workerid")
        recorder = config.stash[RUN].start_recording(worker or "main")
        manager = config.pluginmanager
        manager.register(Hooks(config, recorder, junit=bool(config.getoption("xmlpath", None))))
        if worker is not None or manager.hasplugin("rerunfailures"):
            manager.register(Reports(config, recorder, sends=worker is not None))


class Hooks:
    """The hooks of one recorder that see fixtures and tests.

    Args:
        config: of this process.
        recorder: takes what they see.
        junit: whether pytest writes JUnit XML, which gets each test's time.
    """

    def __init__(self, config: pytest.Config, recorder: Recorder, *, junit: bool) -> None:
        self._config = config
        self._junit = junit
        self._recorder = recorder
        self._reported = recorder.spans.clock()

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self) -> None:
        """Note that tests may begin; fires once in each process that runs them."""
        with surviving(self._config, _WHAT):
            self._reported = self._recorder.spans.clock()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[Any]
    ) -> Generator[None, object, object]:
        """Note the time of a set-up and, by finalizers around the others, of the tear-down."""
        __tracebackhide__ = True
        name, wide = fixturedef.argname, fixturedef.scope != "function"
        teardown = OpenSpan("fixture", name, "teardown", shared=wide)
        fixturedef.addfinalizer(partial(self._end, teardown))  # the first one is called last
        with ExitStack() as noting:
            with surviving(self._config, _WHAT):
                setup = self._recorder.set_up(name, wide=wide)
                if self._recorder.spans.begin(setup):
                    noting.callback(self._end, setup)
            result = yield
        fixturedef.addfinalizer(partial(self._begin, teardown))
        return result

    def _begin(self, what: OpenSpan) -> None:
        with surviving(self._config, _WHAT):
            self._recorder.spans.begin(what)

    def _end(self, what: OpenSpan) -> None:
        with surviving(self._config, _WHAT):
            self._recorder.spans.end(what)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Note how long a stage of a test took and how it ended; fires after each of the three."""
        now = self._reported
        with surviving(self._config, _WHAT):
            now = self._recorder.spans.clock()
        report = yield
        with surviving(self._config, _WHAT):
            self._note(item, call, report, now)
        return report

    def _note(
        self, item: pytest.Item, call: pytest.CallInfo[None], report: pytest.TestReport, now: float
    ) -> None:
        attempt = self._recorder.attempt(item.nodeid, call.when)
        # A test may stop pytest's clock (freezegun): no stage begins before the last one ended.
        began = min(max(now - call.duration, self._reported), now)
        attempt.stages[call.when] = (began, now)
        self._reported = now
        attempt.note(call.when, report.outcome, xfail=hasattr(report, "wasxfail"))
        if report.failed and not attempt.message:
            attempt.message = _message_of(report)
            attempt.logs = _errors_in_logs(report.sections)
        if not attempt.stack:
            self._note_stack(item, attempt)
        if call.when == "teardown":
            traces, attempt.audited = item.stash.get(TRACES, ((), False))
            attempt.traces = [[*astuple(each)] for each in traces]
            self._recorder.ended(attempt, getattr(item, "fixturenames", ()))
            if self._junit:
                from dockwright.report import properties

                report.user_properties += properties(attempt)

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
        all_held = self._config.stash[RUN].held
        names = getattr(item, "fixturenames", ())
        held = (each.lease.facts.project for each in all_held if each.fixture in names)
        attempt.stack = next(held, "")


_LONGEST_MESSAGE = 300


def _message_of(report: pytest.TestReport) -> str:
    """Return the first line of a failure's message."""
    crash = getattr(report.longrepr, "reprcrash", None)
    text = str(report.longrepr if crash is None else crash.message).strip()
    return text.partition("\n")[0][:_LONGEST_MESSAGE]


_SERVICE_LOG = re.compile(r"log of (\S+) since the test began")
"""The title of the section with a service's log, as `failures` adds it to a report."""

_SAYS_ERROR = re.compile(
    r"error|fatal|panic|exception|traceback|refused|timed? ?out|deadlock|killed|denied|abort|fail",
    re.IGNORECASE,
)
_MOST_LINES, _LONGEST_LINE = 5, 200


def _errors_in_logs(sections: Iterable[tuple[str, str]]) -> list[str]:
    """Return the last lines about errors in the logs of each service."""
    found = []
    for title, text in sections:
        if service := _SERVICE_LOG.fullmatch(title):
            lines = [line.strip() for line in text.splitlines() if _SAYS_ERROR.search(line)]
            found += [f"{service[1]}: {line[:_LONGEST_LINE]}" for line in lines[-_MOST_LINES:]]
    return found


class Reports:
    """The hook that sees each report before anybody else does; where there is use for it.

    Args:
        config: of this process.
        recorder: whose attempts the reports are about.
        sends: whether this is a worker of xdist, which sends reports to the main process.
    """

    def __init__(self, config: pytest.Config, recorder: Recorder, *, sends: bool) -> None:
        self._config = config
        self._recorder = recorder
        self._sends = sends

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """See reruns; send the tests that have ended along with this report.

        With a worker that dies, no more is lost than the test that it was at.
        """
        with surviving(self._config, _WHAT):
            attempts = self._recorder.attempts
            if str(report.outcome) == "rerun" and attempts:  # of pytest-rerunfailures
                attempts[-1].outcome = "rerun"
            if self._sends and attempts:
                setattr(report, REPORTED, self._recorder.to_send())
