"""Servers are known by what they are, and entered by whatever way is open there."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from dockwright.engine import Engine
from dockwright.engine.build import BuildRequest
from dockwright.engine.programs import Program
from dockwright.model import Address, ServiceSpec
from dockwright.reset import STRATEGIES, Detected, choose
from dockwright.reset.base import Environment
from dockwright.reset.credentials import Credential, candidates
from dockwright.reset.postgres.disposable import DisposablePostgres
from dockwright.reset.recognise import Recognised, greeting, recognise, recognised
from tests._support.owned import Owned
from tests._support.reset.services import RealService

LEDGER = Path(__file__).parents[2] / "bench/ledger/store"
"""PostgreSQL that its own script sets up under a user of its own, and Redis, in one image."""


def program(
    pid: int,
    name: str,
    *,
    parent: int = 0,
    ports: tuple[int, ...] = (),
    sockets: tuple[str, ...] = (),
    lock_file: str = "",
) -> Program:
    return Program(
        pid=pid,
        parent=parent,
        session=pid,
        name=name.rpartition("/")[2],
        file=name if name.startswith("/") else f"/usr/bin/{name}",
        user=999,
        directory="/data",
        ports=frozenset(ports),
        reachable=frozenset(ports),
        sockets=frozenset(sockets),
        lock_file=lock_file,
    )


POSTGRES = program(10, "postgres", parent=1, ports=(5432,), sockets=("/run/.s.PGSQL.5432",))
WRITER = program(11, "postgres", parent=10)


def look(*programs: Program) -> Recognised:
    return recognised(list(programs), {})


def test_a_server_is_its_first_process() -> None:
    found = look(program(1, "start.sh"), POSTGRES, WRITER)
    assert str(found) == "PostgreSQL on port 5432"
    assert found.unknown == ""
    assert [each.program.pid for each in found.servers] == [10]


def test_two_servers_in_one_container_are_both_known() -> None:
    redis = program(12, "redis-server", parent=10, ports=(6379, 16379))
    found = look(program(1, "tini"), POSTGRES, WRITER, redis)
    assert str(found) == "PostgreSQL on port 5432 and Redis on port 6379"
    assert found.unknown == ""


def test_a_renamed_postgres_is_recognised_by_its_pid_file() -> None:
    renamed = program(1, "/opt/ledgerd", ports=(7000,), lock_file="1\n/data\n")
    assert str(look(renamed)) == "PostgreSQL on port 7000"


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (program(20, "nginx", parent=1, ports=(80,)), "nginx runs beside"),
        (program(20, "worker", parent=1), "worker runs beside"),
        (program(20, "app", parent=10, ports=(8000,)), "app runs beside"),
        (program(20, "postgres", parent=1, ports=(5433,)), "run in one container"),
    ],
)
def test_programs_beside_a_server_may_keep_state(other: Program, why: str) -> None:
    assert why in look(program(1, "sh"), POSTGRES, WRITER, other).unknown


@pytest.mark.parametrize(
    "other",
    [
        program(20, "tail", parent=1),
        program(20, "supervisord", parent=0, sockets=("/run/supervisor.sock",)),
        program(20, "archive", parent=10),
    ],
)
def test_helper_programs_keep_no_state(other: Program) -> None:
    assert look(program(1, "sh"), POSTGRES, WRITER, other).unknown == ""


@contextmanager
def answering(answer: bytes, *, first: bool = False) -> Iterator[Address]:
    """Serve on a port: answer what was said, or speak first."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:

        def serve() -> None:
            for _ in range(2):
                connected, _ = listener.accept()
                if not first:
                    connected.recv(64)
                connected.sendall(answer)
                connected.close()

        threading.Thread(target=serve, daemon=True).start()
        yield Address("127.0.0.1", listener.getsockname()[1])


@pytest.mark.parametrize(
    ("answer", "first", "kind"),
    [
        (b"S", False, "postgres"),
        (b"N", False, "postgres"),
        (b"+PONG\r\n", False, "redis"),
        (b"-NOAUTH Authentication required.\r\n", False, "redis"),
        (b"J\0\0\0\n8.0.36\0", True, "mysql"),
        (b"HTTP/1.1 400 Bad Request\r\n", False, None),
        (b"Server: N", False, None),
        (b"", False, None),
    ],
)
def test_servers_are_recognised_by_their_first_words(
    answer: bytes, first: bool, kind: str | None
) -> None:
    with answering(answer, first=first) as address:
        assert greeting(address) == kind


def test_nothing_is_recognised_if_nothing_listens() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]
    assert greeting(Address("127.0.0.1", port)) is None


class Known:
    """A service with variables, for what reads only those."""

    def __init__(self, *others: Mapping[str, str]) -> None:
        self._others = others

    def environments(self) -> tuple[Mapping[str, str], ...]:
        return self._others


