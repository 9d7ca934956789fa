"""The client of a broker: the calls of the pool, over the socket."""

from __future__ import annotations

import itertools
import logging
import os
import secrets
import select
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from dockwright import __version__
from dockwright.errors import DockwrightError, LeaseError
from dockwright.model import Requirement, StackSpec, Trace
from dockwright.pool.lease import Lease, Seed
from dockwright.pool.protocol import (
    PROTOCOL,
    Connection,
    Grant,
    Message,
    decoding,
    error_from_json,
    error_to_json,
    load_options_to_json,
)
from dockwright.pool.runtime import BrokerPlace, connect_or_start, process_handle
from dockwright.recording import Summary, decoded, encoded
from dockwright.settings import Settings

if TYPE_CHECKING:
    from dockwright.compose import LoadOptions
    from dockwright.engine import Engine
    from dockwright.stack import Stack
    from dockwright.stack.host_ports import PortMode

_log = logging.getLogger(__name__)

_ATTEMPTS = 5


class BrokerGoneError(LeaseError):
    """The broker exited or was killed."""


@dataclass(frozen=True, slots=True)
class PoolOptions:
    """Which broker a process uses, and what for.

    Attributes:
        settings: of the run; those of the client that starts a broker hold for the broker.
        engine: returns the engine, for what a test does with its stack; connected when needed.
        engine_url: the engine's URL; there is one broker for each project root and engine.
        seed: puts the suite's own data into each new stack; None: there is no such data.
        run: the run that this process belongs to; empty: it is a run of its own.
        parent: the process that this one works for; 0: none.
    """

    settings: Settings
    engine: Callable[[], Engine]
    engine_url: str
    seed: Seed | None = None
    run: str = ""
    parent: int = 0


class NoBrokerError(LeaseError):
    """No broker runs for this project, and the client was not to start one."""


