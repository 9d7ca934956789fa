"""The pool of one broker and everything that it needs, opened by the first declared stack."""

from __future__ import annotations

import logging
import os
import secrets
import threading
import time
from contextlib import ExitStack
from dataclasses import dataclass

from dockwright import __version__
from dockwright.cache import BaselineStore, Builds, FileDigests
from dockwright.compose import LoadOptions, load
from dockwright.engine import CallStatistics, Engine, connect, resolve_endpoint
from dockwright.errors import DockwrightError, EngineError
from dockwright.model import StackSpec
from dockwright.paths import (
    baselines_directory,
    builds_directory,
    home_directory,
    project_hash,
    state_directory,
)
from dockwright.pool.factory import Factory, FactoryOptions
from dockwright.pool.freshness import Freshness
from dockwright.pool.journal import RetainedStacks, Workspace
from dockwright.pool.lease import Lease, SeedKey
from dockwright.pool.pool import Pool, PoolStatistics
from dockwright.pool.reaper import BuiltImages, reap
from dockwright.pool.runtime import ends_within
from dockwright.pool.timeline import Advice, PoolTimeline
from dockwright.recording import (
    BrokerReport,
    RunningCopy,
    Sampler,
    StackTimeline,
    Summary,
    calls_between,
    recorded_costs,
    store_of,
    this_machine,
)
from dockwright.settings import Settings
from dockwright.stack import engine_warnings
from dockwright.stack.host_ports import PortMode, declared_host_ports, is_taken

_log = logging.getLogger(__name__)

_MOST_KEYS = 256  # the most declarations whose key is remembered
_DYING_S = 0.5  # a killed process closes its connection a moment before it is gone


@dataclass(frozen=True, slots=True)
class Declared:
    """A declared stack.

    Attributes:
        key: identifies it; changes with its content and its seed.
        warnings: the keys of its Compose files that dockwright does not use.
    """

    key: str
    warnings: tuple[str, ...]


