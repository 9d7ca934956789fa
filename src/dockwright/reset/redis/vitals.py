"""What a Redis server says about itself at one moment, and what follows from two such moments."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from dockwright.reset.redis.session import CommandError, RedisSession, Reply

_HARMLESS = re.compile(
    r"(client|command|latency|memory|object|pubsub|slowlog|xgroup|xinfo)(\|.*)?"
    r"|acl(\|(cat|dryrun|genpass|getuser|help|list|log|users|whoami))?"
    r"|config\|(get|help)|function\|(dump|help|kill|list|stats)|module\|(help|list)"
    r"|script(\|(exists|help|kill|load|show))?"
    r"|auth|echo|hello|info|lastsave|lolwut|ping|quit|reset|role|select|time|wait|waitaof"
    r"|multi|exec|discard|watch|unwatch|eval|eval_ro|evalsha|evalsha_ro"
    r"|publish|spublish|[ps]?subscribe|[ps]?unsubscribe|monitor|sync|psync|replconf"
    r"|save|bgsave|bgrewriteaof|asking|readonly|readwrite"
)
"""Commands that read, or whose effect is counted or looked for by itself at each reset."""

_DRASTIC = ("acl|save", "config|rewrite", "debug")
"""Commands whose effects cannot be seen from outside, or outlive the server."""

_CALLS = re.compile(r"calls=(\d+)")
_FAILED = re.compile(r"failed_calls=(\d+)")


@dataclass(frozen=True, slots=True)
class Saving:
    """What the server wrote to disk, and what not yet.

    Attributes:
        changes: how many there were since the last save. Each command that changes a key adds to
            it: that decides whether the command goes to disk and to replicas.
        count: how many saves there were since the start; None before Redis 7.
        last: when the last one was, in seconds.
        rewrites: how many times append-only files were written since the start.
        running: whether a save or a rewrite is under way.
        failed: whether the last save failed, after which the server refuses writes.
    """

    changes: int
    count: int | None
    last: int
    rewrites: int
    running: bool
    failed: bool

    @classmethod
    def of(cls, info: dict[str, str]) -> Saving:
        """Read it from what `INFO` reports."""
        return cls(
            changes=int(info.get("rdb_changes_since_last_save", 0)),
            count=int(info["rdb_saves"]) if "rdb_saves" in info else None,
            last=int(info.get("rdb_last_save_time", 0)),
            rewrites=int(info.get("aof_rewrites", 0)),
            running=any(
                info.get(name, "0") != "0"
                for name in (
                    "rdb_bgsave_in_progress",
                    "aof_rewrite_in_progress",
                    "aof_rewrite_scheduled",
                )
            ),
            failed=info.get("rdb_last_bgsave_status") == "err",
        )


@dataclass(frozen=True, slots=True)
class Vitals:
    """A server at one moment.

    Attributes:
        run: another one after each restart.
        history: the id of the line of changes, another one after the server followed a master.
        mode: ``standalone``, ``sentinel`` or ``cluster``.
        role: ``master`` or ``slave``.
        failing_over: whether a FAILOVER is under way.
        loading: whether it still loads its keys, from disk or from a master.
        saving: see there.
        lost: how many keys, and fields of hashes, were evicted or expired.
        databases: the numbers of those that are not empty, with how many keys each holds that do
            not expire.
        fields_expire: whether fields of hashes expire, which no key's time to live shows.
        scripts: how many scripts are cached.
        modules: the loaded modules.
        orders: how often each command was called that may change what is not counted elsewhere;
            None where that is not known (before Redis 7), or was set back to 0.
        drastic: how often commands succeeded that cannot be undone.
    """

    run: str
    history: str
    mode: str
    role: str
    failing_over: bool
    loading: bool
    saving: Saving
    lost: tuple[str, ...]
    databases: tuple[tuple[int, int], ...]
    fields_expire: bool
    scripts: int
    modules: tuple[str, ...]
    orders: frozenset[tuple[str, int]] | None
    drastic: frozenset[tuple[str, int]]

    @classmethod
    def take(cls, session: RedisSession, counted: frozenset[str] = frozenset()) -> Vitals:
        """Ask the server.

        Args:
            session: a connection to it.
            counted: what `counted_commands` returned; without it, less is proved.
        """
        return cls.of(session.call(*QUESTIONS), counted)

    @classmethod
    def of(cls, replies: Sequence[Reply], counted: frozenset[str]) -> Vitals:
        """Read it from the replies to `QUESTIONS`."""
        reply, statistics = replies
        info = _parse(reply)
        databases = {name[2:]: text for name, text in info.items() if name.startswith("db")}
        counts = _calls(_parse(statistics))
        return cls(
            run=info.get("run_id", ""),
            history=info.get("master_replid", ""),
            mode=info.get("redis_mode", "standalone"),
            role=info.get("role", "master"),
            failing_over=info.get("master_failover_state", "no-failover") != "no-failover",
            loading=info.get("loading", "0") != "0",
            saving=Saving.of(info),
            lost=tuple(
                info.get(name, "") for name in ("evicted_keys", "expired_keys", "expired_subkeys")
            ),
            databases=tuple(
                sorted(
                    (int(name), _lasting(text))
                    for name, text in databases.items()
                    if name.isdigit()
                )
            ),
            fields_expire=any(
                field.startswith("subexpiry=") and field != "subexpiry=0"
                for text in databases.values()
                for field in text.split(",")
            ),
            scripts=int(info.get("number_of_cached_scripts", 0)),
            modules=_modules(reply),
            orders=_orders(counts, counted),
            drastic=frozenset((name, counts[name][1]) for name in _DRASTIC if name in counts),
        )

    def same_keys(self, other: Vitals) -> bool:
        """Return whether surely no key was changed between the two."""
        counted = self.saving.count is not None and not other.saving.running
        return (
            counted
            and self.same_settings(other)
            and (self.saving, self.lost, self.history) == (other.saving, other.lost, other.history)
        )

    def wrote(self, later: Vitals) -> bool:
        """Return whether surely a key was changed since; a save sets the count to 0."""
        return self.run == later.run and later.saving.changes > self.saving.changes

    def same_settings(self, other: Vitals) -> bool:
        """Return whether surely no setting was changed between the two."""
        return self.orders is not None and (self.run, self.orders) == (other.run, other.orders)

    def same_disk(self, other: Vitals) -> bool:
        """Return whether nothing was written to disk between the two, nor is being written."""
        then = replace(self.saving, changes=other.saving.changes)
        known = (self.run, self.history, then) == (other.run, other.history, other.saving)
        return known and not other.saving.running and not other.saving.failed

    def calls(self, name: str) -> int:
        """Return how often a command was called; 0 where that is not known."""
        return dict(self.orders or ()).get(name, 0)

    @property
    def in_order(self) -> bool:
        """Whether it serves its own keys, and goes on doing so."""
        return self.role == "master" and not (self.loading or self.failing_over)

    def drastic_since(self, since: Vitals) -> list[str]:
        """Return the commands that cannot be undone and were called between `since` and now."""
        before = since.drastic if self.run == since.run else frozenset()
        return sorted(name.replace("|", " ").upper() for name, _ in self.drastic - before)


QUESTIONS = (("INFO",), ("INFO", "commandstats"))
"""The commands whose replies make `Vitals`."""


def counted_commands(session: RedisSession) -> frozenset[str]:
    """Return the commands that read or write keys: whatever these change is counted."""
    try:
        replies = session.call(("ACL", "CAT", "read"), ("ACL", "CAT", "write"))
    except CommandError:  # before Redis 6
        return frozenset()
    names = {
        name.decode()
        for reply in replies
        if isinstance(reply, list)
        for name in reply
        if isinstance(name, bytes)
    }
    # Libraries are written like keys, but are none.
    return frozenset(name for name in names if not name.startswith("function"))


def _orders(
    counts: dict[str, tuple[int, int]], counted: frozenset[str]
) -> frozenset[tuple[str, int]] | None:
    if "config|get" not in counts or "config|resetstat" in counts:
        return None
    return frozenset(
        (name, calls)
        for name, (calls, _) in counts.items()
        if name not in counted and not _HARMLESS.fullmatch(name)
    )


def _calls(statistics: dict[str, str]) -> dict[str, tuple[int, int]]:
    """Return for each command how often it was called, and how often it succeeded."""
    found = {}
    for name, text in statistics.items():
        if calls := _CALLS.search(text):
            failed = _FAILED.search(text)
            count = int(calls[1])
            found[name.removeprefix("cmdstat_")] = count, count - int(failed[1] if failed else 0)
    return found


def _lasting(text: str) -> int:
    numbers = dict(field.split("=", 1) for field in text.split(",") if "=" in field)
    return int(numbers.get("keys", 0)) - int(numbers.get("expires", 0))


def _modules(reply: Reply) -> tuple[str, ...]:
    lines = reply.decode(errors="replace").splitlines() if isinstance(reply, bytes) else []
    return tuple(
        sorted(",".join(line.split(",")[:2]) for line in lines if line.startswith("module:"))
    )


def _parse(reply: Reply) -> dict[str, str]:
    if not isinstance(reply, bytes):
        return {}
    pairs = (line.partition(":") for line in reply.decode(errors="replace").splitlines())
    return {name: value for name, colon, value in pairs if colon}
