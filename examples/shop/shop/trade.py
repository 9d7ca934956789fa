"""What the shop does with products, carts, orders and money; knows nothing of HTTP."""

from collections.abc import Mapping
from typing import Any

from redis import Redis

from shop.database import Connection, Database

TILL = "shop"
BESTSELLERS = "bestsellers"

Row = dict[str, Any]
Values = Mapping[str, object] | list[object] | None


class RefusedError(Exception):
    """A wish that cannot be granted, with the HTTP status that says so."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Shop:
    """The shop on top of its database and its cache."""

    def __init__(self, database: Database, cache: "Redis[str]", *, cart_ttl_s: int) -> None:
        self._database = database
        self._cache = cache
        self._cart_ttl_s = cart_ttl_s

    # ---- reading

    def health(self) -> Row:
        """Ask both the database and the cache; raises what they raise."""
        products = self._one("SELECT count(*) AS products FROM products")
        self._cache.ping()
        return {"status": "ok", **products}

    def products(self, category: str | None = None) -> list[Row]:
        return self._all(
            "SELECT * FROM products WHERE %(c)s::text IS NULL OR category = %(c)s ORDER BY sku",
            {"c": category},
        )

    def product(self, sku: str) -> Row:
        return self._one("SELECT * FROM products WHERE sku = %s", [sku], f"no product {sku}")

    def account(self, name: str) -> Row:
        return self._one("SELECT * FROM accounts WHERE id = %s", [name], f"no account {name}")

    def orders(self, customer: str | None = None) -> list[Row]:
        return self._all(
            "SELECT * FROM orders WHERE %(c)s::text IS NULL OR customer = %(c)s ORDER BY id",
            {"c": customer},
        )

    def order(self, number: int) -> Row:
        order = self._one("SELECT * FROM orders WHERE id = %s", [number], f"no order {number}")
        lines = (
            "SELECT sku, quantity, price_cents FROM order_lines WHERE order_id = %s ORDER BY sku"
        )
        return {**order, "lines": self._all(lines, [number])}

    def statistics(self) -> Row:
        numbers = self._one(
            """SELECT (SELECT count(*) FROM orders) AS orders,
                      (SELECT sum(stock) FROM products) AS stock,
                      (SELECT sum(balance_cents) FROM accounts)::bigint AS money_cents,
                      (SELECT count(*) FROM transfers) AS transfers"""
        )
        return {**numbers, "carts": sum(1 for _ in self._cache.scan_iter("cart:*"))}

    def bestsellers(self) -> list[Row]:
        """Count what was sold; kept in the cache until the next order."""
        if not self._cache.exists(BESTSELLERS):
            sold = self._all(
                """SELECT sku, sum(quantity) AS sold FROM order_lines
                   JOIN orders ON id = order_id WHERE status = 'paid' GROUP BY sku"""
            )
            if sold:
                self._cache.zadd(BESTSELLERS, {row["sku"]: row["sold"] for row in sold})
        ranked = self._cache.zrange(BESTSELLERS, 0, 9, desc=True, withscores=True)
        return [{"sku": sku, "sold": int(sold)} for sku, sold in ranked]

    # ---- carts: only in the cache, gone after a while

    def cart(self, customer: str) -> Row:
        items = self._cache.hgetall(f"cart:{customer}")
        expires_s = max(self._cache.ttl(f"cart:{customer}"), 0)
        return {"items": {sku: int(n) for sku, n in items.items()}, "expires_s": expires_s}

    def put_in_cart(self, customer: str, sku: str, quantity: int) -> Row:
        self.product(sku)
        self.account(customer)
        if quantity < 1:
            raise RefusedError(400, "quantity must be at least 1")
        with self._cache.pipeline() as pipeline:
            pipeline.hset(f"cart:{customer}", sku, quantity)
            pipeline.expire(f"cart:{customer}", self._cart_ttl_s)
            pipeline.execute()
        return self.cart(customer)

    def empty_cart(self, customer: str) -> None:
        self._cache.delete(f"cart:{customer}")

    # ---- orders and money

    def check_out(self, customer: str, note: str = "") -> Row:
        """Turn the customer's cart into a paid order."""
        items = self.cart(customer)["items"]
        if not items:
            raise RefusedError(409, f"the cart of {customer} is empty")
        with self._database.transaction() as connection:
            prices = {sku: _take(connection, sku, items[sku]) for sku in sorted(items)}
            total = sum(prices[sku] * items[sku] for sku in items)
            _move(connection, customer, TILL, total)
            query = (
                "INSERT INTO orders (customer, total_cents, note) VALUES (%s, %s, %s) RETURNING id"
            )
            number = connection.execute(query, [customer, total, note]).fetchall()[0]["id"]
            for sku, quantity in items.items():
                connection.execute(
                    "INSERT INTO order_lines VALUES (%s, %s, %s, %s)",
                    [number, sku, quantity, prices[sku]],
                )
        self._cache.delete(f"cart:{customer}", BESTSELLERS)
        return self.order(number)

    def cancel(self, number: int) -> Row:
        """Give the money and the goods back."""
        order = self.order(number)
        with self._database.transaction() as connection:
            changed = connection.execute(
                "UPDATE orders SET status = 'cancelled' WHERE id = %s AND status = 'paid'", [number]
            )
            if not changed.rowcount:
                raise RefusedError(409, f"order {number} is already cancelled")
            _move(connection, TILL, order["customer"], order["total_cents"])
            for line in order["lines"]:
                query = "UPDATE products SET stock = stock + %s WHERE sku = %s"
                connection.execute(query, [line["quantity"], line["sku"]])
        self._cache.delete(BESTSELLERS)
        return self.order(number)

    def transfer(self, source: str, target: str, cents: int) -> Row:
        if cents < 1:
            raise RefusedError(400, "cents must be at least 1")
        with self._database.transaction() as connection:
            _move(connection, source, target, cents)
        return {"source": self.account(source), "target": self.account(target)}

    # ---- queries

    def _all(self, query: str, values: Values = None) -> list[Row]:
        with self._database.transaction() as connection:
            return connection.execute(query, values).fetchall()

    def _one(self, query: str, values: Values = None, missing: str = "") -> Row:
        rows = self._all(query, values)
        if not rows:
            raise RefusedError(404, missing)
        return rows[0]


