"""Paying each other: every test changes balances, and finds them as seeded."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from shop_client import BALANCES, ShopClient

pytestmark = pytest.mark.stateful


def test_a_transfer_moves_money(shop: ShopClient) -> None:
    shop.assert_baseline()
    answer = shop.pay("alice", "bob", 1234)
    assert answer.status == 201
    assert answer.json["source"]["balance_cents"] == 8766
    assert answer.json["target"]["balance_cents"] == 6234


def test_an_account_can_be_emptied_but_not_overdrawn(shop: ShopClient) -> None:
    shop.assert_baseline()
    assert shop.pay("bob", "carol", 5000).status == 201
    assert shop.pay("bob", "carol", 1).status == 402
    assert (shop.balance("bob"), shop.balance("carol")) == (0, 5250)


def test_transfers_at_once_keep_the_sum(shop: ShopClient) -> None:
    shop.assert_baseline()
    pairs = [("alice", "bob"), ("bob", "alice"), ("bob", "shop"), ("shop", "alice")] * 4
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda pair: shop.pay(pair[0], pair[1], 100), pairs))
    assert {answer.status for answer in answers} == {201}
    assert shop.get("/statistics").json["money_cents"] == sum(BALANCES.values())
    assert shop.balance("shop") == 50000
    assert shop.balance("bob") == 4600


def test_a_transfer_is_recorded(shop: ShopClient) -> None:
    shop.assert_baseline()
    shop.pay("shop", "carol", 7)
    last = "SELECT id, source, target, cents FROM transfers ORDER BY id DESC LIMIT 1"
    assert shop.sql(last) == "3|shop|carol|7"
