"""The hooks that reuse and save results; loaded if that is switched on.

Nothing is deselected: a reused test is reported as passed, with an outcome word of its own, so that
JUnit XML and xdist count it. Each process that runs tests decides for itself; what it decided
travels with the reports to the main process, which counts.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable
from typing import TYPE_CHECKING, Any, Literal

import pytest

from dockwright._text import age
from dockwright.pytest_plugin.results import (
    NEW,
    RESULT,
    VERIFIED,
    WHY_OFF,
    WHY_RUN,
    ResultsRun,
    addresses_of,
)
from dockwright.pytest_plugin.run import LEASES, Run, surviving

if TYPE_CHECKING:
    from dockwright.results import Recorder, Trial

_WORKER_SKIPPED = "dockwright_results"
_REUSED, _RAN, _DIFFERS = "dockwright_reused", "dockwright_ran", "dockwright_differs"
"""The attributes of reports with what their process decided."""


class Reuse:
    """The hooks that reuse results; in each process that runs tests."""

    def __init__(self, results: ResultsRun) -> None:
        self._results = results

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_protocol(
        self, item: pytest.Item, nextitem: pytest.Item | None
    ) -> bool | None:
        """Report a test as it ended before, without running it."""
        if RESULT not in item.stash:
            return None
        hook = item.ihook
        hook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        for report in self._reports(item, nextitem):
            hook.pytest_runtest_logreport(report=report)
        hook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        return True

    def _reports(
        self, item: pytest.Item, nextitem: pytest.Item | None
    ) -> Generator[pytest.TestReport]:
        result = item.stash[RESULT]
        ago = age(time.time() - result.made)
        saved = {"seconds": result.seconds, "age": ago}
        note = f"reused: it passed {ago} ago, and nothing that it depends on has changed since"
        keywords: dict[str, Literal[1]] = dict.fromkeys(item.keywords, 1)

        def passed(when: Literal["setup", "call", "teardown"]) -> pytest.TestReport:
            return pytest.TestReport(
                nodeid=item.nodeid,
                location=item.location,
                keywords=keywords,
                outcome="passed",
                longrepr=None,
                when=when,
                user_properties=[("dockwright_result", note)],
            )

        reports = [passed("setup"), passed("call"), passed("teardown")]
        # What earlier tests set up, and the next one does not use, is torn down here.
        state = item.session._setupstate  # noqa: SLF001 - runtest_teardown wants a test that ran
        for report in reports:
            if report.when == "teardown" and state.stack:
                call = pytest.CallInfo.from_call(
                    lambda: state.teardown_exact(nextitem), when="teardown"
                )
                report = pytest.TestReport.from_item_and_call(item, call)
                report.user_properties = [("dockwright_result", note)]
            setattr(report, _REUSED, saved)
            yield report


class Observe:
    """The hooks that trace tests and save their results; in each process that runs tests."""

    def __init__(self, results: ResultsRun, recorder: Recorder) -> None:
        self._results = results
        self._recorder = recorder
        self._trial: Trial | None = None
        self._outcomes: list[str] = []

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Trace a test."""
        if RESULT in item.stash:
            return (yield)
        trial = self._results.trial_of(item)
        self._trial, self._outcomes = trial, []
        before = self._recorder.switch(item.nodeid)
        began = time.monotonic()
        try:
            return (yield)
        finally:
            trial.seconds = time.monotonic() - began
            self._recorder.switch(before)
            self._trial = None
            with surviving(item.config, "save the result of a test"):
                self._end(item, trial)

    def _end(self, item: pytest.Item, trial: Trial) -> None:
        if {*self._outcomes} == {"passed"} and len(self._outcomes) >= 3:
            seen = self._recorder.witness.of(trial.test)
            trial.stacks |= seen.stacks
            trial.reachable |= seen.reachable
            self._recorder.ended(trial)
        else:
            self._results.store.forget(item.nodeid, self._results.environment)
        if self._recorder.full:
            self._results.save()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_fixture_setup(
        self, fixturedef: Any, request: pytest.FixtureRequest
    ) -> Generator[None, object, object]:
        """Attribute what a fixture of a wider scope does to all tests that use it."""
        __tracebackhide__ = True
        if fixturedef.scope == "function":
            return (yield)
        context = _context_of(fixturedef)
        ends: list[str] = []
        # Finalizers run in reverse order: the one of the fixture itself is between these two.
        fixturedef.addfinalizer(lambda: ends and self._recorder.switch(ends.pop()))
        before = self._recorder.switch(context)
        known = {*_wide(getattr(request, "_fixture_defs", {}).values())}
        try:
            return (yield)
        finally:
            used = {*_wide(getattr(request, "_fixture_defs", {}).values())}
            names = set(fixturedef.argnames)
            if "request" not in names:
                used -= known
            self._recorder.uses(context, used - {context})
            if before.startswith("@"):
                self._recorder.uses(before, [context])
            self._recorder.switch(before)
            fixturedef.addfinalizer(lambda: ends.append(self._recorder.switch(context)))

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Note which fixtures and stacks a test used, and how it ended."""
        report = yield
        if self._trial is None:
            return report
        if call.when != "teardown":
            self._note_use(item, self._trial)
        if call.when == "setup":
            setattr(report, _RAN, item.stash.get(WHY_RUN, NEW))
        if VERIFIED in item.stash and report.outcome != "passed":
            outcome = "failed" if report.failed else "was skipped"
            setattr(report, _DIFFERS, self._results.explain(item, outcome))
        return report

    def _note_use(self, item: pytest.Item, trial: Trial) -> None:
        known = getattr(getattr(item, "_fixtureinfo", None), "name2fixturedefs", {})
        found = [each for definitions in known.values() for each in definitions]
        request = getattr(item, "_request", None)
        found += getattr(request, "_fixture_defs", {}).values() if request else []
        trial.contexts |= {*_wide(found)}
        held = [each.lease for each in self._results.run.held if each.serves(item)]
        for lease in (*item.stash.get(LEASES, ()), *held):
            trial.stacks.add(lease.facts.name)
            trial.reachable |= addresses_of(lease)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note how a part of a test ended."""
        bad = report.outcome != "passed" or hasattr(report, "wasxfail")
        self._outcomes.append("bad" if bad else "passed")