def _take(connection: Connection, sku: str, quantity: int) -> int:
    """Take goods from the stock; returns the price of one."""
    rows = connection.execute(
        "UPDATE products SET stock = stock - %(n)s WHERE sku = %(sku)s AND stock >= %(n)s"
        " RETURNING price_cents",
        {"n": quantity, "sku": sku},
    ).fetchall()
    if not rows:
        raise RefusedError(409, f"not enough of {sku} in stock")
    price: int = rows[0]["price_cents"]
    return price


def _move(connection: Connection, source: str, target: str, cents: int) -> None:
    """Move money between two accounts, never below zero."""
    for name in sorted({source, target}):  # in one order, so that two transfers cannot deadlock
        query = "SELECT 1 FROM accounts WHERE id = %s FOR UPDATE"
        if not connection.execute(query, [name]).fetchall():
            raise RefusedError(404, f"no account {name}")
    paid = connection.execute(
        "UPDATE accounts SET balance_cents = balance_cents - %(n)s"
        " WHERE id = %(id)s AND balance_cents >= %(n)s",
        {"n": cents, "id": source},
    )
    if not paid.rowcount:
        raise RefusedError(402, f"{source} has not enough money")
    connection.execute(
        "UPDATE accounts SET balance_cents = balance_cents + %s WHERE id = %s", [cents, target]
    )
    connection.execute(
        "INSERT INTO transfers (source, target, cents) VALUES (%s, %s, %s)", [source, target, cents]
    )
