"""What a test can do to a Redis server: a row for each kind of state.

A tuple is a command, a string is a script for the shell in the container, and `Held` is a command
of a client of the host that stays connected.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from dockwright.reset.redis.session import Command
from tests._support.reset.battery import Change

OTHER_PORT = 6390
"""Another server, in the same container, with keys of its own."""


@dataclass(frozen=True, slots=True)
class Held:
    """A command whose client stays."""

    command: Command


Step: TypeAlias = "Command | str | Held"

LIBRARY = """#!lua name=mine
local calls = 0
redis.register_function('peek', function() return calls end)
redis.register_function('count', function() calls = calls + 1 return calls end)
"""
OTHER_LIBRARY = "#!lua name=other\nredis.register_function('g', function() return 2 end)"

SEED: list[Command] = [
    ("SET", "text", b"binary \x00\xff\r\n'\"\\"),
    ("SET", "number", "10"),
    ("RPUSH", "list", "c", "a", "b"),
    ("SADD", "set", "1", "2"),
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
    # On a busy machine any command may take 10 ms.
    ("CONFIG", "SET", "slowlog-log-slower-than", 5_000_000),
]


def left(command: str, *, port: int = 6379) -> str:
    """Return a script that leaves a process behind, whose command the server has got."""
    script = f"exec 3<>/dev/tcp/127.0.0.1/{port}; printf '%s\\r\\n' '{command}' >&3; sleep 600"
    arrived = f"timeout 1 redis-cli -p {port} client list | grep -qi cmd={command.split()[0]}"
    wait = f"for i in $(seq 20); do {arrived} && break; sleep 0.05; done"
    return f'setsid bash -c "{script}" >/dev/null 2>&1 & {wait}'


def followed(*after: Step) -> Sequence[Step]:
    """Return steps that make the server a replica which has got the other's keys."""
    return [
        ("REPLICAOF", "127.0.0.1", OTHER_PORT),
        "until redis-cli info replication | grep -q master_link_status:up; do sleep 0.05; done",
        *after,
    ]


def _config(name: str, value: str) -> Change[Sequence[Step]]:
    return Change(f"config {name}", [("CONFIG", "SET", name, value)])


def _keys(name: str, *commands: Command) -> Change[Sequence[Step]]:
    return Change(name, list(commands))


_EACH = """
redis-cli config get '*' | while read -r name && read -r value; do
  case $name in *port | databases) continue ;; esac
  {other}
  redis-cli config set "$name" "$other" >/dev/null
done
"""
_FLAGS = "case $value in yes) other=no ;; no) other=yes ;; *) continue ;; esac"
_NUMBERS = "case $value in '' | *[!0-9]*) continue ;; esac; other=$((value + 1))"

