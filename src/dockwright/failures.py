"""What a report gets from the stacks of its test; registered by the first use of a stack.

Fixtures that keep things of a failed test register it too.

Pytest asks this hook three times a test: in a suite without stacks that alone would cost 1 %.
"""

from __future__ import annotations

from collections.abc import Generator

import pytest

from dockwright.run import BEGAN, FAILED, LEASES, RUN


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note the time of a test with a stack, and show its services' logs where it failed."""
    report = yield
    run = item.config.stash[RUN]
    began_s = item.stash.setdefault(BEGAN, call.start)
    held = [each for each in run.held if each.fixture in getattr(item, "fixturenames", ())]
    leases = [*item.stash.get(LEASES, ()), *(each.lease for each in held)]
    if leases and call.when == "call":
        run.session.ledger.add("call", call.duration)
    if report.failed and call.when != "teardown":
        item.stash[FAILED] = True
    if leases and report.failed and call.when != "teardown":
        for each in held:
            each.failed = True
        for lease in leases:
            report.sections.extend(run.session.log_sections(lease, since_s=began_s))
    return report
