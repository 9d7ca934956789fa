"""The shop as a test talks to it: over HTTP, and behind its back in SQL and Redis."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dockwright import LeasedStack

STATISTICS = {"orders": 3, "stock": 288, "money_cents": 65250, "transfers": 2, "carts": 0}
BALANCES = {"alice": 10000, "bob": 5000, "carol": 250, "shop": 50000}
STOCK = {
    "ALE-01": 40,
    "BRD-01": 25,
    "BUT-01": 60,
    "CHE-01": 12,
    "COF-01": 30,
    "HON-01": 18,
    "JAM-01": 22,
    "LAM-01": 1,
    "SOA-01": 80,
    "TEA-01": 0,
}
BESTSELLERS = [
    {"sku": "BRD-01", "sold": 3},
    {"sku": "BUT-01", "sold": 2},
    {"sku": "COF-01", "sold": 1},
]
ORDERS = [(1, "alice", 2550, "paid"), (2, "bob", 1260, "paid"), (3, "alice", 780, "cancelled")]
PRODUCT_FIELDS = {"sku", "name", "category", "price_cents", "stock"}


@dataclass(frozen=True)
class Answer:
    """A response: its status and what its JSON says."""

    status: int
    json: Any


class ShopClient:
    """One running copy of the shop."""

    def __init__(self, stack: LeasedStack) -> None:
        self.stack = stack

    def request(self, method: str, path: str, body: bytes | None = None) -> Answer:
        url = self.stack.url("web", 8000, path)
        request = urllib.request.Request(url, data=body, method=method)
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                return Answer(response.status, json.load(response))
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, json.load(error))

    def get(self, path: str) -> Answer:
        return self.request("GET", path)

    def post(self, path: str, **fields: object) -> Answer:
        return self.request("POST", path, json.dumps(fields).encode())

    def put(self, path: str, **fields: object) -> Answer:
        return self.request("PUT", path, json.dumps(fields).encode())

    def delete(self, path: str) -> Answer:
        return self.request("DELETE", path)

    def buy(self, customer: str, sku: str, quantity: int = 1) -> Answer:
        """Put one thing in the customer's cart and check out."""
        self.put(f"/carts/{customer}/{sku}", quantity=quantity)
        return self.post("/orders", customer=customer)

    def pay(self, source: str, target: str, cents: object) -> Answer:
        return self.post("/transfers", source=source, target=target, cents=cents)

    def balance(self, account: str) -> int:
        balance: int = self.get(f"/accounts/{account}").json["balance_cents"]
        return balance

    def stock_of(self, sku: str) -> int:
        stock: int = self.get(f"/products/{sku}").json["stock"]
        return stock

    def sql(self, query: str) -> str:
        """Run a query inside the database's container; returns unaligned rows."""
        command = [
            "psql",
            "-XAtq",
            "-v",
            "ON_ERROR_STOP=1",
            "-U",
            "shop",
            "-d",
            "shop",
            "-c",
            query,
        ]
        return self._inside("db", command)

    def redis(self, *command: str) -> str:
        """Run a Redis command inside the cache's container."""
        return self._inside("cache", ["redis-cli", "-e", *command])

    def _inside(self, service: str, command: list[str]) -> str:
        result = self.stack.exec(service, command)
        assert result.exit_code == 0, result.stderr
        return result.stdout.strip()

    def assert_baseline(self) -> None:
        """Check that nothing is left of any test that changed something before."""
        assert self.get("/statistics").json == STATISTICS
        products = self.get("/products").json
        assert {product["sku"]: product["stock"] for product in products} == STOCK
        assert all(set(product) == PRODUCT_FIELDS for product in products)
        assert {account: self.balance(account) for account in BALANCES} == BALANCES
        orders = self.get("/orders").json
        assert [(o["id"], o["customer"], o["total_cents"], o["status"]) for o in orders] == ORDERS
        assert self.get("/bestsellers").json == BESTSELLERS
