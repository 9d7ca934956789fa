"""A suite of 40 tests marked stateless: 20 change something, 20 do not, each in its own way."""

from __future__ import annotations

from collections.abc import Mapping

from tests._support.engine.scratch import SCRATCH

COMPOSE = f"""
services:
  db:
    image: postgres:15
    environment: {{POSTGRES_PASSWORD: secret}}
    volumes: ["./seed.sql:/docker-entrypoint-initdb.d/seed.sql:ro"]
    healthcheck: {{test: pg_isready -q -h 127.0.0.1 -U postgres, interval: 1s}}
    ports: ["5432"]
  cache:
    image: redis:7
    healthcheck: {{test: redis-cli ping, interval: 1s}}
    ports: ["6379"]
  web:
    image: {SCRATCH}
    command: [sh, -c, "touch /data/here; exec httpd -f -p 8000 -h /data"]
    volumes: ["data:/data", "./shared:/shared"]
    ports: ["8000"]
volumes:
  data: {{}}
"""

SEED = "CREATE TABLE orders (id serial PRIMARY KEY, what text); CREATE SEQUENCE numbers;"

LIES: Mapping[str, str] = {
    "row": "db: table postgres.public.orders (1 row added)",
    "sequence": "db: sequence postgres.public.numbers (advanced)",
    "table": "db: table postgres.public.fresh (added)",
    "role": "db: role visitor (added)",
    "alter system": "db: setting work_mem (added)",
    "transaction": "db: transaction (left open: SELECT * FROM orders)",
    "lock": "db: lock (left open: SELECT pg_advisory_lock(7))",
    "key": "cache: key left (added, expires)",
    "message": "cache: key queue (added)",
    "config": "cache: setting maxmemory (changed)",
    "file": "web: file /left (added)",
    "volume file": "web: file /data/left (added in the volume at /data)",
    "bind mount": "bind mount file */shared/left (added)",
    "process": "web: process sleep (left running)",
    "container": "container PREFIX-container (left on the engine)",
    "network": "network PREFIX-network (left on the engine)",
    "volume": "volume PREFIX-volume (left on the engine)",
    "child": "process sleep 61 (left running)",
    "environment": "environment variable LEFT (added)",
    "directory": "working directory / (changed)",
}
"""What the audit says of each lie."""

INSIDE = [lie for lie, trace in LIES.items() if trace.partition(":")[0] in ("db", "cache", "web")]
"""The lies that healing covers: what is outside of a stack, no reset undoes."""

HONEST = (
    "select",
    "rollback",
    "row lock",
    "explain",
    "copy",
    "notify",
    "listen",
    "released lock",
    "session setting",
    "cursor",
    "missing key",
    "expiry",
    "subscription",
    "transaction of reads",
    "script",
    "command",
    "request",
    "removed file",
    "removed container",
    "ended process",
)
"""What honest tests do: it leaves nothing."""