class PoolService:
    """What clients can request from a broker; thread-safe.

    Args:
        settings: those of the client that started the broker; they hold for all clients.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._kept = RetainedStacks(state_directory() / "kept")
        self._journal = StackTimeline()
        self._advice = Advice()
        self._sampler = Sampler(self._living, lambda: self._engine)
        self._reported_calls: dict[str, CallStatistics] = {}
        self._lock = threading.Lock()
        self._engine: Engine | None = None
        self._workspace: Workspace | None = None
        self._factory_options: FactoryOptions | None = None
        self._pool: Pool | None = None
        self._freshness: Freshness | None = None
        self._keys: dict[tuple[str, str, str], str] = {}
        self._projects: set[str] = set()  # the names of all Compose projects that were declared
        self._kept_until = 0.0  # on the monotonic clock
        self._drained = False

    def declare(
        self,
        name: str,
        options: LoadOptions,
        seed: SeedKey | None,
        *,
        run: str = "",
        ports: PortMode = "free",
    ) -> Declared:
        """Declare a stack with its files as they are now; within one run, as they were at first.

        Args:
            name: its name.
            options: how its Compose project is loaded.
            seed: the seed that clients run on each new copy, if any.
            run: the run that the client belongs to; a new run tries again what failed before.
            ports: which host ports its copies have.

        Raises:
            ComposeError: its Compose file is wrong.
            EngineError: the engine cannot be used.
        """
        self._drained = False
        spec = load(options)
        self._projects.add(spec.name)
        with self._lock:
            pool, engine, shared = self._open()
            key = self._key(name, spec, seed, run)
            if not declared_host_ports(spec):
                ports = "free"
            elif ports != "free":
                key, ports = self._with_declared_ports(pool, key, spec, ports)
            pool.declare(key, Factory(name, spec, engine, shared, seed, ports), run=run)
        warnings = (*spec.warnings, *engine_warnings(spec, engine.version()))
        return Declared(key, tuple(str(each) for each in warnings))

    def _key(self, name: str, spec: StackSpec, seed: SeedKey | None, run: str) -> str:
        """Return the key of a stack; all processes of a run share what the first one found."""
        seeded = f"+{seed.digest}" if seed else ""
        asked = (run, name, spec.content_hash + seeded)
        if self._freshness is None:
            raise RuntimeError("the pool was not opened")
        if not run or asked not in self._keys:
            while len(self._keys) >= _MOST_KEYS:
                del self._keys[next(iter(self._keys))]
            self._keys[asked] = f"{name}@{self._freshness.key(spec)[:16]}{seeded}"
        return self._keys[asked]

    def _with_declared_ports(
        self, pool: Pool, key: str, spec: StackSpec, ports: PortMode
    ) -> tuple[str, PortMode]:
        """Return the key of a stack that has its declared host ports, if it can have them."""
        fixed = f"{key}+ports"
        taken = [port for port in declared_host_ports(spec) if is_taken(*port)]
        if ports == "preferred" and (pool.is_leased(fixed) or (taken and not pool.has(fixed))):
            return key, "free"
        return fixed, ports

    @property
    def pool(self) -> Pool:
        """The pool, once a stack is declared."""
        if self._pool is None:
            raise RuntimeError("no stack was declared before the pool was used")
        return self._pool

    def release(self, lease: Lease, *, keep: bool) -> None:
        """End a lease; see `Pool.release`."""
        if keep:
            self._kept.add(lease.stack.identity.project)
        self.pool.release(lease, keep=keep)

    def wake(self) -> None:
        """Let waiters check whether their client has gone."""
        if self._pool is not None:
            self._pool.wake()

    def keep_for(self, seconds: float) -> None:
        """Keep the pool for this long from now, even if nobody uses it."""
        self._kept_until = time.monotonic() + seconds

    def prepare_for_next_run(self) -> None:
        """Cancel starts and start spares: the pool stays warm, and nobody uses it now."""
        if self._pool is not None:
            self._pool.abandon_starts()
            if not self._drained:
                self._pool.start_spares()

    def stays_s(self, usual_s: float) -> float:
        """Return how long to keep the pool once its last client has left, in seconds."""
        if self._drained:
            return 0.0
        return max(usual_s, self._kept_until - time.monotonic())

    def drain(self) -> None:
        """Remove the stacks that nobody uses, and keep none for later runs."""
        self._drained, self._kept_until = True, 0.0
        if self._pool is not None:
            self._pool.drain()

    def note_removal(self) -> None:
        """Note for the last report that the stacks are being removed."""
        if self._pool is not None:
            self._pool.note_removal()

    @property
    def touches_the_host(self) -> bool:
        """Whether a stack that is being removed may still change something outside it."""
        return self._pool is not None and self._pool.touches_the_host

    def statistics(self) -> PoolStatistics | None:
        """Return what the pool has done so far; None before the first stack."""
        return self._pool.statistics() if self._pool is not None else None

    def report(self) -> Summary:
        """Return what happened since the last report."""
        if self._pool is None or self._engine is None:
            return Summary()
        report = self._broker_report(self._engine)
        # What has a span is counted by its spans, so that the counts agree with the times.
        counts = {**self._pool.drain_counts(), **report.counts()}
        return Summary(counts, self._advice.drain(), reports=(report.to_json(),))

    def record(self, lane: str, pid: int) -> None:
        """Sample the resources of the stacks and of a client process; `report` returns them."""
        self._sampler.watch(lane, pid)

    def left(self, pid: int) -> None:
        """Stop sampling a client that is gone."""
        self._sampler.unwatch(pid)

    def clean_up_after(self, pid: int) -> None:
        """Remove what a client created beside its stacks that left without goodbye, as it died."""
        try:
            if ends_within(pid, _DYING_S):
                with self._lock:
                    _, engine, _ = self._open()
                self._reap(engine)
        except DockwrightError as failure:
            _log.warning("could not look for what a dead client left: %s", failure)

    def close(self) -> None:
        """Remove everything.

        Raises:
            CleanupError: something could not be removed.
        """
        with self._lock:
            pool, engine, workspace = self._pool, self._engine, self._workspace
        with ExitStack() as ending:  # closes each of them, even if another one fails
            if engine is not None:
                ending.callback(engine.close)
            if workspace is not None:
                ending.callback(workspace.remove)
            if pool is not None and engine is not None:
                ending.callback(self._remove_images, engine)
                ending.callback(pool.close)
            self._sampler.close()

    def _remove_images(self, engine: Engine) -> None:
        """Remove images that were built and replaced; without a cache, all that were built."""
        try:
            built = BuiltImages.find(engine, self._projects)
            built.remove(engine, named=not self._settings.cache_baselines)
        except EngineError as failure:  # the stacks are gone, and the next run tries again
            _log.warning("could not remove images that were built: %s", failure)

    def _living(self) -> list[RunningCopy]:
        return self._pool.living() if self._pool is not None else []

    def _broker_report(self, engine: Engine) -> BrokerReport:
        """Return the broker's part of a run's record, since the last report."""
        samples, units = self._sampler.drain()
        before, now = self._reported_calls, dict(engine.statistics().by_call)
        self._reported_calls = now
        version = engine.version()
        return BrokerReport(
            engine=f"{version.kind} {version.server} (API {version.api})",
            stacks=self._journal.drain(units),
            samples=samples,
            engine_calls=calls_between(before, now),
        )

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
                builds=self._builds(self._freshness.files),
                peak_of=self._recorded_peak,
            )
            timeline = PoolTimeline(self._journal, self._sampler.look, self._advice)
            self._pool = Pool(engine, max_stacks=self._settings.max_stacks, timeline=timeline)
            # Names are unique to a session, so the pool need not wait for the reaper.
            threading.Thread(target=self._reap, args=(engine,), name="dockwright-reaper").start()
        return self._pool, self._engine, self._factory_options

    def _recorded_peak(self, stack: str) -> int:
        try:
            costs = recorded_costs(store_of(self._settings, os.environ), this_machine())
        except DockwrightError as failure:
            _log.info("what earlier runs took is not known: %s", failure)
            return 0
        return costs.stack(stack).memory_bytes

    def _store(self) -> BaselineStore | None:
        if not self._settings.cache_baselines:
            return None
        return BaselineStore(baselines_directory(os.environ))

    def _builds(self, files: FileDigests) -> Builds | None:
        if not self._settings.cache_baselines:
            return None
        return Builds(builds_directory(os.environ), files)

    def _reap(self, engine: Engine) -> None:
        try:
            Workspace.reap(state_directory())
            reap(engine, project_hash(self._settings.root), self._kept)
        except (DockwrightError, ExceptionGroup) as failure:
            _log.warning("could not remove what dead owners left: %s", failure)
