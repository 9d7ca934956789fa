"""The shop as the suite talks to it, and what it finds there at the baseline."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

STATISTICS = {"orders": 3, "stock": 288, "money_cents": 65250, "transfers": 2, "carts": 0}
BALANCES = {"alice": 10000, "bob": 5000, "carol": 250, "shop": 50000}
BESTSELLERS = ["BRD-01", "BUT-01", "COF-01"]


class Shop:
    """One running copy of the shop.

    Args:
        url: its address, without a slash at the end.
    """

    def __init__(self, url: str) -> None:
        self._url = url

    def ask(self, method: str, path: str, **fields: object) -> tuple[int, Any]:
        """Return an answer's status and what its JSON says."""
        body = json.dumps(fields).encode() if fields else None
        request = urllib.request.Request(self._url + path, data=body, method=method)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    def get(self, path: str) -> Any:
        """Return what a page says."""
        return self.ask("GET", path)[1]

    def put_in_cart(self, customer: str, sku: str, quantity: int = 1) -> int:
        """Return the status of the answer."""
        return self.ask("PUT", f"/carts/{customer}/{sku}", quantity=quantity)[0]

    def buy(self, customer: str, sku: str, quantity: int = 1) -> tuple[int, Any]:
        """Put one thing in the customer's cart and check out."""
        self.put_in_cart(customer, sku, quantity)
        return self.ask("POST", "/orders", customer=customer)

    def pay(self, source: str, target: str, cents: int) -> int:
        """Return the status of the answer."""
        return self.ask("POST", "/transfers", source=source, target=target, cents=cents)[0]

    def balance(self, account: str) -> int:
        """Return what an account holds, in cents."""
        balance: int = self.get(f"/accounts/{account}")["balance_cents"]
        return balance

    def stock_of(self, sku: str) -> int:
        """Return how many are left."""
        stock: int = self.get(f"/products/{sku}")["stock"]
        return stock

    def assert_baseline(self) -> None:
        """Check that nothing is left of any test that changed something before."""
        assert self.get("/statistics") == STATISTICS
        assert {account: self.balance(account) for account in BALANCES} == BALANCES
        assert [order["id"] for order in self.get("/orders")] == [1, 2, 3]
        assert [product["sku"] for product in self.get("/bestsellers")] == BESTSELLERS
