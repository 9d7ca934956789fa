"""What all tests of the worker share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from work_queue import WorkQueue

if TYPE_CHECKING:
    from dockwright import LeasedStack


@pytest.fixture
def queue(stack: LeasedStack) -> WorkQueue:
    """The queue of the stack that the test has leased."""
    return WorkQueue(stack)
