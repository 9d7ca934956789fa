"""What all tests of the shop share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from shop_client import ShopClient

if TYPE_CHECKING:
    from dockwright import LeasedStack


@pytest.fixture
def shop(stack: LeasedStack) -> ShopClient:
    """The shop that the test has leased."""
    return ShopClient(stack)
