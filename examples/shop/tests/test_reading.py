"""Tests that only read, or are refused: all of them may use one stack at the same time."""

import pytest
from shop_client import BESTSELLERS, PRODUCT_FIELDS, STATISTICS, ShopClient

pytestmark = pytest.mark.stateless


def test_health_asks_the_database(shop: ShopClient) -> None:
    answer = shop.get("/health")
    assert (answer.status, answer.json) == (200, {"status": "ok", "products": 10})


def test_products_are_sorted(shop: ShopClient) -> None:
    skus = [product["sku"] for product in shop.get("/products").json]
    assert len(skus) == 10
    assert skus == sorted(skus)


def test_products_of_a_category(shop: ShopClient) -> None:
    products = shop.get("/products?category=dairy").json
    assert [product["sku"] for product in products] == ["BUT-01", "CHE-01"]


def test_an_unknown_category_is_empty(shop: ShopClient) -> None:
    assert shop.get("/products?category=boats").json == []


def test_one_product(shop: ShopClient) -> None:
    product = shop.get("/products/COF-01").json
    assert set(product) == PRODUCT_FIELDS
    assert (product["price_cents"], product["stock"]) == (1850, 30)


@pytest.mark.parametrize("path", ["/products/XXX-99", "/accounts/nobody", "/orders/99", "/nowhere"])
def test_what_is_not_there_is_404(shop: ShopClient, path: str) -> None:
    answer = shop.get(path)
    assert answer.status == 404
    assert "error" in answer.json


def test_one_account(shop: ShopClient) -> None:
    expected = {"id": "alice", "owner": "Alice Moreau", "balance_cents": 10000}
    assert shop.get("/accounts/alice").json == expected


def test_orders_of_one_customer(shop: ShopClient) -> None:
    orders = shop.get("/orders?customer=alice").json
    assert [(order["id"], order["status"]) for order in orders] == [(1, "paid"), (3, "cancelled")]


def test_one_order_has_its_lines(shop: ShopClient) -> None:
    order = shop.get("/orders/1").json
    assert [(line["sku"], line["quantity"]) for line in order["lines"]] == [
        ("BUT-01", 2),
        ("COF-01", 1),
    ]
    assert sum(line["quantity"] * line["price_cents"] for line in order["lines"]) == 2550


def test_statistics_of_the_seed(shop: ShopClient) -> None:
    assert shop.get("/statistics").json == STATISTICS


def test_bestsellers_leave_out_cancelled_orders(shop: ShopClient) -> None:
    assert shop.get("/bestsellers").json == BESTSELLERS


def test_a_cart_starts_empty(shop: ShopClient) -> None:
    assert shop.get("/carts/bob").json == {"items": {}, "expires_s": 0}


def test_migrations_ran_once(shop: ShopClient) -> None:
    names = shop.sql("SELECT name FROM migrations ORDER BY name").split()
    assert names == ["001-order-notes.sql", "002-orders-by-customer.sql"]


def test_the_application_tells_when_it_opens(shop: ShopClient) -> None:
    assert "the shop is open on port 8000" in shop.stack.logs("web")


@pytest.mark.parametrize(
    ("source", "target", "cents", "status"),
    [
        ("carol", "bob", 251, 402),
        ("alice", "nobody", 100, 404),
        ("nobody", "alice", 100, 404),
        ("alice", "bob", 0, 400),
        ("alice", "bob", -5, 400),
        ("alice", "bob", "5", 400),
        ("alice", "bob", 10**30, 402),
    ],
)
def test_a_wrong_transfer_is_refused(
    shop: ShopClient, source: str, target: str, cents: object, status: int
) -> None:
    answer = shop.pay(source, target, cents)
    assert answer.status == status
    assert "error" in answer.json


def test_a_body_that_is_not_json_is_refused(shop: ShopClient) -> None:
    answer = shop.request("POST", "/transfers", b"<xml/>")
    assert (answer.status, answer.json) == (400, {"error": "the body is not JSON"})


def test_checking_out_an_empty_cart_is_refused(shop: ShopClient) -> None:
    answer = shop.post("/orders", customer="bob")
    assert (answer.status, answer.json) == (409, {"error": "the cart of bob is empty"})


def test_an_unknown_product_does_not_get_into_a_cart(shop: ShopClient) -> None:
    assert shop.put("/carts/bob/XXX-99", quantity=1).status == 404
    assert shop.put("/carts/bob/ALE-01", quantity=0).status == 400
