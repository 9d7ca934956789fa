"""What goes wrong below the application: broken data, dropped tables, dead services."""

import pytest
from shop_client import ShopClient

pytestmark = pytest.mark.stateful


def test_everything_deleted(shop: ShopClient) -> None:
    shop.assert_baseline()
    shop.sql("TRUNCATE products, orders, order_lines, transfers; DELETE FROM accounts")
    assert shop.get("/health").json == {"status": "ok", "products": 0}
    assert shop.get("/accounts/alice").status == 404


def test_a_dropped_schema(shop: ShopClient) -> None:
    shop.assert_baseline()
    shop.sql("DROP SCHEMA public CASCADE")
    assert shop.get("/health").status == 500


def test_a_column_added_behind_the_back(shop: ShopClient) -> None:
    shop.assert_baseline()
    shop.sql("ALTER TABLE products ADD COLUMN colour text DEFAULT 'grey'")
    assert shop.get("/products/SOA-01").json["colour"] == "grey"


def test_a_changed_price(shop: ShopClient) -> None:
    shop.assert_baseline()
    assert shop.get("/products/BRD-01").json["price_cents"] == 420
    shop.sql("UPDATE products SET price_cents = price_cents * 2")
    assert shop.buy("bob", "BRD-01").json["total_cents"] == 840


def test_connections_cut_by_the_database(shop: ShopClient) -> None:
    shop.assert_baseline()
    cut = (
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity"
        " WHERE datname = 'shop' AND pid <> pg_backend_pid()"
    )
    assert int(shop.sql(cut)) >= 1
    assert shop.buy("bob", "BRD-01").status == 201


def test_a_database_that_is_away_for_a_while(shop: ShopClient) -> None:
    shop.assert_baseline()
    shop.pay("alice", "bob", 500)
    shop.stack.kill("db")
    assert shop.get("/health").status == 503
    shop.stack.start("db")
    assert shop.get("/health").status == 200
    assert shop.balance("bob") == 5500


def test_a_web_server_that_is_restarted(shop: ShopClient) -> None:
    shop.assert_baseline()
    shop.buy("alice", "JAM-01")
    shop.stack.restart("web")
    assert "the shop is closed" in shop.stack.logs("web")
    assert shop.stock_of("JAM-01") == 21
