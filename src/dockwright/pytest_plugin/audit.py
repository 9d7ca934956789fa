"""Looks at each test that uses a stack by itself: ``--dockwright-audit``.

Loaded by the first use of a stack, if that is wanted. A stack is looked at when its lease ends, the
test's own process and the engine when the test's function has returned: what fixtures change and
change back does not count. A look undoes what it finds, so that a stack that the tests of a module,
or a fixture, keep for longer is looked at once, when that lease ends.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, field, replace

import pytest

from dockwright.audit import BoundFiles, EngineObjects, EngineRequests, ProcessState
from dockwright.model import Trace
from dockwright.pool import Lease
from dockwright.pytest_plugin.markers import requirement_of
from dockwright.pytest_plugin.run import RUN, TRACES, Run, surviving
from dockwright.recording import Summary


@dataclass(slots=True)
class _Look:
    """What was seen of the test that is under way.

    Attributes:
        missed: how many of its stacks could not be looked at.
        complete: whether it is known what it did to its stacks: other tests of its module may
            have used them too.
        bound: the files of the host that each of them has mounted.
        traces: what it left in them.
        began_s: when its function was called, seconds since the epoch.
        states: its process when its function was called, and when that returned.
    """

    missed: int = 0
    complete: bool = True
    bound: list[BoundFiles] = field(default_factory=list)
    traces: list[Trace] = field(default_factory=list)
    began_s: float = 0.0
    states: list[ProcessState] = field(default_factory=list)


def pytest_configure(config: pytest.Config) -> None:
    """Start looking; fires when this plugin is registered, in each process that uses a stack."""
    with surviving(config, "look at what tests leave"):
        run = config.stash[RUN]
        run.auditor = Auditor(config, run)
        config.pluginmanager.register(run.auditor)


class Auditor:
    """Looks at one test at a time.

    Args:
        config: of this process.
        run: the run.
    """

    def __init__(self, config: pytest.Config, run: Run) -> None:
        self._config = config
        self._run = run
        self._requests = EngineRequests()
        self._objects: EngineObjects | None = None
        self._bound: dict[str, BoundFiles] = {}
        self._look: _Look | None = None

    # -- called by the stack fixture -----------------------------------------------------------

    def test_begins(self, item: pytest.Item, lease: Lease) -> None:
        """Look at a stack that the test has not used yet, and around it."""
        with surviving(self._config, f"look at the stack before {item.nodeid}"):
            look = self._look = self._look or _Look()
            if lease.requirement.scope == "module":
                look.complete = False
            else:
                look.missed += 1
                self._run.session.audit(lease, before=True)
            bound = self._bound_files(lease)
            bound.before()
            look.bound.append(bound)
            if self._objects is None:
                self._objects = EngineObjects(self._run.session.engine())

    def test_ends(self, item: pytest.Item, lease: Lease) -> None:
        """Look at what the test did to a stack; it is undone."""
        with surviving(self._config, f"look at the stack after {item.nodeid}"):
            if self._look is not None:
                self._look.traces += self._run.session.audit(lease)
                self._look.missed -= 1

    # -- called by those who keep a lease for longer ---------------------------------------------

    def lease_begins(self, lease: Lease) -> None:
        """Look at a stack that nobody has used yet."""
        with surviving(self._config, f"look at the stack before {lease.requirement.holder}"):
            self._run.session.audit(lease, before=True)

    def module_ends(self, lease: Lease) -> None:
        """Look at what the tests of a module did to their stack; fires after the last of them."""
        with surviving(self._config, f"look at the stack after {lease.requirement.holder}"):
            if self._look is not None:
                self._look.complete = True
                self._look.missed += 1
                self._look.traces += self._run.session.audit(lease)
                self._look.missed -= 1

    def fixture_ends(self, lease: Lease, holder: str) -> None:
        """Report what a fixture, and the tests that use it, did to a stack that they share."""
        lines: list[str] = []
        with surviving(self._config, f"look at the stack after {holder}"):
            traces = self._run.session.audit(lease)
            shares = f"{holder} leases its stack with exclusive=False"
            lines = self._note(shares, traces, shared=True)
        self._fail(lines)

    def _bound_files(self, lease: Lease) -> BoundFiles:
        stack = lease.requirement.stack
        if stack not in self._bound:
            self._bound[stack] = BoundFiles(lease.stack.spec)
            if names := self._run.session.uncovered(lease):
                unseen = f"audit: stack {stack}: what is in memory cannot be seen of"
                self._run.summaries.append(Summary(notes=(f"{unseen} {', '.join(names)}",)))
        return self._bound[stack]

    # -- hooks -----------------------------------------------------------------------------------

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_call(self) -> Generator[None, object, object]:
        """Look at the process before and after the function; fires when fixtures are set up."""
        __tracebackhide__ = True
        look = self._look
        if look is None:
            return (yield)
        look.began_s = time.time()
        with surviving(self._config, "look at a test's process"):
            look.states.append(ProcessState.take())
            self._requests.take()
            self._requests.temporary()
        try:
            return (yield)
        finally:
            with surviving(self._config, "look at a test's process"):
                look.states.append(ProcessState.take())

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None, object, object]:
        """Gather what the test left, once its fixtures are torn down; with strict, fail it."""
        try:
            result = yield
        finally:
            look, self._look = self._look, None
        if look is None:
            return result
        lines: list[str] = []
        with surviving(self._config, f"look at what {item.nodeid} left"):
            look.traces += self._outside(item, look)
            if look.missed:
                return result
            traces = [replace(each, name=_short(each.name)) for each in look.traces]
            item.stash[TRACES] = (traces, look.complete)
            shared = not requirement_of(item).exclusive
            who = f"{item.nodeid} is marked stateless" if shared else item.nodeid
            lines = self._note(who, traces, shared=shared)
        self._fail(lines)
        return result

    def _outside(self, item: pytest.Item, look: _Look) -> Iterable[Trace]:
        """Return what a test left outside of its stacks."""
        traces = [trace for each in look.bound for trace in each.after()]
        if len(look.states) == 2:
            begin, end = look.states
            after = ProcessState.take()
            traces += begin.changes(end, after)
            traces += begin.left_running(after, item.nodeid)
            traces += begin.left_threads(end)
        traces += self._requests.temporary(besides=self._config.getoption("basetemp") or "")
        requests = self._requests.take()
        if requests and self._objects is not None:
            traces += self._objects.left(requests, look.began_s)
        return traces

    def _note(self, who: str, traces: Sequence[Trace], *, shared: bool) -> list[str]:
        """Add to the run's summary what is wrong; return it if it surely is.

        Args:
            who: left the traces, as the beginning of a sentence.
            traces: what was found.
            shared: whether the stacks may be used by others at the same time.
        """
        wrong = [each for each in traces if each.certain and (shared or not each.service)]
        perhaps = [each for each in traces if shared and not each.certain]
        lines: list[str] = []
        if wrong:
            left = f"{who}, but left:" if shared else f"{who} left:"
            lines = [left, *(f"  {each}" for each in wrong)]
        elif perhaps:
            lines = [f"{who}; while it ran:", *(f"  {each}" for each in perhaps)]
        if lines:
            self._run.summaries.append(Summary(notes=("audit: " + "\n".join(lines),)))
        return lines if wrong else []

    def _fail(self, lines: Sequence[str]) -> None:
        if lines and self._run.settings.audit == "strict":
            pytest.fail("\n".join(lines), pytrace=False)


_LONGEST = 200


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST else f"{name[:_LONGEST]}..."