def _context_of(definition: Any) -> str:
    code = getattr(definition.func, "__code__", None)
    line = code.co_firstlineno if code else 0
    return f"@{definition.baseid}:{definition.argname}:{line}"


def _wide(definitions: Iterable[Any]) -> Generator[str]:
    yield from (_context_of(each) for each in definitions if each.scope != "function")


class Count:
    """The hooks of the main process, which count and show what was decided."""

    def __init__(self, results: ResultsRun) -> None:
        self._results = results

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(
        self, report: pytest.TestReport
    ) -> tuple[str, str, str | tuple[str, dict[str, bool]]] | None:
        """Give reused results a word of their own."""
        saved = getattr(report, _REUSED, None)
        if saved is None or report.failed:
            return None
        if report.when != "call":
            return "", "", ""
        return "reused", "=", (f"REUSED ({saved['age']} ago)", {"green": True})

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count."""
        results = self._results
        if (saved := getattr(report, _REUSED, None)) is not None and report.when == "call":
            results.reused += 1
            results.saved_s += saved["seconds"]
        if (why := getattr(report, _RAN, None)) is not None:
            results.ran[why] += 1
            results.verified += why == "verified"
        if (text := getattr(report, _DIFFERS, None)) is not None:
            results.differs.append(text)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Count what a worker of xdist could not save."""
        reasons = getattr(node, "workeroutput", {}).get(_WORKER_SKIPPED, {})
        self._results.not_saved.update(reasons)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Fail the run if a result was wrong."""
        results = self._results
        if results.differs and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
            results.run.failed_by = results.differs[0]
        with surviving(session.config, "count reused results"):
            if results.reused:
                results.store.savings.add(results.reused, results.saved_s)
            if results.ran:
                results.store.tidy()


class Save:
    """Saves what is left at the end of each process that runs tests."""

    def __init__(self, results: ResultsRun) -> None:
        self._results = results

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Save, while the engine still answers."""
        with surviving(session.config, "save the results of the tests"):
            self._results.save()
        with surviving(session.config, "end the trace of the tests"):
            self._results.close()
        if (output := getattr(session.config, "workeroutput", None)) is not None:
            output[_WORKER_SKIPPED] = dict(self._results.not_saved)


def configure(config: pytest.Config, run: Run) -> None:
    """Register the hooks that this process needs."""
    if config.stash.get(WHY_OFF, ""):
        return
    manager = config.pluginmanager
    run.results = results = ResultsRun(config, run)
    if not hasattr(config, "workerinput"):
        manager.register(Count(results))
    if results.recorder is not None:
        manager.register(Save(results))
        manager.register(Observe(results, results.recorder))
        manager.register(Reuse(results))