@pytest.mark.parametrize(
    ("own", "other", "first"),
    [
        (
            {},
            {"DATABASE_URL": "postgresql+asyncpg://shop:p%40ss@db:5432/orders?x=1"},
            Credential("shop", "p@ss", "orders"),
        ),
        ({}, {"OPTS": "--db postgres://u@db/x --v"}, Credential("u", "", "x")),
        ({"SHOP_USER": "s", "SHOP_PASSWORD": "p"}, {}, Credential("s", "p", "")),
        (
            {},
            {"DB_HOST": "db", "DB_USERNAME": "u", "DB_PASS": "p", "DB_NAME": "n"},
            Credential("u", "p", "n"),
        ),
        ({"PWD": "/", "CACHE": "redis://:x@cache/0"}, {"HOME_URL": "https://a:b@c"}, None),
        ({}, {"DATABASE_URL": "postgres://[broken"}, None),
    ],
)
def test_names_and_passwords_are_found_where_clients_find_them(
    own: Mapping[str, str], other: Mapping[str, str], first: Credential | None
) -> None:
    service = Known(other)
    environment = Environment(service, own, ())  # type: ignore[arg-type]
    found = candidates(service, environment, "postgres", "postgresql")  # type: ignore[arg-type]
    assert next(iter(found), None) == first


@pytest.fixture(scope="module")
def ledger(engine: Engine) -> str:
    """An image of its own name, as `bench/ledger` builds it."""
    for image in ("postgres:15", "redis:7"):
        if not engine.has_image(image):
            pytest.skip(f"needs the image {image}: scripts/ensure-images gets it")
    tag = "dockwright-test/ledger-store:1"
    if not engine.has_image(tag):
        engine.build_image(BuildRequest(context=LEDGER, tags=(tag,)))
    return tag


def started(owned: Owned, image: str) -> RealService:
    service = RealService(owned.engine, owned.run(image), ServiceSpec("store", {"image": image}))
    service.await_answer("pg_isready -qh 127.0.0.1")
    return service


def entries(service: RealService, statement: str) -> str:
    command = ("psql", "-h", "/run/ledger", "-d", "books", "-qAtXc", statement)
    return service.run(*command, user="bookkeeper").strip()


@pytest.mark.engine
def test_servers_with_an_image_and_users_of_their_own_are_reset_in_place(
    owned: Owned, ledger: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = started(owned, ledger)
    with monkeypatch.context() as patch:  # as from another host, which does not see processes
        patch.setattr("dockwright.engine.inside.os.geteuid", lambda: 1000)
        assert str(recognise(service)) == "PostgreSQL on port 5432 and Redis on port 6379"
    service.others = [{"CACHE": "redis://:rooms@store/0", "BOOKS": "postgres://clerk:ledger@store"}]
    for _ in range(2):  # as before a baseline is kept
        DisposablePostgres().spare_the_disk(service)
    written = "SELECT count(*) FROM pg_file_settings WHERE name IN ('fsync', 'autovacuum')"
    assert entries(service, written) == "2"
    assert entries(service, "SHOW fsync") == "on"  # until its next start
    strategy = choose(service, STRATEGIES)
    strategy.capture()
    assert isinstance(strategy, Detected)
    assert strategy.found == "PostgreSQL on port 5432 and Redis on port 6379"
    assert strategy.manner == "in place"
    assert strategy.gave_way is None
    for setting in ("fsync", "autovacuum"):  # nobody needs the data of a disposable copy
        assert entries(service, f"SHOW {setting}") == "off"
    entries(
        service, "DELETE FROM ledger.entries WHERE id > 7; DROP INDEX ledger.entries_account_idx"
    )
    strategy.reset()
    counted = "SELECT count(*), sum(amount) FROM ledger.entries"
    assert entries(service, counted) == "2000|2001000"
    strategy.close()


@pytest.mark.engine
def test_a_server_without_a_way_in_is_reported_with_what_would_help(
    owned: Owned, ledger: str
) -> None:
    service = started(owned, ledger)  # nobody is given Redis's password
    strategy = choose(service, STRATEGIES)
    strategy.capture()
    assert strategy.manner == "recreate"
    assert isinstance(strategy, Detected)
    assert strategy.gave_way == (
        "strategy postgres and redis cannot work: no way into Redis on port 6379: "
        "Authentication required. (set REDIS_PASSWORD to its password, or give other services a "
        "URL with it)"
    )


@pytest.mark.engine
def test_a_look_that_takes_too_long_gives_way(
    owned: Owned, scratch: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    box = ServiceSpec("box", {"image": scratch})
    service = RealService(owned.engine, owned.run(scratch, "sleep", "600"), box)
    strategy = choose(service, STRATEGIES)
    monkeypatch.setattr("dockwright.engine.inside.os.geteuid", lambda: 1000)
    monkeypatch.setattr("dockwright.engine.programs._SCRIPT_S", 0.001)
    strategy.capture()
    assert isinstance(strategy, Detected)
    assert strategy.manner == "recreate"
    assert strategy.gave_way == "to find out what runs in it took too long"
