"""What INFO tells about a Redis server: whether its keys were touched, and where they are."""

from __future__ import annotations

from dataclasses import dataclass, replace

from dockwright.reset.redis.session import Reply, Session

_ORDERS = ("config|", "acl|", "function|", "replicaof", "slaveof", "module|", "debug", "failover")
_READING = ("config|get", "acl|list", "function|dump")
"""What we call ourselves at each look; what else only reads is rare."""


@dataclass(frozen=True, slots=True)
class Saving:
    """What the server wrote to disk, and what not yet.

    Attributes:
        changes: how many there were since the last save. Each command that changes a key adds to
            it: that decides whether the command goes to disk and to replicas.
        count: how many saves there were since the start; None before Redis 7.
        last: when the last one was, in seconds.
        running: whether one is under way.
    """

    changes: int
    count: int | None
    last: int
    running: bool

    @classmethod
    def of(cls, reply: Reply) -> Saving:
        """Read it from the reply to ``INFO persistence``."""
        info = _parse(reply)
        return cls(
            changes=int(info["rdb_changes_since_last_save"]),
            count=int(info["rdb_saves"]) if "rdb_saves" in info else None,
            last=int(info["rdb_last_save_time"]),
            running=info["rdb_bgsave_in_progress"] != "0",
        )


@dataclass(frozen=True, slots=True)
class Vitals:
    """A server at one moment.

    Attributes:
        run: another one after each restart.
        role: ``master`` or ``slave``.
        saving: see there.
        databases: the numbers of those that are not empty.
        fields_expire: whether fields of hashes expire, which no key's time to live tells.
        scripts: how many scripts are cached.
        orders: how often each command was called that may change settings; None where that is not
            told apart from reading them (before Redis 7), or was set back to 0.
    """

    run: str
    role: str
    saving: Saving
    databases: tuple[int, ...]
    fields_expire: bool
    scripts: int
    orders: frozenset[tuple[str, str]] | None

    @classmethod
    def take(cls, session: Session) -> Vitals:
        """Ask the server."""
        reply, statistics = session.call(("INFO",), ("INFO", "commandstats"))
        info = _parse(reply)
        databases = {name[2:]: text for name, text in info.items() if name.startswith("db")}
        return cls(
            run=info.get("run_id", ""),
            role=info.get("role", "master"),
            saving=Saving.of(reply),
            databases=tuple(sorted(int(name) for name in databases if name.isdigit())),
            fields_expire=any(
                field.startswith("subexpiry=") and field != "subexpiry=0"
                for text in databases.values()
                for field in text.split(",")
            ),
            scripts=int(info.get("number_of_cached_scripts", 0)),
            orders=_orders(_parse(statistics)),
        )

    def same_keys(self, other: Vitals) -> bool:
        """Tell whether no key was changed between the two, surely."""
        counted = self.saving.count is not None and not other.saving.running
        return counted and (self.run, self.saving) == (other.run, other.saving)

    def same_settings(self, other: Vitals) -> bool:
        """Tell whether no setting was changed between the two, surely."""
        return self.orders is not None and (self.run, self.orders) == (other.run, other.orders)

    def same_disk(self, other: Vitals) -> bool:
        """Tell whether nothing was saved to disk between the two, nor is being saved."""
        then = replace(self.saving, changes=other.saving.changes)
        return not other.saving.running and (self.run, then) == (other.run, other.saving)


def _orders(statistics: dict[str, str]) -> frozenset[tuple[str, str]] | None:
    told = {name.removeprefix("cmdstat_"): text for name, text in statistics.items()}
    if "config|get" not in told or "config|resetstat" in told:
        return None
    return frozenset(
        (name, text.partition(",")[0])
        for name, text in told.items()
        if name.startswith(_ORDERS) and name not in _READING
    )


def _parse(reply: Reply) -> dict[str, str]:
    if not isinstance(reply, bytes):
        return {}
    pairs = (line.partition(":") for line in reply.decode(errors="replace").splitlines())
    return {name: value for name, colon, value in pairs if colon}
