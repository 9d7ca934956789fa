"""One pytest run: builds, owns and closes the engine, the pool and the ledger."""

from __future__ import annotations

import logging
import os
import secrets
import shutil
import tempfile
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path

import platformdirs

from dockwright import __version__
from dockwright.compose import LoadOptions, discover, load
from dockwright.engine import Engine, connect, resolve_endpoint
from dockwright.errors import DockwrightError
from dockwright.measure import Ledger, Summary
from dockwright.model import Requirement, StackSpec
from dockwright.pool import (
    Factory,
    FactoryOptions,
    KeptStacks,
    Lease,
    Pool,
    project_hash,
    reap,
)
from dockwright.settings import DEFAULT_STACK, Settings

_log = logging.getLogger(__name__)

_BYTES_PER_STACK = 2 << 30  # with less memory than this to spare for each, one stack at a time


def state_directory() -> Path:
    """Return where dockwright keeps, for this user, what outlives a run."""
    return platformdirs.user_state_path("dockwright")


def connect_engine(url: str, environ: Mapping[str, str]) -> Engine:
    """Return the engine at `url`; an empty text means the one that the docker CLI would use."""
    return connect(resolve_endpoint(environ, Path.home(), explicit=url or None))


def load_spec(settings: Settings, name: str, environ: Mapping[str, str]) -> StackSpec:
    """Load the Compose project of one declared stack.

    Raises:
        ComposeError: its files are wrong, or there are none.
    """
    if name == DEFAULT_STACK:
        files: tuple[Path, ...] = settings.compose or discover(settings.root, environ)
    else:
        files = (settings.stacks[name],)
    return load(
        LoadOptions(
            files=files,
            profiles=settings.profiles,
            env_files=settings.env_files,
            environ=environ,
        )
    )


class Session:
    """One run. Nothing is touched before the first stack is asked for.

    Args:
        settings: of the run.
        environ: the environment of the run.
        workers: how many processes of this run hold a pool of their own on this engine.
    """

    def __init__(self, settings: Settings, environ: Mapping[str, str], *, workers: int = 1) -> None:
        self.settings = settings
        self.ledger = Ledger()
        self.kept = KeptStacks(state_directory() / "kept")
        self.kept_project: str | None = None
        self._environ = environ
        self._workers = workers
        self._lock = threading.RLock()
        self._engine: Engine | None = None
        self._pool: Pool | None = None
        self._directory: Path | None = None
        self._unavailable: DockwrightError | None = None

    @property
    def stack_names(self) -> list[str]:
        """The declared stacks."""
        return [DEFAULT_STACK, *self.settings.stacks]

    def engine(self) -> Engine:
        """Return the engine, connected once.

        Raises:
            EngineError: it cannot be used; tells why and what to do.
        """
        with self._lock:
            if self._engine is None:
                self._engine = connect_engine(self.settings.engine, self._environ)
            return self._engine

    def prepare(self, names: Iterable[str]) -> None:
        """Start the stacks that will be needed, in the background; failures show when leasing."""
        try:
            for name in names:
                self._open_pool().prepare(name)
        except DockwrightError as unavailable:
            _log.info("prepare failed: %s", unavailable)

    def acquire(self, requirement: Requirement) -> Lease:
        """Lease a stack that meets the requirement; see `Pool.acquire` for what is raised."""
        return self._open_pool().acquire(requirement, timeout_s=self.settings.start_timeout * 2)

    def release(self, lease: Lease, *, failed: bool = False) -> None:
        """End a lease.

        Args:
            lease: what `acquire` returned.
            failed: whether a test that held it failed; the first such stack is kept if wanted.
        """
        keep = failed and self.settings.keep_failed and self.kept_project is None
        if keep:
            self.kept_project = lease.stack.identity.project
            self.kept.add(self.kept_project)
        self._open_pool().release(lease, keep=keep)

    def summary(self) -> Summary | None:
        """Return what to tell at the end, or None where no stack was used."""
        if self._pool is None or self._engine is None:
            return None
        pool = self._pool.statistics()
        counts = {
            "started": pool.started,
            "leases": pool.leases,
            "resets": pool.resets,
            "replaced": pool.replaced,
            "engine_calls": self._engine.statistics().calls,
        }
        return Summary(self.ledger.totals(), counts, kept=self._kept_notes())

    def log_sections(self, lease: Lease) -> list[tuple[str, str]]:
        """Return a title and the last log lines, since the lease began, of each of its services."""
        sections = []
        for unit in lease.stack.graph.dependencies:
            try:
                lines = lease.stack.last_lines(unit, self.settings.log_tail, since_s=lease.began_s)
            except DockwrightError as error:
                lines = [f"(no logs: {error})"]
            if lines:
                sections.append((f"log of {unit} since the test began", "\n".join(lines)))
        return sections

    def _kept_notes(self) -> tuple[str, ...]:
        if self.kept_project is None:
            return ()
        return (
            f"kept the stack of the first failed test: {self.kept_project}\n"
            f"  look:    docker ps --filter label=com.docker.compose.project={self.kept_project}\n"
            f"  connect: docker exec -it {self.kept_project}-SERVICE-1 sh\n"
            f"  remove:  dockwright clean --kept",
        )

    def close(self) -> None:
        """Remove all stacks of this run and close the engine; more than once is a no-op.

        Raises:
            CleanupError: something could not be removed.
        """
        with self._lock:
            pool, engine, directory = self._pool, self._engine, self._directory
            self._directory = None
        try:
            if pool is not None:
                pool.close()
        finally:
            if directory is not None and self.kept_project is None:
                shutil.rmtree(directory, ignore_errors=True)
            if engine is not None:
                engine.close()

    def _open_pool(self) -> Pool:
        with self._lock:
            if self._unavailable is not None:
                raise self._unavailable
            if self._pool is None:
                try:
                    self._pool = self._new_pool()
                except DockwrightError as unavailable:
                    # It would fail for every test in the same way; the first time is slow enough.
                    self._unavailable = unavailable
                    raise
            return self._pool

    def _new_pool(self) -> Pool:
        engine = self.engine()
        project = project_hash(self.settings.root)
        reap(engine, project, self.kept)
        self._directory = Path(tempfile.mkdtemp(prefix="dockwright-"))
        options = FactoryOptions(
            session=secrets.token_hex(4),
            project=project,
            version=__version__,
            directory=self._directory,
            ready_timeout_s=self.settings.start_timeout,
        )
        factories = {
            name: Factory(name, spec, engine, options) for name, spec in self._specs().items()
        }
        limit = self.settings.max_stacks or self._automatic_limit()
        return Pool(factories, max_stacks=limit, ledger=self.ledger)

    def _specs(self) -> dict[str, StackSpec]:
        specs = {name: load_spec(self.settings, name, self._environ) for name in self.stack_names}
        for spec in specs.values():
            for warning in spec.warnings:
                _log.warning("%s", warning)
        return specs

    def _automatic_limit(self) -> int:
        memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        roomy = memory_bytes / self._workers >= 2 * _BYTES_PER_STACK
        return 2 if roomy and self._workers == 1 else 1