CHANGES: list[Change[Sequence[Step]]] = [
    Change(
        "keys evicted by a read",
        [
            ("CONFIG", "SET", "maxmemory-policy", "allkeys-random"),
            ("CONFIG", "SET", "maxmemory", "1mb"),
            ("GET", "text"),
            ("CONFIG", "SET", "maxmemory", "500mb"),
            ("CONFIG", "SET", "maxmemory-policy", "noeviction"),
        ],
        always=True,
    ),
    Change(
        "keys evicted, counters set to zero",
        [
            ("CONFIG", "SET", "maxmemory-policy", "allkeys-lru"),
            ("CONFIG", "SET", "maxmemory", "1mb"),
            ("GET", "text"),
            ("CONFIG", "RESETSTAT"),
        ],
    ),
    Change("replica of another server", followed(), always=True),
    Change("replica, then master again", followed(("REPLICAOF", "NO", "ONE")), always=True),
    Change(
        "replica, saved, then master again",
        followed(("SAVE",), ("REPLICAOF", "NO", "ONE")),
    ),
    _keys("replica of nothing", ("REPLICAOF", "127.0.0.1", "1")),
    _keys("slave of nothing, then master", ("SLAVEOF", "127.0.0.1", "1"), ("SLAVEOF", "NO", "ONE")),
    Change("replica in the container", ["redis-cli -p 6390 replicaof 127.0.0.1 6379; sleep 1.2"]),
    Change("writes paused", [("CLIENT", "PAUSE", 600000, "WRITE")], always=True, alone=True),
    Change(
        "all commands paused",
        [("CLIENT", "PAUSE", 600000, "ALL")],
        always=True,
        breaks=True,
    ),
    Change(
        "a write waits for the end of a pause",
        [("CLIENT", "PAUSE", 600000, "WRITE"), Held(("SET", "late", "x"))],
        alone=True,
    ),
    Change("append only", [("CONFIG", "SET", "appendonly", "yes"), ("SET", "a", "1")], always=True),
    Change(
        "append only, and off again",
        [("CONFIG", "SET", "appendonly", "yes"), ("CONFIG", "SET", "appendonly", "no")],
    ),
    Change("append-only file written", [("BGREWRITEAOF",)], always=True),
    _keys("slow log", ("CONFIG", "SET", "slowlog-log-slower-than", 0), ("GET", "text")),
    Change(
        "slow log, threshold put back",
        [
            ("CONFIG", "SET", "slowlog-log-slower-than", 0),
            ("GET", "text"),
            ("CONFIG", "SET", "slowlog-log-slower-than", 5_000_000),
        ],
        always=True,
    ),
    Change(
        "access log", ["redis-cli --user alice --pass wrong get x >/dev/null 2>&1"], always=True
    ),
    _keys(
        "latency events",
        ("CONFIG", "SET", "latency-monitor-threshold", 1),
        ("EVAL", "local n = 0; for i = 1, 2000000 do n = n + i end return n", 0),
    ),
    Change("subscriber left in the container", [left("SUBSCRIBE news")], always=True),
    Change("pattern subscriber left in the container", [left("PSUBSCRIBE n*")]),
    Change("shard subscriber left in the container", [left("SSUBSCRIBE news")]),
    Change("blocked client left in the container", [left("BLPOP queue 0")], always=True),
    Change("stream reader left in the container", [left("XREAD BLOCK 0 STREAMS events 0")]),
    Change("monitor left in the container", [left("MONITOR")]),
    Change("tracking client left in the container", [left("CLIENT TRACKING on BCAST")]),
    Change("subscriber of the host", [Held(("SUBSCRIBE", "news"))]),
    Change("blocked client of the host", [Held(("BLPOP", "queue", 0))]),
    Change("monitor of the host", [Held(("MONITOR",))]),
    Change("client in a transaction", [Held(("MULTI",))]),
    Change("client that no memory limit ends", [Held(("CLIENT", "NO-EVICT", "on"))]),
    _keys("text set", ("SET", "text", "other")),
    _keys("text appended", ("APPEND", "text", "x")),
    _keys("text range", ("SETRANGE", "text", 2, "xyz")),
    _keys("number raised", ("INCR", "number")),
    _keys("number as a float", ("INCRBYFLOAT", "number", "1.5")),
    _keys("key taken", ("GETDEL", "text")),
    _keys("key deleted", ("DEL", "list")),
    _keys("key unlinked", ("UNLINK", "hash")),
    _keys("key renamed", ("RENAME", "text", "renamed")),
    _keys("key renamed to another", ("RENAME", "text", "list")),
    _keys("key copied", ("COPY", "set", "copy")),
    _keys("key moved", ("MOVE", "text", 3)),
    _keys("key dumped and restored", ("SET", "x", 1), ("RENAMENX", "x", "y")),
    _keys("time to live", ("EXPIRE", "set", 1000)),
    _keys("time to live by reading", ("GETEX", "text", "EX", 1000)),
    _keys("expired", ("PEXPIRE", "text", 1)),
    Change("expired later", [("PEXPIRE", "text", 60), "sleep 0.2", ("GET", "text")]),
    _keys("list popped", ("LPOP", "list")),
    _keys("list moved", ("LMOVE", "list", "other", "LEFT", "RIGHT")),
    _keys("list trimmed", ("LTRIM", "list", 0, 0)),
    _keys("set popped", ("SPOP", "set")),
    _keys("set stored", ("SUNIONSTORE", "set", "set", "other")),
    _keys("sorted set", ("ZINCRBY", "sorted", 5, "m"), ("ZPOPMIN", "sorted")),
    _keys("hash field", ("HSET", "hash", "field", "x"), ("HDEL", "hash", "é".encode())),
    _keys("hyperloglog", ("PFADD", "log", "c"), ("PFCOUNT", "log")),
    _keys("bits", ("BITFIELD", "bits", "SET", "u8", 0, 255), ("BITOP", "NOT", "text", "bits")),
    _keys("places", ("GEOADD", "places", 15, 37, "Catania")),
    _keys("sorted and stored", ("SORT", "list", "ALPHA", "STORE", "list")),
    _keys("stream entry", ("XADD", "stream", "3-1", "a", "d")),
    _keys("stream trimmed", ("XTRIM", "stream", "MAXLEN", 0)),
    _keys("stream id", ("XSETID", "stream", "9-9")),
    _keys("stream acknowledged", ("XACK", "stream", "group", "1-1")),
    _keys(
        "stream read by group",
        ("XREADGROUP", "GROUP", "group", "me", "COUNT", 1, "STREAMS", "stream", ">"),
    ),
    _keys("stream claimed", ("XAUTOCLAIM", "stream", "group", "you", 0, 0)),
    _keys("stream group", ("XGROUP", "CREATE", "stream", "second", "$")),
    _keys("stream group moved", ("XGROUP", "SETID", "stream", "group", "0")),
    _keys("stream group gone", ("XGROUP", "DESTROY", "stream", "group")),
    _keys("stream consumer", ("XGROUP", "CREATECONSUMER", "stream", "group", "you")),
    _keys("stream consumer gone", ("XGROUP", "DELCONSUMER", "stream", "group", "me")),
    _keys("databases swapped", ("SWAPDB", 0, 5)),
    _keys("database flushed", ("SELECT", 5), ("FLUSHDB",)),
    _keys("all flushed", ("FLUSHALL", "ASYNC")),
    _keys("another database", ("SELECT", 9), ("SET", "in nine", "x")),
    _keys("key of a script", ("EVAL", "redis.call('set', KEYS[1], '1')", 1, "made")),
    _keys(
        "key of a failed script",
        ("EVAL", "redis.call('set', KEYS[1], '1'); return redis.pcall('nope')", 1, "made"),
    ),
    _keys("key of a transaction", ("MULTI",), ("SET", "a", "1"), ("DEL", "list"), ("EXEC",)),
    _keys("many keys", ("EVAL", "for i = 1, 5000 do redis.call('set', 'k' .. i, i) end", 0)),
    _keys("keys from another server", ("MIGRATE", "127.0.0.1", OTHER_PORT, "text", 0, 1000)),
    _keys("script cached", ("SCRIPT", "LOAD", "return 5")),
    _keys("function called", ("FCALL", "count", 0), ("FCALL", "count", 0)),
    _keys("library deleted", ("FUNCTION", "DELETE", "mine")),
    _keys("library loaded", ("FUNCTION", "LOAD", OTHER_LIBRARY)),
    _keys("libraries flushed", ("FUNCTION", "FLUSH")),
    _keys("user made", ("ACL", "SETUSER", "mallory", "on", ">m", "+@all")),
    _keys("user changed", ("ACL", "SETUSER", "alice", "off", "nopass", "allkeys")),
    _keys("user deleted", ("ACL", "DELUSER", "alice")),
    _keys("default user changed", ("ACL", "SETUSER", "default", "-debug", "&chan")),
    _config("maxmemory", "400mb"),
    _config("notify-keyspace-events", "KEA"),
    _config("save", "900 1"),
    _config("requirepass", "other"),
    _config("maxclients", "500"),
    _config("timeout", "300"),
    _config("hash-max-listpack-entries", "1"),
    _config("client-output-buffer-limit", "pubsub 1mb 1mb 60"),
    _config("dbfilename", "other.rdb"),
    Change("save into another file", [("CONFIG", "SET", "dir", "/tmp"), ("SAVE",)]),
    Change(
        "encodings",
        [("CONFIG", "SET", "set-max-intset-entries", 0), ("SADD", "set", 3), ("SREM", "set", 3)],
    ),
    Change("every flag turned", [_EACH.format(other=_FLAGS)]),
    Change("every number raised", [_EACH.format(other=_NUMBERS)]),
    _keys("counters set to zero", ("SET", "a", 1), ("CONFIG", "RESETSTAT")),
    _keys("saved", ("SET", "leak", "x"), ("SAVE",)),
    _keys("saved in the background", ("SET", "leak", "x"), ("BGSAVE",)),
    Change(
        "a save that failed",
        [("SET", "leak", "x"), ("CONFIG", "SET", "dir", "/proc"), "redis-cli bgsave; sleep 0.5"],
    ),
    Change("debugged", [("DEBUG", "SET-ACTIVE-EXPIRE", 0)], breaks=True),
]
