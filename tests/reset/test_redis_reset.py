"""Redis comes back to its baseline while it runs, whatever was done to it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from dockwright.errors import StackBrokenError, StackError
from dockwright.reset.redis import RedisReset
from dockwright.reset.redis.session import Access, CliSession, Command, Reply
from tests._support.owned import Owned
from tests._support.reset.services import RealService, start

pytestmark = pytest.mark.engine
IMAGE = "redis:7"
LIBRARY = b"#!lua name=mine\nredis.register_function('f', function() return 1 end)"
OTHER = b"#!lua name=other\nredis.register_function('g', function() return 2 end)"

SEED: list[Command] = [
    ("SELECT", 0),
    ("SET", "text", b"binary \x00\xff\r\n'\"\\"),
    ("SET", "mortal", "x", "PX", "3600000"),
    ("RPUSH", "list", "c", "a", "b"),
    ("SADD", "set", "1", "2"),  # larger ones of texts are dumped in any order
    ("SADD", "texts", "x"),
    ("ZADD", "sorted", "1.5", "m", "-2", "n"),
    ("HSET", "hash", "field", "value", "é".encode(), ""),
    ("PFADD", "log", "a", "b"),
    ("SETBIT", "bits", 7, 1),
    ("GEOADD", "places", "13.361389", "38.115556", "Palermo"),
    ("XADD", "stream", "1-1", "a", "b"),
    ("XADD", "stream", "2-1", "a", "c"),
    ("XGROUP", "CREATE", "stream", "group", "0"),
    ("XREADGROUP", "GROUP", "group", "me", "COUNT", 1, "STREAMS", "stream", ">"),
    ("SELECT", 5),
    ("SET", "in five", "5"),
    ("FUNCTION", "LOAD", LIBRARY),
    ("ACL", "SETUSER", "alice", "on", ">secret", "~alice:*", "+@read", "(~b* +set)"),
    ("CONFIG", "SET", "maxmemory", "500mb"),
]

CHANGES: list[Command] = [
    ("SELECT", 0),
    ("DEL", "list"),
    ("APPEND", "text", "x"),
    ("PERSIST", "mortal"),
    ("EXPIRE", "set", 1000),
    ("XACK", "stream", "group", "1-1"),
    ("XADD", "stream", "3-1", "a", "d"),
    ("SWAPDB", 0, 5),
    ("SELECT", 9),
    ("SET", "in nine", "x"),
    ("FUNCTION", "DELETE", "mine"),
    ("FUNCTION", "LOAD", OTHER),
    ("EVAL", "return 1", 0),
    ("ACL", "SETUSER", "alice", "off", "nopass", "allkeys"),
    ("ACL", "SETUSER", "mallory", "on", ">m", "+@all"),
    ("ACL", "SETUSER", "default", "-debug"),
    ("CONFIG", "SET", "maxmemory", "400mb"),
    ("CONFIG", "SET", "maxmemory-policy", "allkeys-lru"),
    ("CONFIG", "SET", "notify-keyspace-events", "KEA"),
    ("CONFIG", "SET", "save", "900 1"),
    ("BGSAVE",),
]


@dataclass(slots=True)
class Server:
    service: RealService
    strategy: RedisReset

    def call(self, *commands: Command) -> list[Reply]:
        """Send commands through a client of its own."""
        client = CliSession(Access.of(self.service))
        try:
            return client.call(*commands)
        finally:
            client.close()

    def dump(self) -> dict[object, object]:
        """Return all that can be seen of the server."""
        found: dict[object, object] = {}
        client = CliSession(Access.of(self.service))
        try:
            for database in range(16):
                _, keys = client.call(("SELECT", database), ("KEYS", "*"))
                assert isinstance(keys, list)
                for key in keys:
                    assert isinstance(key, bytes)
                    dump, ttl_ms = client.call(("DUMP", key), ("PTTL", key))
                    assert isinstance(ttl_ms, int)
                    found[database, key] = dump, -(-ttl_ms // 600_000)
            for what in (("CONFIG", "GET", "*"), ("ACL", "LIST")):
                [texts] = client.call(what)
                assert isinstance(texts, list)
                found[what] = sorted(str(text).replace(" sanitize-payload", "") for text in texts)
            found["functions"] = client.call(("FUNCTION", "DUMP"))
        finally:
            client.close()
        return found


@pytest.fixture(scope="module")
def server(owned_by_module: Owned, way: str) -> Iterator[Server]:
    service = start(owned_by_module, IMAGE, check="redis-cli ping")
    strategy = RedisReset(service)
    server = Server(service, strategy)
    server.call(*SEED)
    try:
        strategy.capture()
        yield server
    finally:
        strategy.close()


@pytest.fixture(scope="module")
def empty(owned_by_module: Owned, way: str) -> Iterator[Server]:
    service = start(owned_by_module, IMAGE, check="redis-cli ping")
    strategy = RedisReset(service)
    try:
        strategy.capture()
        yield Server(service, strategy)
    finally:
        strategy.close()


def test_everything_that_a_test_can_reach_comes_back(server: Server) -> None:
    before = server.dump()
    for _ in range(2):
        server.call(*CHANGES)
        assert server.dump() != before
        assert not server.strategy.reset()
        assert server.dump() == before


def test_an_empty_server_is_emptied_again(empty: Server) -> None:
    before = empty.dump()
    empty.call(*SEED)
    empty.strategy.reset()
    assert empty.dump() == before


def test_cached_scripts_are_removed(empty: Server) -> None:
    [digest] = empty.call(("SCRIPT", "LOAD", "return 5"))
    assert isinstance(digest, bytes)
    empty.strategy.reset()
    assert empty.call(("SCRIPT", "EXISTS", digest)) == [[0]]


def test_keys_that_a_test_saved_to_disk_are_not_loaded_after_a_kill(empty: Server) -> None:
    empty.call(("SET", "leak", "x"), ("SAVE",))
    empty.strategy.reset()
    empty.service.engine.kill_container(empty.service.container())
    empty.service.engine.start_container(empty.service.container())
    empty.service.await_ready()
    assert empty.call(("DBSIZE",)) == [0]


def test_a_save_at_the_begin_of_a_reset_is_not_loaded_after_a_kill(
    empty: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty.strategy.reset()
    session = empty.strategy._session
    assert session
    transaction = session.transaction

    def saving_before(*commands: Command) -> list[Reply]:
        empty.call(("SAVE",))  # as the server does by itself from time to time
        return transaction(*commands)

    monkeypatch.setattr(session, "transaction", saving_before)
    empty.call(("SET", "leak", "x"))
    empty.strategy.reset()
    empty.service.engine.kill_container(empty.service.container())
    empty.service.engine.start_container(empty.service.container())
    empty.service.await_ready()
    assert empty.call(("DBSIZE",)) == [0]


def test_the_baseline_is_on_disk_after_a_save_of_other_data(server: Server) -> None:
    before = server.dump()
    server.call(("FLUSHALL",), ("SET", "leak", "x"), ("SAVE",))
    server.strategy.reset()
    server.service.engine.kill_container(server.service.container())
    server.service.engine.start_container(server.service.container())
    server.service.await_ready()
    server.strategy.reset()
    assert server.dump() == before


def test_a_restarted_server_is_reset(empty: Server) -> None:
    before = empty.dump()
    empty.call(("SET", "kept by the restart", "x"), ("SAVE",))
    empty.service.engine.restart_container(empty.service.container(), 10)
    empty.service.await_ready()
    empty.strategy.reset()
    assert empty.dump() == before


def test_untouched_keys_are_left_alone_and_the_smallest_change_is_noticed(empty: Server) -> None:
    # A server whose counters were set to zero proves nothing until it starts again.
    empty.service.engine.restart_container(empty.service.container(), 10)
    empty.service.await_ready()
    empty.strategy.reset()  # after a test that saved, this one has to write once more
    empty.strategy.reset()
    untouched = empty.strategy._clean
    assert untouched is not None
    empty.call(("GET", "x"), ("EXISTS", "x"), ("DEL", "x"))
    empty.strategy.reset()
    assert empty.strategy._clean is untouched
    empty.call(("SET", "x", "1"), ("DEL", "x"))
    empty.strategy.reset()
    assert empty.strategy._clean is not untouched


def test_clients_keep_their_connections(empty: Server) -> None:
    client = CliSession(Access.of(empty.service))
    client.call(("SET", "a", "1"))
    assert not empty.strategy.reset()
    assert client.call(("GET", "a")) == [None]
    client.close()


def test_a_server_that_was_made_a_replica_is_a_master_again(empty: Server) -> None:
    empty.call(("REPLICAOF", "127.0.0.1", "1"))
    empty.strategy.reset()
    assert empty.call(("SET", "a", "1")) == [b"OK"]
    empty.strategy.reset()


def test_a_full_server_takes_the_baseline_again(server: Server) -> None:
    before = server.dump()
    server.call(("CONFIG", "SET", "maxmemory", "1"))
    server.strategy.reset()
    assert server.dump() == before


def test_a_server_that_is_gone_breaks_the_stack(owned: Owned, way: str) -> None:
    service = start(owned, IMAGE, check="redis-cli ping")
    strategy = RedisReset(service)
    strategy.capture()
    service.engine.kill_container(service.container())
    with pytest.raises(StackBrokenError, match="service db: cannot be reset in place: "):
        strategy.reset()
    strategy.close()


def test_a_password_is_read_from_the_command_line(owned: Owned, way: str) -> None:
    service = start(
        owned, IMAGE, "sh", "-c", "redis-server --requirepass $SECRET", check="redis-cli ping",
        env={"SECRET": "s3cret"},
    )  # fmt: skip
    strategy = RedisReset(service)
    strategy.capture()
    server = Server(service, strategy)
    server.call(("SET", "a", "1"), ("CONFIG", "SET", "requirepass", "other"))
    strategy.reset()
    assert server.call(("GET", "a")) == [None]
    strategy.close()


def test_an_unknown_password_is_reported_at_the_baseline(owned: Owned, way: str) -> None:
    service = start(owned, IMAGE, check="redis-cli ping")
    Server(service, RedisReset(service)).call(("CONFIG", "SET", "requirepass", "hidden"))
    with pytest.raises(StackError, match="Authentication required"):
        RedisReset(service).capture()


@pytest.mark.soak(sample=4)
@pytest.mark.parametrize(
    "commands",
    [
        [("CONFIG", "SET", "maxmemory", "1gb")],
        [("CONFIG", "SET", "maxmemory", "1gb"), ("CONFIG", "RESETSTAT")],
        [("ACL", "SETUSER", "bob", "on", ">b")],
        [("FUNCTION", "LOAD", LIBRARY)],
        [("REPLICAOF", "127.0.0.1", "1")],
    ],
)
def test_a_changed_setting_is_noticed_each_time(empty: Server, commands: list[Command]) -> None:
    before = empty.dump()
    for _ in range(2):
        empty.strategy.reset()
        empty.strategy.reset()
        empty.call(*commands)
        empty.strategy.reset()
        assert empty.dump() == before


@pytest.mark.parametrize(
    ("commands", "traces"),
    [
        ([("SET", "new", "x")], ["key new (added)"]),
        ([("SET", "soon gone", "x", "EX", 100)], ["key soon gone (added, expires)"]),
        ([("APPEND", "text", "x"), ("DEL", "list")], ["key list (deleted)", "key text (changed)"]),
        ([("EXPIRE", "set", 1000)], ["key set (changed, expires)"]),
        ([("SELECT", 9), ("SET", b"\xff", "x")], [r"key \xff of database 9 (added)"]),
        ([("CONFIG", "SET", "timeout", "7")], ["setting timeout (changed)"]),
        ([("ACL", "SETUSER", "mallory", "on")], ["user mallory (added)"]),
        ([("FUNCTION", "LOAD", OTHER)], ["functions (changed)"]),
        ([("GET", "text"), ("EVAL", "return 1", 0), ("PUBLISH", "news", "x")], []),
    ],
)
def test_a_reset_says_what_it_undid(
    server: Server, commands: list[Command], traces: list[str]
) -> None:
    server.strategy.reset()
    server.strategy.curious = True
    server.call(*commands)
    assert not server.strategy.untouched()
    server.strategy.reset()
    assert list(map(str, server.strategy.undone)) == traces
    server.strategy.reset()
    assert server.strategy.undone == []


def test_only_some_of_many_keys_are_named(empty: Server) -> None:
    empty.strategy.reset()
    empty.strategy.curious = True
    empty.call(*(("SET", f"key {number:02}", "x") for number in range(30)))
    empty.strategy.reset()
    *_, last = empty.strategy.undone
    assert (len(empty.strategy.undone), str(last)) == (11, "keys (20 more)")
