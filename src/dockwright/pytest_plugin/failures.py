"""Adds the logs of a failed test's services to its report; registered by the first use of a stack.

Fixtures that keep what a failed test created register it too. pytest calls this hook three times
for each test: in a suite without stacks that alone would cost 1 %.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from types import TracebackType

import pytest

from dockwright.errors import DockwrightError
from dockwright.pytest_plugin.moved_ports import moved_ports
from dockwright.pytest_plugin.run import BEGAN, FAILED, LEASES, RUN, surviving

_CALLED_BY_PYTEST = Path(__file__).parent
_CALLED_BY_TESTS = _CALLED_BY_PYTEST.parent


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the logs of a failed test's services."""
    with surviving(item.config, "shorten a traceback"):
        if call.excinfo is not None and isinstance(call.excinfo.value, DockwrightError):
            _end_at_the_call(call.excinfo, item.config)
    report = yield
    with surviving(item.config, f"show the logs of {item.nodeid}"):
        _complete(report, item, call)
    return report


def _complete(report: pytest.TestReport, item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    run = item.config.stash[RUN]
    began_s = item.stash.setdefault(BEGAN, call.start)
    fixtures = getattr(item, "fixturenames", ())
    held_leases = [held for held in run.held if held.fixture in fixtures]
    leases = [*item.stash.get(LEASES, ()), *(held.lease for held in held_leases)]
    if report.failed and call.when != "teardown":
        item.stash[FAILED] = True
    if leases and report.failed and call.when != "teardown":
        for held in held_leases:
            held.failed = True
        with surviving(item.config, f"look for moved ports in the failure of {item.nodeid}"):
            report.sections.extend(moved_ports(report, call, leases))
        for lease in leases:
            report.sections.extend(run.session.log_sections(lease, since_s=began_s))


def _end_at_the_call(excinfo: pytest.ExceptionInfo[BaseException], config: pytest.Config) -> None:
    """Cut the traceback where the test calls dockwright.

    The message of an error that dockwright raises says what is wrong; ``--full-trace`` shows the
    whole traceback.
    """
    if config.getoption("fulltrace", default=False):
        return
    before: TracebackType | None = None
    entry: TracebackType | None = excinfo.tb
    while entry is not None:
        parents = Path(entry.tb_frame.f_code.co_filename).parents
        if before and _CALLED_BY_TESTS in parents and _CALLED_BY_PYTEST not in parents:
            before.tb_next = None
            return
        before, entry = entry, entry.tb_next
