"""Redis comes back from every kind of change that a test can make, one by one and combined."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, nullcontext, suppress
from dataclasses import dataclass, field

import pytest

from dockwright.errors import StackBrokenError, StackError
from dockwright.reset.redis import RedisReset
from dockwright.reset.redis.session import Access, Command, DriverSession, RedisSession
from tests._support.owned import Owned
from tests._support.reset.battery import Change, combinations, rows
from tests._support.reset.redis_changes import CHANGES, OTHER_PORT, SEED, Held, Step
from tests._support.reset.services import RealService, start

pytestmark = pytest.mark.engine
IMAGE = "redis:7"
ALLOWING = [
    "redis-server",
    *("--enable-debug-command", "yes"),
    *("--enable-protected-configs", "yes"),
    *("--save", "3600 1000000"),  # never by itself, which would look like a row's work
]
OTHER = f"""
redis-server --port {OTHER_PORT} --daemonize yes --dir /tmp --save '' --repl-diskless-sync-delay 0
until redis-cli -p {OTHER_PORT} set of-the-other 1; do sleep 0.05; done
"""
WAITING = frozenset("bOt")


@dataclass(slots=True)
class Server:
    """A server with a baseline, and what was seen of it then."""

    service: RealService
    strategy: RedisReset
    clients: ExitStack = field(default_factory=ExitStack)

    @classmethod
    def start(cls, owned: Owned, seed: Sequence[Command]) -> Server:
        service = start(owned, IMAGE, *ALLOWING, check="redis-cli ping")
        service.run("sh", "-c", OTHER)
        with closing(DriverSession(Access.of(service))) as session:
            session.call(*seed)
        strategy = RedisReset(service)
        strategy.capture()
        return cls(service, strategy)

    def settle(self) -> None:
        """Reset until the next reset has to find by itself that something was changed."""
        for _ in range(3):
            self.strategy.reset()

    def change(self, steps: Sequence[Step]) -> None:
        """Do what the row says."""
        session = self.clients.enter_context(closing(DriverSession(Access.of(self.service))))
        for step in steps:
            match step:
                case str():
                    self.service.run("bash", "-c", step)
                case Held(command):
                    held = DriverSession(Access.of(self.service))
                    self.clients.callback(held.close)
                    held._connection.send_command(*command)
                case _:
                    session._exchange([step])

    def state(self) -> dict[str, object]:
        """Return all that can be seen of the server."""
        found: dict[str, object] = {"files": self.service.run("ls", "-A", "/data").split()}
        with closing(DriverSession(Access.of(self.service))) as session:
            # The logs first: on a busy machine what follows may be slow.
            for what in ("SLOWLOG LEN", "LATENCY LATEST", "ACL LOG", "CONFIG GET *", "ACL LIST",
                         "FUNCTION LIST WITHCODE", "MODULE LIST"):  # fmt: skip
                [reply] = session.call(tuple(what.split()))
                found[what] = texts(reply) if isinstance(reply, list) else reply
            found |= keys(session)
            found["waiting"] = waiting(session)
            for name in ("role", "number_of_cached_scripts", "aof_enabled", "loading"):
                found[name] = info(session)[name]
            found["calls"] = session.call(("FCALL", "peek", 0))
            found["writable"] = session.call(("SET", "probe", 1), ("DEL", "probe"))
        return found

    def close(self) -> None:
        self.clients.close()
        self.strategy.close()


def texts(replies: Sequence[object]) -> list[str]:
    """Return replies as texts in a fixed order; a user that was reset bears one default more."""
    return sorted(str(reply).replace(" sanitize-payload", "") for reply in replies)


def keys(session: RedisSession) -> dict[str, object]:
    """Return what every database holds."""
    found: dict[str, object] = {}
    for database in range(16):
        _, names = session.call(("SELECT", database), ("KEYS", "*"))
        assert isinstance(names, list)
        for name in names:
            assert isinstance(name, bytes)
            dump, ttl_ms = session.call(("DUMP", name), ("PTTL", name))
            assert isinstance(ttl_ms, int)
            found[f"key {name!r} of {database}"] = dump, -(-ttl_ms // 600_000)
    return found


def info(session: RedisSession) -> dict[str, str]:
    """Return what INFO reports."""
    [reply] = session.call(("INFO",))
    assert isinstance(reply, bytes)
    return dict(line.split(":", 1) for line in reply.decode().splitlines() if ":" in line)


def waiting(session: RedisSession) -> list[str]:
    """Return the clients that subscribe, block or watch."""
    [reply] = session.call(("CLIENT", "LIST"))
    assert isinstance(reply, bytes)
    clients = [dict(f.split("=", 1) for f in each.split()) for each in reply.decode().splitlines()]
    return [
        each["flags"]
        for each in clients
        if WAITING & set(each["flags"]) or (each["sub"], each["psub"]) != ("0", "0")
    ]


def assert_same_state(before: dict[str, object], after: dict[str, object]) -> None:
    """Fail with what differs."""
    different = {
        key: (before.get(key), after.get(key))
        for key in {*before, *after}
        if before.get(key) != after.get(key)
    }
    assert not different


@dataclass(slots=True)
class Bench:
    """Starts a server when one is needed: the first time, and after a reset that refused."""

    owned: Owned
    seed: Sequence[Command]
    current: Server | None = None
    baseline: dict[str, object] = field(default_factory=dict)

    def server(self) -> Server:
        if self.current is None:
            self.current = Server.start(self.owned, self.seed)
            self.baseline = self.current.state()
        self.current.settle()
        return self.current

    def discard(self) -> None:
        if self.current is not None:
            self.current.close()
            self.owned.engine.remove_container(self.current.service.container())
        self.current = None

    def try_out(self, *changes: Change[Sequence[Step]]) -> None:
        """Make changes and reset: the server is what it was, or says that it cannot be."""
        server = self.server()
        try:
            for change in changes:
                # What came before may have made it impossible.
                with suppress(StackError) if len(changes) > 1 else nullcontext():
                    server.change(change.commands)
            if any(change.breaks for change in changes):
                with pytest.raises(StackBrokenError, match="cannot be reset in place: "):
                    server.strategy.reset()
                self.discard()
            else:
                server.strategy.reset()
                assert_same_state(self.baseline, server.state())
        except BaseException:
            self.discard()
            raise


@pytest.fixture(scope="module")
def lasting(owned_by_module: Owned) -> Iterator[Bench]:
    """A baseline in which no key expires, so that counters prove that nothing changed."""
    bench = Bench(owned_by_module, SEED)
    yield bench
    bench.discard()


@pytest.fixture(scope="module")
def mortal(owned_by_module: Owned) -> Iterator[Bench]:
    """A baseline in which some keys expire."""
    bench = Bench(owned_by_module, [*SEED, ("SET", "mortal", "x", "EX", "3600")])
    yield bench
    bench.discard()


@pytest.mark.parametrize("change", rows(CHANGES, sample=12))
def test_a_change_is_undone(lasting: Bench, change: Change[Sequence[Step]]) -> None:
    lasting.try_out(change)


@pytest.mark.parametrize("changes", combinations(CHANGES, sample=3, full=60))
def test_changes_together_are_undone(
    mortal: Bench, changes: Sequence[Change[Sequence[Step]]]
) -> None:
    mortal.try_out(*changes)
