"""A day's trade: the module's tests share one stack, in any order; each has goods of its own."""

import pytest
from shop_client import STOCK, ShopClient

pytestmark = pytest.mark.module_cleanup


@pytest.mark.parametrize(("sku", "quantity"), [("ALE-01", 2), ("BUT-01", 4), ("SOA-01", 6)])
def test_goods_are_sold(shop: ShopClient, sku: str, quantity: int) -> None:
    assert shop.stock_of(sku) == STOCK[sku]
    assert shop.buy("alice", sku, quantity).status == 201
    assert shop.stock_of(sku) == STOCK[sku] - quantity


def test_goods_are_delivered(shop: ShopClient) -> None:
    assert shop.stock_of("TEA-01") == STOCK["TEA-01"]
    shop.sql("UPDATE products SET stock = stock + 50 WHERE sku = 'TEA-01'")
    assert shop.buy("bob", "TEA-01", 3).status == 201
    assert shop.stock_of("TEA-01") == 47


def test_wages_are_paid(shop: ShopClient) -> None:
    assert shop.balance("carol") == 250
    assert shop.pay("shop", "carol", 2000).json["target"]["balance_cents"] == 2250
