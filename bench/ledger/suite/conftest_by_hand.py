"""One stack for the session, as pytest-docker has it, and a reset written by hand.

It is started by bare calls of the docker command, which is less work than Compose does.
"""

import os
import subprocess
import time
import urllib.request

import psycopg
import pytest
import redis

SEED = """
TRUNCATE ledger.entries RESTART IDENTITY;
INSERT INTO ledger.entries (account, amount)
SELECT 'account ' || n % 40, n FROM generate_series(1, 2000) n
"""
WEB = (
    *("-e", "LEDGER_CACHE=redis://:rooms@store:6379/0"),
    *("-p", "127.0.0.1::8000", "ledger-web"),
)
SEEN: list[str] = []
STORE = ("--network-alias", "store", "-p", "127.0.0.1::5432", "-p", "127.0.0.1::6379")


def docker(*words):
    done = subprocess.run(["docker", *words], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def until(check):
    deadline = time.monotonic() + 60
    while True:
        try:
            return check()
        except (OSError, psycopg.Error, redis.RedisError):
            assert time.monotonic() < deadline
            time.sleep(0.1)


@pytest.fixture(scope="session")
def shared():
    """Yield the connections to the session's stack."""
    label = f"dockwright-bench={os.environ['BENCH_RUN']}"
    network = docker("network", "create", "--label", label, f"ledger-{os.getpid()}")
    common = ("run", "-d", "--label", label, "--network", network)
    store = docker(*common, *STORE, "ledger-store")
    address = docker("port", store, "5432/tcp")
    url = f"postgresql://clerk:ledger@{address}/books"
    books = until(lambda: psycopg.connect(url, autocommit=True))
    host, _, port = docker("port", store, "6379/tcp").partition(":")
    cache = redis.Redis(host, int(port), password="rooms")
    until(cache.ping)
    web = docker(*common, *WEB)
    page = f"http://{docker('port', web, '8000/tcp')}"
    until(lambda: urllib.request.urlopen(page, timeout=2).close())
    yield books, cache, page
    docker("rm", "-fv", store, web)
    docker("network", "rm", network)


@pytest.fixture
def ledger(shared, request):
    """Yield a connection to the books, and where the web service is; undo what a test wrote."""
    books, cache, web = shared
    request.node.user_properties.append(("is_first", not SEEN))
    SEEN.append(request.node.nodeid)
    yield books, web
    if request.node.get_closest_marker("stateful"):
        with books.transaction():
            books.execute(SEED)
        cache.flushall()
