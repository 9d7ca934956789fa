"""dockwright: the marker says it all. What is more here measures the wait for a lease.

Nothing of dockwright is imported that the plugin has not loaded: that time belongs to the test run.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from dockwright import LeasedStack
    from dockwright.model import Requirement
    from dockwright.pool import Lease
    from dockwright.pytest_plugin.run import Run


@pytest.fixture(scope="session")
def lease_waits() -> Iterator[list[float]]:
    from dockwright.pytest_plugin import fixtures

    waits: list[float] = []
    acquire = fixtures._acquire  # noqa: SLF001 - what is measured has no public name

    def measured(run: Run, requirement: Requirement) -> Lease:
        began = time.perf_counter()
        lease = acquire(run, requirement)
        waits.append(time.perf_counter() - began)
        return lease

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fixtures, "_acquire", measured)
        yield waits


@pytest.fixture
def shop_url(lease_waits: list[float], stack: LeasedStack, request: pytest.FixtureRequest) -> str:
    # The first lease of a process is left out later: it waits for the stack's start.
    if len(lease_waits) > 1:
        request.node.user_properties.append(("lease_wait_s", lease_waits[-1]))
    else:
        request.node.user_properties.append(("is_first", True))
    return stack.url("web", 8000)
