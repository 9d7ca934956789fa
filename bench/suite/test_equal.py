"""One body under both markers, so that the difference in time is the markers' alone.

The body changes state and does not mind what others changed; only that lets it run shared as well.
"""

import pytest
from shop_client import Shop

MARKS = [pytest.mark.stateless, pytest.mark.stateful]


@pytest.mark.parametrize("number", [pytest.param(n, marks=MARKS[n % 2]) for n in range(60)])
def test_body(shop_url: str, number: int) -> None:
    shop = Shop(shop_url)
    assert shop.pay("shop", "bob", 1 + number) == 201
    assert shop.put_in_cart("carol", "ALE-01", 2) == 200
    for path in ("/statistics", "/products", "/orders", "/orders/1", "/accounts/shop"):
        assert shop.get(path)
