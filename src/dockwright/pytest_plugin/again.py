"""Repeats a test that failed with services in doubt: those that were kept although tests used them.

What such a service has in memory is unknown. As long as all tests pass, it is kept. The first
failure with one is not reported: the test runs once more, with new containers, and that result
counts. From then on the stack's services are replaced after each test. If the test passed with new
containers, that is remembered until the stack's files change.

Registered by the first use of a stack.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pytest
from _pytest.runner import runtestprotocol

from dockwright._text import listed
from dockwright.errors import DockwrightError
from dockwright.pytest_plugin.markers import leases_by_fixture, requirement_of, uses_stack
from dockwright.pytest_plugin.run import BEGAN, DOUBTED, FAILED, REPEATABLE, RUN, Run, surviving

if TYPE_CHECKING:
    from dockwright.model import Requirement

_REMEMBERED = "dockwright/memory"
"""The key in pytest's cache of the stacks whose services are always replaced, the latest last."""

_MOST = 50


def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Run a test that may be repeated; fires for each test, before pytest's own."""
    repeatable = False
    with surviving(item.config, f"find out whether {item.nodeid} may be repeated"):
        repeatable = _is_repeatable(item)
    if not repeatable:
        return None
    if _is_run_by_another(item, nextitem):
        return True
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for report in _reports(item, nextitem):
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def _reports(item: pytest.Item, nextitem: pytest.Item | None) -> list[pytest.TestReport]:
    """Run a test, twice if it fails with services in doubt; return the reports that count."""
    properties = list(item.user_properties)
    item.stash[DOUBTED], item.stash[REPEATABLE] = (), True
    try:
        first = runtestprotocol(item, log=False, nextitem=nextitem)
    finally:
        item.stash[REPEATABLE] = False
    doubted = item.stash[DOUBTED]
    failure = next((each for each in first if each.failed), None)
    if failure is None or not doubted:
        return first
    item.user_properties[:] = properties
    _forget(item)
    second = runtestprotocol(item, log=False, nextitem=nextitem)
    with surviving(item.config, f"note how {item.nodeid} ended"):
        _note(item, doubted, failure, second)
    return second


def _forget(item: pytest.Item) -> None:
    """Forget the first attempt at a test."""
    run = item.config.stash[RUN]
    run.distrusted.add(requirement_of(item).stack)
    item.stash[FAILED] = False
    del item.stash[BEGAN]
    item._report_sections.clear()  # noqa: SLF001 - what the first attempt wrote
    if run.recorder is not None and run.recorder.attempts:
        run.recorder.attempts[-1].outcome = "rerun"


def _note(
    item: pytest.Item,
    doubted: Sequence[str],
    failure: pytest.TestReport,
    second: Sequence[pytest.TestReport],
) -> None:
    """Say what the second attempt has shown."""
    run, requirement, names = item.config.stash[RUN], requirement_of(item), listed(doubted)
    if any(each.failed for each in second):
        text = (
            f"The test ran twice, because {names} still had the container of earlier tests.\n"
            "It failed with a new container too."
        )
        for each in second:
            each.sections.append(("dockwright", text))
        return
    reason = str(failure.longreprtext).strip().rpartition("\n")[2]
    run.session.notes.append(
        f"warning: stack {requirement.stack}: {names} keeps state in memory: {item.nodeid} failed "
        f"with the container of earlier tests ({reason}), and passed with a new one\n"
        "  it is replaced after each test from now on; declare x-dockwright: {reset: recreate} to "
        "replace it from the start"
    )
    DistrustedStacks(item.config).add(run.session.key_of(requirement.stack))


def _is_repeatable(item: pytest.Item) -> bool:
    run = item.config.stash[RUN]
    if not (run.checked and isinstance(item, pytest.Function) and uses_stack(item)):
        return False
    if leases_by_fixture(item):  # what the first attempt did to that stack would stay
        return False
    requirement = requirement_of(item)
    return (
        requirement.scope == "function"
        and not (run.settings.keep_failed or run.settings.audited)
        and not item.config.getoption("usepdb", default=False)
        and "subtests" not in item.fixturenames  # their reports are sent while the test runs
        and _trusts(run, requirement, DistrustedStacks(item.config))
    )


def _is_run_by_another(item: pytest.Item, nextitem: pytest.Item | None) -> bool:
    """Let other plugins run the test, such as those that repeat it as well, if one of them does."""
    given = {"item": item, "nextitem": nextitem}
    for hook in reversed(item.ihook.pytest_runtest_protocol.get_hookimpls()):
        module = str(getattr(hook.function, "__module__", ""))
        wraps = hook.hookwrapper or getattr(hook, "wrapper", False)
        if wraps or module.startswith(("_pytest.", __name__)):
            continue
        if hook.function(*(given[name] for name in hook.argnames)) is not None:
            return True
    return False


def _trusts(run: Run, requirement: Requirement, memory: DistrustedStacks) -> bool:
    """Return whether the services of a stack may be kept: no test has shown the contrary."""
    if requirement.stack in run.distrusted:
        return False
    if requirement.stack not in run.trusted:
        try:
            key = run.session.key_of(requirement.stack)
        except DockwrightError:  # its fixture says what is wrong
            return False
        chosen = run.distrusted if key in memory.stacks() else run.trusted
        chosen.add(requirement.stack)
    return requirement.stack in run.trusted


class DistrustedStacks:
    """Remembers in pytest's cache the stacks whose services have shown that they keep state.

    Args:
        config: of any process of a run; with ``-p no:cacheprovider``, nothing is remembered.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._cache: pytest.Cache | None = getattr(config, "cache", None)

    def stacks(self) -> list[str]:
        """Return the keys of the stacks, the latest last; none where nothing is known."""
        found = self._cache.get(_REMEMBERED, []) if self._cache is not None else []
        return [str(each) for each in found] if isinstance(found, list) else []

    def add(self, key: str) -> None:
        """Remember a stack."""
        if self._cache is not None:
            known = [each for each in self.stacks() if each != key]
            self._cache.set(_REMEMBERED, [*known, key][-_MOST:])