class PoolClient:
    """Leases stacks from the broker of this project; starts one if none runs.

    Args:
        options: which broker.
        start: whether to start one.

    Raises:
        NoBrokerError: none runs, and `start` is false.
        LeaseError: a broker could not be started or reached.

    Attributes:
        broker_died: whether the broker had died when `close` was called.
    """

    def __init__(self, options: PoolOptions, *, start: bool = True) -> None:
        self._options = options
        self.broker_died = False
        self._start = start
        self._run = options.run or secrets.token_hex(8)
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._loads: dict[str, LoadOptions] = {}
        self._ports: dict[str, PortMode] = {}
        self._keys: dict[str, str] = {}
        self._warnings: dict[str, tuple[str, ...]] = {}
        self._specs: dict[str, StackSpec] = {}
        self._stacks: dict[str, Stack] = {}
        self._leases: dict[int, Lease] = {}
        self._parent = process_handle(options.parent) if options.parent else None
        self._connection = self._connect()

    def declare(
        self, name: str, options: LoadOptions, ports: PortMode = "free", *, seeded: bool = True
    ) -> None:
        """Declare a stack; no-op if it is declared with the same options.

        Args:
            name: of the stack.
            options: how its Compose project is loaded.
            ports: which host ports its copies have.
            seeded: whether the suite's seed, if any, is for it.

        Raises:
            ComposeError: its Compose file is wrong.
            EngineError: the engine cannot be used.
        """
        if self._loads.get(name) != options or self._ports.get(name) != ports:
            seed = self._options.seed if seeded else None
            declared = self._ask(
                "declare",
                name=name,
                load=load_options_to_json(options),
                seed=encoded(seed.key) if seed else None,
                run=self._run,
                ports=ports,
            )
            self._keys[name] = declared["key"]
            self._warnings[name] = tuple(declared["warnings"])
            self._loads[name], self._ports[name] = options, ports
            self._specs.pop(name, None)

    def prepare(self, name: str, *, exclusive: int) -> None:
        """Start a stack in the background; `exclusive` leases of it will be requested."""
        self._ask("prepare", key=self._keys[name], exclusive=exclusive)

    def acquire(self, requirement: Requirement, *, timeout_s: float) -> Lease:
        """Wait for a stack that meets the requirement, and lease it; see `Pool.acquire`.

        Raises:
            StackError: the suite's seed failed; the message has its traceback.
        """
        keyed = replace(requirement, stack=self._keys[requirement.stack])
        while True:
            answer = self._ask("acquire", requirement=encoded(keyed), timeout_s=timeout_s)
            grant = decoded(Grant, answer)
            lease = Lease(
                requirement,
                grant.info,
                partial(self._stack, requirement.stack, grant),
                grant.waited_s,
                seeding=grant.seeding,
                lost=grant.lost,
                containers=grant.containers,
                doubted=grant.doubted,
            )
            self._leases[grant.lease] = lease
            if not lease.seeding:
                return lease
            self._seed(lease, grant.lease)

    def _seed(self, lease: Lease, number: int) -> None:
        """Run the suite's seed on an unused stack."""
        seed = self._options.seed
        if seed is None:
            raise RuntimeError("the broker asked for a seed that was not declared")
        try:
            seed.run(lease.leased, lease.leased.name)
        except DockwrightError as failure:
            self._ask("seeded", lease=number, error=error_to_json(failure))
            raise
        except BaseException:
            self.release(lease)  # half seeded: the broker removes it
            raise
        else:
            self._ask("seeded", lease=number, error=None)
        finally:
            lease.leased.close()
            self._leases.pop(number, None)

    def release(self, lease: Lease, *, keep: bool = False) -> None:
        """End a lease; an exclusively leased stack is reset in the background."""
        lease.leased.close()
        for number, known in list(self._leases.items()):
            if known is lease:
                del self._leases[number]
                self._ask("release", lease=number, keep=keep)

    def reset(self, lease: Lease) -> None:
        """Reset the stack of an exclusive lease that goes on; see `Pool.reset`."""
        for number, known in list(self._leases.items()):
            if known is lease:
                grant = decoded(Grant, self._ask("reset", lease=number))
                lease.renew(grant.info, partial(self._stack, lease.requirement.stack, grant))
                lease.lost = grant.lost

    def audit(self, lease: Lease, *, before: bool) -> list[Trace]:
        """Look at what was done to the stack of an audited lease; see `Pool.audit`."""
        for number, known in list(self._leases.items()):
            if known is lease:
                answer = self._ask("audit", lease=number, before=before)
                grant = decoded(Grant, answer["grant"])
                lease.renew(grant.info, partial(self._stack, lease.requirement.stack, grant))
                return [decoded(Trace, each) for each in answer["traces"]]
        return []

    @property
    def warnings(self) -> tuple[str, ...]:
        """The keys of the declared stacks' Compose files that dockwright does not use."""
        return tuple(text for texts in self._warnings.values() for text in texts)

    def key_of(self, name: str) -> str:
        """Return what identifies a declared stack as its files are now."""
        return self._keys[name]

    def statistics(self) -> Mapping[str, Any] | None:
        """Return the pool's statistics; None before its first stack."""
        found: Mapping[str, Any] | None = self._ask("statistics")
        return found

    def keep_for(self, seconds: float) -> None:
        """Keep the pool for this long from now, even if nobody uses it."""
        self._ask("keep", seconds=seconds)

    def record(self, lane: str) -> None:
        """Sample the resources of the stacks and of this process, until it leaves.

        Args:
            lane: the name of this process in the run's record.
        """
        self._ask("record", lane=lane)

    def drain(self) -> None:
        """Remove the stacks that nobody uses, and keep none for later runs."""
        self._ask("drain")

    def close(self, *, wait: bool = True) -> Summary:
        """Leave; for the last client, return when everything is removed (unless it is kept warm).

        Args:
            wait: False: return as soon as nothing of the stacks can change anything outside them.

        Returns:
            What the pool did since its last report. If the broker died before it had removed
            everything, that is a problem, and `broker_died` is set.
        """
        try:
            answer = self._ask("goodbye", wait=wait)
        except LeaseError as failure:
            self.broker_died = isinstance(failure, BrokerGoneError)
            return Summary(problems=(str(failure),))
        finally:
            self._connection.close()
            if self._parent is not None:
                os.close(self._parent)
                self._parent = None
        return Summary.from_json(answer["summary"])

    def _connect(self) -> Connection:
        options = self._options
        for version in ("", __version__):
            place = BrokerPlace.of(options.settings.root, options.engine_url, version=version)
            connection = self._greet(place)
            if connection is not None:
                return connection
        if not self._start:
            raise NoBrokerError("no broker runs for this project")
        raise LeaseError("could not start or reach a broker of this version of dockwright")

    def _greet(self, place: BrokerPlace) -> Connection | None:
        """Return a connection whose broker has answered the greeting; None: its version differs."""
        for _ in range(_ATTEMPTS):
            sock = self._socket(place)
            if sock is None:
                return None
            self._connection = Connection(sock)
            try:
                self._ask("hello", protocol=PROTOCOL, version=__version__, pid=os.getpid())
            except BrokerGoneError:
                continue  # it was about to exit; start the next one
            except LeaseError as refusal:
                _log.warning("%s", refusal)
                return None
            return self._connection
        raise LeaseError("the broker exits again and again", hint=f"see its log: {place.log}")

    def _socket(self, place: BrokerPlace) -> socket.socket | None:
        if not self._start:
            return place.connect()
        return connect_or_start(place, self._options.settings)

    def _ask(self, action: str, **fields: object) -> Any:
        """Send a request and return its answer; one at a time.

        Raises:
            DockwrightError: what the broker answered with.
            BrokerGoneError: it is gone.
        """
        with self._lock:
            number = next(self._numbers)
            try:
                self._connection.send({"id": number, "do": action, **fields})
            except OSError as exc:
                raise _gone(action) from exc
            answer = self._answer_to(number)
        if answer is None:
            raise _gone(action)
        with decoding("an answer"):  # a broker of another version may write it differently
            failure = error_from_json(answer["error"]) if "error" in answer else None
            result = None if failure else answer["ok"]
        if failure is not None:
            raise failure
        return result

    def _answer_to(self, number: int) -> Message | None:
        # Skip the answer to an earlier request that Ctrl-C interrupted.
        while self._parent_outlives_wait() and (message := self._connection.receive()) is not None:
            if message["id"] == number:
                return message
        return None

    def _parent_outlives_wait(self) -> bool:
        """Wait until a message arrives; return False if the parent process has died.

        Otherwise a worker of xdist whose main process was killed would keep its stacks for as long
        as it waits for another one.
        """
        if self._parent is None:
            return True
        poll = select.poll()
        for descriptor in (self._connection.fileno(), self._parent):
            poll.register(descriptor, select.POLLIN)
        ready = [descriptor for descriptor, _ in poll.poll()]
        if ready == [self._parent]:
            self._connection.close()
            return False
        return True

    def _stack(self, name: str, grant: Grant) -> Stack:
        # Imported when a test asks for more than addresses: that takes as long as many a test.
        from dockwright.stack import Identity, Stack, StackOptions

        project = grant.info.project
        stack = self._stacks.get(project)
        if stack is None:
            stack = self._stacks[project] = Stack(
                self._spec(name),
                self._options.engine(),
                Identity(project, grant.ownership),
                StackOptions.of(self._options.settings, grant.directory),
            )
        stack.adopt(grant.containers, grant.networks)
        return stack

    def _spec(self, name: str) -> StackSpec:
        if name not in self._specs:
            from dockwright.compose import load

            self._specs[name] = load(self._loads[name])
        return self._specs[name]


def _gone(action: str) -> BrokerGoneError:
    return BrokerGoneError(
        f"the broker is gone (asked to {action})",
        hint="the next run removes what it left, and so does `dockwright clean`",
    )
