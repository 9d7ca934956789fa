"""A driver that cannot be used, in whatever version, never keeps a database from being reset."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dockwright.engine import ExecSession
from dockwright.errors import EngineError
from dockwright.reset import ResetStrategy
from dockwright.reset.mysql import MysqlReset
from dockwright.reset.mysql import session as mysql_sessions
from dockwright.reset.postgres import PostgresReset
from dockwright.reset.postgres import session as postgres_sessions
from dockwright.reset.redis import RedisReset
from dockwright.reset.redis import session as redis_sessions
from dockwright.reset.session import ConnectionLostError
from tests._support.owned import Owned
from tests._support.reset.services import RealService, start

pytestmark = pytest.mark.engine

BROKEN_IMPORT = "raise AttributeError('module has no attribute that this version needs')"
REDIS_4 = {
    "redis/__init__.py": "",
    "redis/exceptions.py": "class RedisError(Exception): pass\n"
    "class ResponseError(RedisError): pass",
    "redis/connection.py": "class Connection:\n"
    "    def __init__(self, host='localhost', port=6379, username=None, password=None,\n"
    "                 socket_timeout=None, socket_connect_timeout=None, client_name=None): pass",
}
SILENT_REDIS = {
    **REDIS_4,
    "redis/connection.py": "class Connection:\n"
    "    def __init__(self, **options): pass\n"
    "    def pack_commands(self, commands): return commands\n"
    "    def send_packed_command(self, packed, check_health): pass\n"
    "    def read_response(self): raise KeyError('another protocol')",
}
PSYCOPG = {
    "psycopg/__init__.py": "class Error(Exception): pass\n"
    "def connect(conninfo='', *, autocommit=False): pass",
}
LAZY_PSYCOPG = {
    "psycopg/__init__.py": "class Error(Exception): pass\n"
    "class Connection: pass\n"
    "def connect(**options): return Connection()",
}
PYMYSQL = {
    "pymysql/__init__.py": "from pymysql import err\ndef connect(host, user, passwd, db): pass",
    "pymysql/err.py": "class MySQLError(Exception): pass\n"
    "class OperationalError(MySQLError): pass\nclass InterfaceError(MySQLError): pass",
}
NO_ERRORS = {"pymysql/__init__.py": ""}


def install(tmp_path: Path, patch: pytest.MonkeyPatch, files: dict[str, str]) -> None:
    """Put a package on the path of imports, in front of the real one of this name."""
    for name, source in files.items():
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(source)
    package = next(iter(files)).partition("/")[0]
    for module in [name for name in sys.modules if name.partition(".")[0] == package]:
        patch.delitem(sys.modules, module)
    patch.syspath_prepend(tmp_path)
    # What is loaded from there has to go again.
    for module in (package, *(f"{package}.{Path(name).stem}" for name in files)):
        patch.setitem(sys.modules, module, None)
        patch.delitem(sys.modules, module)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the warnings about drivers."""
    return [
        record.getMessage()
        for record in caplog.records
        if record.levelno == logging.WARNING and "reset.driver_unusable" in record.getMessage()
    ]


@pytest.fixture(scope="module")
def redis(owned_by_module: Owned) -> RealService:
    return start(owned_by_module, "redis:7", check="redis-cli ping")


@pytest.fixture(scope="module")
def postgres(owned_by_module: Owned) -> RealService:
    return start(
        owned_by_module,
        "postgres:15",
        check="pg_isready -q -h 127.0.0.1 -U postgres",
        env={"POSTGRES_PASSWORD": "secret"},
    )


@pytest.fixture(scope="module")
def mariadb(owned_by_module: Owned) -> RealService:
    return start(
        owned_by_module,
        "mariadb:10.11",
        check="mariadb-admin ping -h 127.0.0.1 -uroot -proot --silent",
        env={"MARIADB_ROOT_PASSWORD": "root", "MARIADB_DATABASE": "shop"},
    )


def reset_after(strategy: ResetStrategy, service: RealService, *change: str) -> None:
    """Let a test change something between the baseline and a reset."""
    try:
        strategy.capture()
        service.run(*change)
        strategy.reset()
    finally:
        strategy.close()


