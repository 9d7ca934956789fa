"""Buying: every test changes stock, orders and balances, and finds them as seeded."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from shop_client import STATISTICS, STOCK, ShopClient

pytestmark = pytest.mark.stateful


def test_an_order_takes_goods_and_money(shop: ShopClient) -> None:
    shop.assert_baseline()
    answer = shop.buy("alice", "COF-01", 2)
    assert answer.status == 201
    assert (answer.json["total_cents"], answer.json["status"]) == (3700, "paid")
    assert shop.stock_of("COF-01") == 28
    assert (shop.balance("alice"), shop.balance("shop")) == (6300, 53700)


def test_order_numbers_follow_the_seed(shop: ShopClient) -> None:
    shop.assert_baseline()
    assert [shop.buy("bob", "SOA-01").json["id"] for _ in range(3)] == [4, 5, 6]


def test_a_cart_of_several_products_becomes_one_order(shop: ShopClient) -> None:
    shop.assert_baseline()
    shop.put("/carts/alice/BRD-01", quantity=1)
    shop.put("/carts/alice/BUT-01", quantity=2)
    order = shop.post("/orders", customer="alice", note="ring twice").json
    assert (order["total_cents"], order["note"], len(order["lines"])) == (1120, "ring twice", 2)
    assert shop.get("/carts/alice").json["items"] == {}


def test_an_order_changes_the_bestsellers(shop: ShopClient) -> None:
    shop.assert_baseline()
    shop.buy("alice", "SOA-01", 9)
    assert shop.get("/bestsellers").json[0] == {"sku": "SOA-01", "sold": 9}


def test_what_is_sold_out_cannot_be_bought(shop: ShopClient) -> None:
    shop.assert_baseline()
    answer = shop.buy("alice", "TEA-01")
    assert (answer.status, answer.json) == (409, {"error": "not enough of TEA-01 in stock"})
    assert shop.get("/statistics").json == {**STATISTICS, "carts": 1}


def test_an_order_that_fails_halfway_changes_nothing(shop: ShopClient) -> None:
    shop.assert_baseline()
    shop.put("/carts/alice/ALE-01", quantity=1)  # there, and taken first
    shop.put("/carts/alice/CHE-01", quantity=13)  # one too many
    assert shop.post("/orders", customer="alice").status == 409
    assert shop.stock_of("ALE-01") == STOCK["ALE-01"]
    assert shop.balance("alice") == 10000


def test_without_enough_money_the_goods_stay(shop: ShopClient) -> None:
    shop.assert_baseline()
    answer = shop.buy("carol", "JAM-01")
    assert (answer.status, answer.json) == (402, {"error": "carol has not enough money"})
    assert shop.stock_of("JAM-01") == STOCK["JAM-01"]
    assert shop.get("/carts/carol").json["items"] == {"JAM-01": 1}


def test_a_cancelled_order_gives_everything_back(shop: ShopClient) -> None:
    shop.assert_baseline()
    number = shop.buy("bob", "HON-01", 3).json["id"]
    assert shop.stock_of("HON-01") == 15
    assert shop.post(f"/orders/{number}/cancel").json["status"] == "cancelled"
    assert shop.stock_of("HON-01") == 18
    assert shop.balance("bob") == 5000


def test_an_order_is_cancelled_once(shop: ShopClient) -> None:
    shop.assert_baseline()
    assert shop.post("/orders/1/cancel").status == 200
    answer = shop.post("/orders/1/cancel")
    assert (answer.status, answer.json) == (409, {"error": "order 1 is already cancelled"})
    assert shop.balance("alice") == 12550


def test_the_last_lamp_is_sold_once(shop: ShopClient) -> None:
    shop.assert_baseline()
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda customer: shop.buy(customer, "LAM-01"), ["alice", "bob"]))
    assert sorted(answer.status for answer in answers) == [201, 409]
    assert shop.stock_of("LAM-01") == 0
