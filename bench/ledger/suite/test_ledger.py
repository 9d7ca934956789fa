"""Twelve tests that read and twelve that write."""

import urllib.request

import psycopg
import pytest


def visit(url: str, path: str) -> int | str:
    with urllib.request.urlopen(f"{url}/{path}", timeout=10) as answer:
        text = answer.read().decode()
    return int(text) if text.isdigit() else text


@pytest.mark.stateless
@pytest.mark.parametrize("number", range(12))
def test_reads(ledger: "tuple[psycopg.Connection, str]", number: int) -> None:
    books, web = ledger
    amount = books.execute("SELECT count(*) FROM ledger.entries WHERE id > %s", [number])
    assert amount.fetchone() == (2000 - number,)
    assert visit(web, "") == "PONG"


@pytest.mark.stateful
@pytest.mark.parametrize("number", range(12))
def test_writes(ledger: "tuple[psycopg.Connection, str]", number: int) -> None:
    books, web = ledger
    books.execute("INSERT INTO ledger.entries (account, amount) VALUES ('new', %s)", [number])
    books.execute("UPDATE ledger.entries SET amount = 0 WHERE id = %s", [number + 1])
    found = books.execute("SELECT count(*), max(id), sum(amount) FROM ledger.entries").fetchone()
    assert found == (2001, 2001, 2001000 - 1)
    assert visit(web, "visit") == 1
