"""Resets, between tests, the stacks that fixtures of a wider scope hold; if a suite wants that.

Loaded by the first use of a stack. A test wants it by ``dockwright_reset_leases`` or by the marker
``reset_leases``.
"""

from __future__ import annotations

from collections.abc import Generator

import pytest

from dockwright.errors import DockwrightError
from dockwright.pytest_plugin.run import RUN


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Reset what earlier tests have used; fires before the test's own fixtures are set up."""
    run = item.config.stash[RUN]
    if not run.settings.reset_leases and item.get_closest_marker("reset_leases") is None:
        return
    reason = ""
    for held in [held for held in run.held if held.used and held.serves(item)]:
        try:
            run.reset(held.lease)
        except DockwrightError as error:
            reason = f"{held.fixture}: {error}"
        held.used = False
    if reason:
        pytest.fail(reason, pytrace=False)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """Note which stacks a test uses; fires when its fixtures are set up."""
    __tracebackhide__ = True
    for held in item.config.stash[RUN].held:
        if held.serves(item) and item.get_closest_marker("stateless") is None:
            held.used = held.lease.requirement.exclusive
    return (yield)
