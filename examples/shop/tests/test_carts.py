"""Carts, which live only in Redis."""

import pytest
from shop_client import ShopClient

pytestmark = pytest.mark.stateful


def test_a_cart_expires(shop: ShopClient) -> None:
    shop.assert_baseline()
    cart = shop.put("/carts/alice/ALE-01", quantity=3).json
    assert cart["items"] == {"ALE-01": 3}
    assert 890 <= cart["expires_s"] <= 900
    assert shop.redis("PEXPIRE", "cart:alice", "0") == "1"
    assert shop.get("/carts/alice").json == {"items": {}, "expires_s": 0}


def test_a_cart_can_be_emptied(shop: ShopClient) -> None:
    shop.assert_baseline()
    shop.put("/carts/bob/BRD-01", quantity=1)
    assert shop.get("/statistics").json["carts"] == 1
    assert shop.delete("/carts/bob").status == 200
    assert shop.get("/statistics").json["carts"] == 0
    shop.put("/carts/bob/JAM-01", quantity=2)
    assert shop.get("/carts/bob").json["items"] == {"JAM-01": 2}


def test_carts_survive_a_restart_of_the_cache(shop: ShopClient) -> None:
    shop.assert_baseline()
    shop.put("/carts/carol/SOA-01", quantity=5)
    shop.stack.restart("cache")
    assert shop.get("/carts/carol").json["items"] == {"SOA-01": 5}


def test_an_empty_cache_is_filled_again(shop: ShopClient) -> None:
    shop.assert_baseline()
    shop.redis("FLUSHALL")
    shop.redis("SET", "left-by-a-test", "1")
    assert shop.get("/bestsellers").json[0] == {"sku": "BRD-01", "sold": 3}
    shop.redis("ZADD", "bestsellers", "99", "TEA-01")
    assert shop.get("/bestsellers").json[0] == {"sku": "TEA-01", "sold": 99}
