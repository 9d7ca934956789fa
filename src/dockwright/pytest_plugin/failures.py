"""What a report gets from the stacks of its test; registered by the first use of a stack.

Fixtures that keep things of a failed test register it too.

Pytest asks this hook three times a test: in a suite without stacks that alone would cost 1 %.
"""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path
from types import TracebackType

import pytest

from dockwright.errors import DockwrightError
from dockwright.pytest_plugin.run import BEGAN, FAILED, LEASES, RUN, surviving

_PACKAGE = Path(__file__).parent
"""The modules right in it are those that pytest calls; below it are those that tests call."""


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
    held = [each for each in run.held if each.fixture in getattr(item, "fixturenames", ())]
    leases = [*item.stash.get(LEASES, ()), *(each.lease for each in held)]
    if report.failed and call.when != "teardown":
        item.stash[FAILED] = True
    if leases and report.failed and call.when != "teardown":
        for each in held:
            each.failed = True
        for lease in leases:
            report.sections.extend(run.session.log_sections(lease, since_s=began_s))


def _end_at_the_call(excinfo: pytest.ExceptionInfo[BaseException], config: pytest.Config) -> None:
    """Show where the test called dockwright, and nothing of dockwright itself.

    An error that it raises on purpose says what is wrong; ``--full-trace`` shows the rest too.
    """
    if config.getoption("fulltrace", default=False):
        return
    before: TracebackType | None = None
    entry: TracebackType | None = excinfo.tb
    while entry is not None:
        if before and Path(entry.tb_frame.f_code.co_filename).parent.parent == _PACKAGE:
            before.tb_next = None
            return
        before, entry = entry, entry.tb_next
