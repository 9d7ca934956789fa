"""The pool of one broker with everything that it needs, opened by the first declared stack."""

from __future__ import annotations

import logging
import os
import secrets
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

from dockwright import __version__
from dockwright.cache import BaselineStore
from dockwright.compose import LoadOptions, load
from dockwright.engine import CallStatistics, Engine, connect, resolve_endpoint
from dockwright.errors import DockwrightError
from dockwright.model import Requirement, StackSpec
from dockwright.paths import baselines_directory, home_directory, project_hash, state_directory
from dockwright.pool.factory import Factory, FactoryOptions
from dockwright.pool.freshness import Freshness
from dockwright.pool.journal import RetainedStacks, Workspace
from dockwright.pool.lease import Lease, SeedKey
from dockwright.pool.pool import Pool, PoolStatistics
from dockwright.pool.reaper import reap
from dockwright.pool.timeline import Advice, Notes
from dockwright.recording import (
    BrokerReport,
    RunningCopy,
    Sampler,
    StackTimeline,
    Summary,
    calls_between,
)
from dockwright.settings import Settings
from dockwright.stack import engine_warnings

_log = logging.getLogger(__name__)

_MOST_KEYS = 256  # of as many stacks of runs is remembered how their files were


@dataclass(frozen=True, slots=True)
class Declared:
    """A stack that the pool knows.

    Attributes:
        key: changes with its content and its seed.
        warnings: what its Compose files hold that dockwright does not use.
    """

    key: str
    warnings: tuple[str, ...]