TESTS = """
import os
import subprocess
import tempfile
import threading
from urllib.request import urlopen

import psycopg
import pytest

AUDITED, PREFIX = os.environ["AUDITED"], os.environ["PREFIX"]
LEFT = []


def psql(stack, *statements):
    with psycopg.connect(stack.url_for("db"), autocommit=True) as connection:
        for each in statements:
            connection.execute(each)


def redis(stack, *words):
    return stack.exec("cache", ["redis-cli", *words]).stdout.strip()


def forget(stack, *statements, autocommit):
    connection = psycopg.connect(stack.url_for("db"), autocommit=autocommit)
    LEFT.append(connection)
    for each in statements:
        connection.execute(each)


def sleep():
    LEFT.append(subprocess.Popen(["sleep", "61"]))


LIES = {
    "row": lambda stack, _: psql(stack, "INSERT INTO orders (id, what) VALUES (7, 'x')"),
    "sequence": lambda stack, _: psql(stack, "SELECT nextval('numbers')"),
    "table": lambda stack, _: psql(stack, "CREATE TABLE fresh (a int)"),
    "role": lambda stack, _: psql(stack, "CREATE ROLE visitor"),
    "alter system": lambda stack, _: psql(stack, "ALTER SYSTEM SET work_mem = '9MB'"),
    "transaction": lambda stack, _: forget(stack, "SELECT * FROM orders", autocommit=False),
    "lock": lambda stack, _: forget(stack, "SELECT pg_advisory_lock(7)", autocommit=True),
    "key": lambda stack, _: redis(stack, "SET", "left", "x", "EX", "100"),
    "message": lambda stack, _: redis(stack, "RPUSH", "queue", "x"),
    "config": lambda stack, _: redis(stack, "CONFIG", "SET", "maxmemory", "99mb"),
    "file": lambda stack, _: stack.exec("web", ["touch", "/left"]),
    "volume file": lambda stack, _: stack.exec("web", ["touch", "/data/left"]),
    "bind mount": lambda stack, _: stack.exec("web", ["touch", "/shared/left"]),
    "process": lambda stack, _: stack.exec("web", ["sh", "-c", "sleep 61 >/dev/null 2>&1 &"]),
    "container": lambda _, docker: docker.containers.create(
        os.environ["IMAGE"], "true", name=f"{PREFIX}-container"
    ),
    "network": lambda _, docker: docker.networks.create(f"{PREFIX}-network"),
    "volume": lambda _, docker: docker.volumes.create(f"{PREFIX}-volume"),
    "child": lambda stack, _: sleep(),
    "environment": lambda stack, _: os.environ.__setitem__("LEFT", "1"),
    "directory": lambda stack, _: os.chdir("/"),
}


@pytest.mark.stateless
@pytest.mark.parametrize("lie", LIES)
def test_lies(stack, docker_client, lie):
    LIES[lie](stack, docker_client)


CLEAN = (
    "SELECT (SELECT count(*) FROM orders), (SELECT is_called FROM numbers), to_regclass('fresh'),"
    " (SELECT count(*) FROM pg_roles WHERE rolname = 'visitor'),"
    " (SELECT count(*) FROM pg_file_settings WHERE name = 'work_mem'),"
    " (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'),"
    " (SELECT count(*) FROM pg_stat_activity WHERE state ~ 'in transaction')"
)


def is_clean(stack):
    with psycopg.connect(stack.url_for("db"), autocommit=True) as connection:
        assert connection.execute(CLEAN).fetchone() == (0, False, None, 0, 0, 0, 0)
    keys = stack.exec("cache", ["sh", "-c", "redis-cli DBSIZE; redis-cli CONFIG GET maxmemory"])
    assert keys.stdout.split() == ["0", "maxmemory", "0"]
    listing = stack.exec("web", ["sh", "-c", "ls / /data; ps"]).stdout
    assert "left" not in listing and "sleep" not in listing


def subscribe(stack):
    script = "timeout 1 redis-cli SUBSCRIBE news | head -n 1"
    assert "subscribe" in stack.exec("cache", ["sh", "-c", script]).stdout


def remove_container(docker):
    docker.containers.create(os.environ["IMAGE"], "true").remove()


def end_processes():
    subprocess.run(["true"], check=True)
    thread = threading.Thread(target=bool)
    thread.start()
    thread.join()
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"x")


HONEST = {
    "select": lambda stack, _: psql(stack, "SELECT * FROM orders", "TABLE pg_roles"),
    "rollback": lambda stack, _: psql(
        stack, "BEGIN", "INSERT INTO orders (id, what) VALUES (9, 'x')", "CREATE TABLE a ()",
        "ROLLBACK"
    ),
    "row lock": lambda stack, _: psql(stack, "BEGIN", "TABLE orders FOR UPDATE", "ROLLBACK"),
    "explain": lambda stack, _: psql(stack, "EXPLAIN ANALYZE SELECT * FROM orders"),
    "copy": lambda stack, _: psql(stack, "COPY (SELECT 1 WHERE false) TO PROGRAM 'cat'"),
    "notify": lambda stack, _: psql(stack, "NOTIFY news, 'x'"),
    "listen": lambda stack, _: psql(stack, "LISTEN news"),
    "released lock": lambda stack, _: psql(
        stack, "SELECT pg_advisory_lock(8)", "SELECT pg_advisory_unlock(8)"
    ),
    "session setting": lambda stack, _: psql(stack, "SET work_mem = '9MB'"),
    "cursor": lambda stack, _: psql(
        stack, "BEGIN", "DECLARE c CURSOR FOR TABLE orders", "FETCH c", "COMMIT"
    ),
    "missing key": lambda stack, _: redis(stack, "GET", "missing"),
    "expiry": lambda stack, _: redis(stack, "EXPIRE", "missing", "1"),
    "subscription": lambda stack, _: subscribe(stack),
    "transaction of reads": lambda stack, _: stack.exec(
        "cache", ["sh", "-c", "printf 'WATCH a\\nMULTI\\nGET a\\nEXEC\\n' | redis-cli"]
    ),
    "script": lambda stack, _: redis(stack, "EVAL", "return redis.call('GET', 'a')", "0"),
    "command": lambda stack, _: stack.exec("web", ["ls", "-lR", "/data"]),
    "request": lambda stack, _: urlopen(stack.url("web", 8000, "/here")).close(),
    "removed file": lambda stack, _: stack.exec("web", ["sh", "-c", "touch /tmp/a; rm /tmp/a"]),
    "removed container": lambda _, docker: remove_container(docker),
    "ended process": lambda stack, _: end_processes(),
}


@pytest.mark.stateless
@pytest.mark.parametrize("round", range(int(os.environ.get("ROUNDS", "1"))))
@pytest.mark.parametrize("deed", HONEST)
def test_reads(stack, docker_client, deed, round, monkeypatch):
    monkeypatch.setenv("LEFT_BY_A_FIXTURE", "1")
    if AUDITED:  # else it may share the stack with a lie
        is_clean(stack)
    HONEST[deed](stack, docker_client)


@pytest.mark.stateful
@pytest.mark.parametrize("number", range(4))
def test_needs_a_clean_stack(stack, number):
    is_clean(stack)
    psql(stack, "DROP TABLE orders")
"""

CONFTEST = """
import os
import random

import pytest


def parameter_of(item):
    parameters = item.callspec.params
    return str(parameters.get("lie", parameters.get("deed", "")))


def pytest_collection_modifyitems(items):
    left_out = os.environ["LEFT_OUT"].split(",")
    items[:] = [item for item in items if parameter_of(item) not in left_out]
    random.Random(os.environ["ORDER"]).shuffle(items)
"""