@pytest.mark.soak(sample=2)
@pytest.mark.parametrize(
    ("files", "reason"),
    [
        (REDIS_4, "AttributeError: 'Connection' object has no attribute 'pack_commands'"),
        (SILENT_REDIS, "KeyError: 'another protocol'"),
        ({"redis/__init__.py": BROKEN_IMPORT}, "AttributeError: module has no attribute"),
        ({"redis/__init__.py": ""}, "ImportError: cannot import name"),
    ],
    ids=["redis-py 4", "fails while it reads", "fails when imported", "without the parts"],
)
def test_redis_is_reset_without_a_driver_that_fits(
    redis: RealService,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    files: dict[str, str],
    reason: str,
) -> None:
    install(tmp_path, monkeypatch, files)
    reset_after(RedisReset(redis), redis, "redis-cli", "set", "leak", "1")
    assert redis.run("redis-cli", "exists", "leak") == "0\n"
    assert_named_once(caplog, "redis", reason)


@pytest.mark.soak(sample=1)
@pytest.mark.parametrize(
    ("files", "reason"),
    [
        (PSYCOPG, "TypeError: .*unexpected keyword argument 'host'"),
        (LAZY_PSYCOPG, "AttributeError: 'Connection' object has no attribute"),
        ({"psycopg/__init__.py": "raise ImportError('no pq wrapper available')"}, "ImportError"),
    ],
    ids=["other parameters", "fails when used", "without libpq"],
)
def test_postgresql_is_reset_without_a_driver_that_fits(
    postgres: RealService,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    files: dict[str, str],
    reason: str,
) -> None:
    install(tmp_path, monkeypatch, files)
    psql = ["psql", "-qAtX", "-U", "postgres", "-c"]
    reset_after(PostgresReset(postgres), postgres, *psql, "CREATE TABLE leak (a int)")
    assert postgres.run(*psql, "SELECT to_regclass('leak') IS NULL") == "t\n"
    assert_named_once(caplog, "psycopg", reason)


@pytest.mark.soak(sample=1)
@pytest.mark.parametrize(
    ("files", "reason"),
    [
        (PYMYSQL, "TypeError: .*unexpected keyword argument"),
        (NO_ERRORS, "AttributeError: .*'err'"),
    ],
    ids=["other parameters", "without the parts"],
)
def test_mariadb_is_reset_without_a_driver_that_fits(
    mariadb: RealService,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    files: dict[str, str],
    reason: str,
) -> None:
    install(tmp_path, monkeypatch, files)
    client = ["mariadb", "-uroot", "-proot", "shop", "-Ne"]
    reset_after(MysqlReset(mariadb), mariadb, *client, "CREATE TABLE leak (a INT)")
    assert mariadb.run(*client, "SHOW TABLES") == ""
    assert_named_once(caplog, "PyMySQL", reason)


def assert_named_once(caplog: pytest.LogCaptureFixture, driver: str, reason: str) -> None:
    """Fail unless there is one warning about the driver, with the reason."""
    [warning] = warnings(caplog)
    assert f"driver={driver}: " in warning
    assert re.search(reason, warning)


@pytest.mark.parametrize(
    ("image", "session"),
    [
        ("redis:7", lambda service: redis_sessions.CliSession(redis_sessions.Access.of(service))),
        (
            "postgres:15",
            lambda service: postgres_sessions.PsqlSession(
                postgres_sessions.Access.of(service), "postgres"
            ),
        ),
        (
            "mariadb:10.11",
            lambda service: mysql_sessions.ClientSession(mysql_sessions.Access.of(service)),
        ),
    ],
    ids=["redis", "postgres", "mysql"],
)
def test_a_client_that_finds_no_server_is_ended(
    owned: Owned,
    monkeypatch: pytest.MonkeyPatch,
    image: str,
    session: Callable[[RealService], object],
) -> None:
    service = start(owned, image, "sleep", "600", check="true")
    opened: list[ExecSession] = []
    begin = service.engine.exec_session

    def noted(*arguments: Any, **options: Any) -> ExecSession:
        opened.append(begin(*arguments, **options))
        return opened[-1]

    monkeypatch.setattr(service.engine, "exec_session", noted)
    with pytest.raises(ConnectionLostError):
        session(service)
    with pytest.raises(EngineError):
        opened[0].write(b"anybody there?")