class PoolService:
    """What the clients of a broker may ask for; any thread may call.

    Args:
        settings: those of the client that started the broker; they hold for all clients.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._kept = RetainedStacks(state_directory() / "kept")
        self._journal = StackTimeline()
        self._advice = Advice()
        self._sampler = Sampler(self._living, lambda: self._engine)
        self._told_calls: dict[str, CallStatistics] = {}
        self._lock = threading.Lock()
        self._engine: Engine | None = None
        self._workspace: Workspace | None = None
        self._factory_options: FactoryOptions | None = None
        self._pool: Pool | None = None
        self._freshness: Freshness | None = None
        self._keys: dict[tuple[str, str, str], str] = {}
        self._kept_until = 0.0  # on the monotonic clock
        self._drained = False

    def declare(
        self, name: str, options: LoadOptions, seed: SeedKey | None, *, run: str = ""
    ) -> Declared:
        """Make a stack known, as its files are now; in one run, as they were the first time.

        Args:
            name: what it is called.
            options: how its Compose project is loaded.
            seed: what a client does to each new copy, if anything.
            run: the run that the client belongs to; a new one tries again what failed before.

        Raises:
            ComposeError: its Compose file is wrong.
            EngineError: the engine cannot be used.
        """
        self._drained = False
        spec = load(options)
        with self._lock:
            pool, engine, shared = self._open()
            key = self._key(name, spec, seed, run)
            pool.declare(key, Factory(name, spec, engine, shared, seed), run=run)
        warnings = (*spec.warnings, *engine_warnings(spec, engine.version()))
        return Declared(key, tuple(str(each) for each in warnings))

    def _key(self, name: str, spec: StackSpec, seed: SeedKey | None, run: str) -> str:
        """Return the key of a stack: all processes of one run share what its first one found."""
        seeded = f"+{seed.digest}" if seed else ""
        asked = (run, name, spec.content_hash + seeded)
        if self._freshness is None:
            raise RuntimeError("the pool was not opened")
        if not run or asked not in self._keys:
            while len(self._keys) >= _MOST_KEYS:
                del self._keys[next(iter(self._keys))]
            self._keys[asked] = f"{name}@{self._freshness.key(spec)[:16]}{seeded}"
        return self._keys[asked]

    def prepare(self, key: str, *, exclusive: int) -> None:
        """Start a stack in the background; so many exclusive leases of it will be asked for."""
        self._opened().prepare(key, exclusive=exclusive)

    def acquire(
        self, requirement: Requirement, *, timeout_s: float, abandoned: Callable[[], bool]
    ) -> Lease:
        """Lease a stack; see `Pool.acquire`."""
        return self._opened().acquire(requirement, timeout_s=timeout_s, abandoned=abandoned)

    def release(self, lease: Lease, *, keep: bool) -> None:
        """End a lease; see `Pool.release`."""
        if keep:
            self._kept.add(lease.stack.identity.project)
        self._opened().release(lease, keep=keep)

    def seeded(self, lease: Lease, failure: Exception | None) -> None:
        """End the seeding of a stack; see `Pool.seeded`."""
        self._opened().seeded(lease, failure)

    def wake(self) -> None:
        """Let waiters look whether they were abandoned."""
        if self._pool is not None:
            self._pool.wake()

    def keep_for(self, seconds: float) -> None:
        """Have the pool stay for so long from now, also when nobody uses it."""
        self._kept_until = time.monotonic() + seconds

    def rest(self) -> None:
        """Note that the pool stays though nobody uses it now."""
        if self._pool is not None:
            self._pool.abandon_starts()
            if not self._drained:
                self._pool.rest()

    def stays_s(self, usual_s: float) -> float:
        """Return how long the pool is to stay once its last client has left, in seconds."""
        if self._drained:
            return 0.0
        return max(usual_s, self._kept_until - time.monotonic())

    def drain(self) -> None:
        """Remove the stacks that nobody uses; keep nothing for later runs."""
        self._drained, self._kept_until = True, 0.0
        if self._pool is not None:
            self._pool.drain()

    def statistics(self) -> PoolStatistics | None:
        """Return what the pool did so far; None before the first stack."""
        return self._pool.statistics() if self._pool is not None else None

    def report(self) -> Summary:
        """Return what happened since the last report, so that each second is reported once."""
        if self._pool is None or self._engine is None:
            return Summary()
        report = self._broker_report(self._engine)
        # What has a span is counted by its spans, so that the counts agree with the times.
        counts = {**self._pool.drain_counts(), **report.counts()}
        return Summary(counts, self._advice.drain(), reports=(report.to_json(),))

    def record(self, lane: str, pid: int) -> None:
        """Sample what the stacks and this process, which runs tests, use; see `report`."""
        self._sampler.watch(lane, pid)

    def left(self, pid: int) -> None:
        """Note that a client is gone."""
        self._sampler.unwatch(pid)

    def close(self) -> None:
        """Remove everything.

        Raises:
            CleanupError: something could not be removed.
        """
        with self._lock:
            pool, engine, workspace = self._pool, self._engine, self._workspace
        with ExitStack() as ending:  # each of them is closed, whatever becomes of the others
            if engine is not None:
                ending.callback(engine.close)
            if workspace is not None:
                ending.callback(workspace.remove)
            if pool is not None:
                ending.callback(pool.close)
            self._sampler.close()

    def _living(self) -> list[RunningCopy]:
        return self._pool.living() if self._pool is not None else []

    def _broker_report(self, engine: Engine) -> BrokerReport:
        """Return what a run's record is made of, since the last time."""
        samples, units = self._sampler.drain()
        before, now = self._told_calls, dict(engine.statistics().by_call)
        self._told_calls = now
        version = engine.version()
        return BrokerReport(
            engine=f"{version.kind} {version.server} (API {version.api})",
            stacks=self._journal.drain(units),
            samples=samples,
            engine_calls=calls_between(before, now),
        )

    def _opened(self) -> Pool:
        if self._pool is None:
            raise RuntimeError("no stack was declared before the pool was used")
        return self._pool

    def _open(self) -> tuple[Pool, Engine, FactoryOptions]:
        if self._pool is None or self._engine is None or self._factory_options is None:
            endpoint = resolve_endpoint(
                os.environ, home_directory(), explicit=self._settings.engine or None
            )
            self._engine = engine = connect(endpoint)
            engine.ping()
            session = secrets.token_hex(4)
            self._freshness = Freshness(engine, os.environ)
            self._workspace = Workspace.create(state_directory(), session)
            self._factory_options = FactoryOptions(
                session=session,
                project=project_hash(self._settings.root),
                version=__version__,
                directory=self._workspace.directory,
                settings=self._settings,
                advice=self._advice,
                files=self._freshness.files,
                store=self._store(),
            )
            notes = Notes(self._journal, self._sampler.look, self._advice)
            self._pool = Pool(engine, max_stacks=self._settings.max_stacks, notes=notes)
            # Names never meet those of the dead, so that reaping need not come first.
            threading.Thread(target=self._reap, args=(engine,), name="dockwright-reaper").start()
        return self._pool, self._engine, self._factory_options

    def _store(self) -> BaselineStore | None:
        if not self._settings.cache_baselines:
            return None
        return BaselineStore(baselines_directory(os.environ))

    def _reap(self, engine: Engine) -> None:
        try:
            Workspace.reap(state_directory())
            reap(engine, project_hash(self._settings.root), self._kept)
        except (DockwrightError, ExceptionGroup) as failure:
            _log.warning("could not remove what a dead owner left: %s", failure)
