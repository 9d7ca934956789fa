"""The suite that all contenders run: 12 tests that only read, 12 that change state.

How a test comes by its copy of the shop is the contender's affair: its conftest has the fixture
`shop_url`, which looks at the test's marker.
"""

import pytest
from shop_client import BESTSELLERS, STATISTICS, Shop

reads = pytest.mark.stateless
changes = pytest.mark.stateful


@pytest.fixture
def shop(shop_url: str) -> Shop:
    return Shop(shop_url)


@reads
def test_health_asks_the_database(shop: Shop) -> None:
    assert shop.get("/health") == {"status": "ok", "products": 10}


@reads
def test_products_are_sorted(shop: Shop) -> None:
    skus = [product["sku"] for product in shop.get("/products")]
    assert len(skus) == 10
    assert skus == sorted(skus)


@changes
def test_an_order_takes_goods_and_money(shop: Shop) -> None:
    shop.assert_baseline()
    status, order = shop.buy("alice", "COF-01", 2)
    assert (status, order["total_cents"]) == (201, 3700)
    assert shop.stock_of("COF-01") == 28
    assert (shop.balance("alice"), shop.balance("shop")) == (6300, 53700)


@reads
def test_products_of_a_category(shop: Shop) -> None:
    products = shop.get("/products?category=dairy")
    assert [product["sku"] for product in products] == ["BUT-01", "CHE-01"]


@changes
def test_order_numbers_follow_the_seed(shop: Shop) -> None:
    shop.assert_baseline()
    assert [shop.buy("bob", "SOA-01")[1]["id"] for _ in range(3)] == [4, 5, 6]


@changes
def test_a_cancelled_order_gives_everything_back(shop: Shop) -> None:
    shop.assert_baseline()
    _, order = shop.buy("bob", "HON-01", 3)
    assert shop.stock_of("HON-01") == 15
    assert shop.ask("POST", f"/orders/{order['id']}/cancel")[0] == 200
    assert (shop.stock_of("HON-01"), shop.balance("bob")) == (18, 5000)


@reads
def test_one_product(shop: Shop) -> None:
    product = shop.get("/products/COF-01")
    assert (product["price_cents"], product["stock"]) == (1850, 30)


@reads
def test_one_account(shop: Shop) -> None:
    assert shop.balance("carol") == 250


@changes
def test_a_transfer_moves_money(shop: Shop) -> None:
    shop.assert_baseline()
    assert shop.pay("alice", "bob", 1234) == 201
    assert (shop.balance("alice"), shop.balance("bob")) == (8766, 6234)


@changes
def test_an_account_can_be_emptied(shop: Shop) -> None:
    shop.assert_baseline()
    assert shop.pay("bob", "carol", 5000) == 201
    assert shop.pay("bob", "carol", 1) == 402
    assert (shop.balance("bob"), shop.balance("carol")) == (0, 5250)


@reads
def test_orders_of_one_customer(shop: Shop) -> None:
    assert [order["id"] for order in shop.get("/orders?customer=alice")] == [1, 3]


@changes
def test_what_is_sold_out_cannot_be_bought(shop: Shop) -> None:
    shop.assert_baseline()
    assert shop.buy("alice", "TEA-01")[0] == 409
    assert shop.get("/statistics") == {**STATISTICS, "carts": 1}


@reads
def test_one_order_has_its_lines(shop: Shop) -> None:
    lines = shop.get("/orders/1")["lines"]
    assert sum(line["quantity"] * line["price_cents"] for line in lines) == 2550


@changes
def test_a_cart_holds_what_was_put_in(shop: Shop) -> None:
    shop.assert_baseline()
    assert shop.put_in_cart("alice", "ALE-01", 3) == 200
    assert shop.get("/carts/alice")["items"] == {"ALE-01": 3}


@reads
def test_statistics_of_the_seed(shop: Shop) -> None:
    assert shop.get("/statistics") == STATISTICS


@changes
def test_a_cart_can_be_emptied(shop: Shop) -> None:
    shop.assert_baseline()
    shop.put_in_cart("bob", "BRD-01")
    assert shop.ask("DELETE", "/carts/bob")[0] == 200
    assert shop.get("/statistics")["carts"] == 0


@reads
def test_bestsellers_of_the_seed(shop: Shop) -> None:
    assert [product["sku"] for product in shop.get("/bestsellers")] == BESTSELLERS


@changes
def test_an_order_changes_the_bestsellers(shop: Shop) -> None:
    shop.assert_baseline()
    shop.buy("alice", "SOA-01", 9)
    assert shop.get("/bestsellers")[0]["sku"] == "SOA-01"


@reads
def test_a_cart_starts_empty(shop: Shop) -> None:
    assert shop.get("/carts/bob")["items"] == {}


@changes
def test_without_enough_money_the_goods_stay(shop: Shop) -> None:
    shop.assert_baseline()
    assert shop.buy("carol", "JAM-01")[0] == 402
    assert shop.stock_of("JAM-01") == 22


@reads
def test_what_is_not_there_is_404(shop: Shop) -> None:
    assert shop.ask("GET", "/products/XXX-99")[0] == 404


@changes
def test_an_order_is_cancelled_once(shop: Shop) -> None:
    shop.assert_baseline()
    assert [shop.ask("POST", "/orders/1/cancel")[0] for _ in range(2)] == [200, 409]
    assert shop.balance("alice") == 12550


@reads
def test_a_transfer_that_is_too_large_is_refused(shop: Shop) -> None:
    assert shop.pay("carol", "bob", 251) == 402


@changes
def test_a_sale_empties_the_shelf(shop: Shop) -> None:
    shop.assert_baseline()
    assert shop.buy("alice", "LAM-01")[0] == 201
    assert shop.buy("bob", "LAM-01")[0] == 409
    assert shop.stock_of("LAM-01") == 0
