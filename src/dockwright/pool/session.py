"""The session of one pytest process: finds the engine, talks to the pool, records times."""

from __future__ import annotations

import logging
import os
import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dockwright._text import format_size
from dockwright.compose import LoadOptions
from dockwright.errors import DockwrightError, UsageError, explained
from dockwright.model import Json, Requirement, StackSpec, Trace
from dockwright.paths import project_hash, state_directory
from dockwright.pool import Lease, PoolClient, PoolOptions, Seed
from dockwright.pool.declared import connect_engine, find_endpoint, load_options
from dockwright.recording import OpenSpan, SpanRecorder, Summary
from dockwright.settings import DEFAULT_STACK, Settings
from dockwright.stack.host_ports import PortMode, port_mode
from dockwright.untrusted import printable

if TYPE_CHECKING:
    from dockwright.engine import Engine
    from dockwright.stack import Stack


__all__ = ["RunSession", "state_directory"]

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_log = logging.getLogger(__name__)


class RunSession:
    """What one pytest process needs. Nothing is connected before the first use of a stack.

    Args:
        settings: of the run.
        environ: the environment of the run.
        seed: puts the suite's own data into each new stack; None: there is no such data.
        run: the run that this process belongs to; empty: it is a run of its own.
    """

    def __init__(
        self,
        settings: Settings,
        environ: Mapping[str, str],
        *,
        seed: Seed | None = None,
        run: str = "",
    ) -> None:
        self.settings = settings
        self.notes: list[str] = []
        """What its summary says beside what the pool did."""
        self._recorder = SpanRecorder()  # records nothing until `record` replaces it
        self._lane = ""
        self._kept: dict[str, str] = {}
        self._loads: dict[str, LoadOptions] = {}
        self._ports: dict[str, PortMode] = {}
        self._unseeded: set[str] = set()
        self._environ = environ
        self._seed = seed
        self._run = run
        self._lock = threading.RLock()
        self._engine: Engine | None = None
        self._pool: PoolClient | None = None
        self._unavailable: dict[str, DockwrightError] = {}

    @property
    def stack_names(self) -> list[str]:
        """The declared stacks."""
        return [DEFAULT_STACK, *self.settings.stacks]

    def engine(self) -> Engine:
        """Return the engine; connects at the first call.

        Raises:
            EngineError: it cannot be used.
        """
        with self._lock:
            if self._engine is None:
                self._engine = connect_engine(self.settings.engine, self._environ)
            return self._engine

    def record(self, spans: SpanRecorder, lane: str) -> None:
        """Record what this process does, and sample what the stacks use.

        Args:
            spans: takes the spans of this process.
            lane: the name of this process in the run's record.
        """
        with self._lock:
            self._recorder, self._lane = spans, lane
            if self._pool is not None:
                self._pool.record(lane)

    def declare(
        self, name: str, options: LoadOptions, *, ports: PortMode = "free", seeded: bool = True
    ) -> None:
        """Declare another stack beside those of the settings.

        Args:
            name: its name in requirements; with other options than before it is another stack.
            options: how its Compose project is loaded.
            ports: which host ports its copies have, if no setting says it.
            seeded: whether the suite's seed, if any, is for it.
        """
        with self._lock:
            self._loads[name], self._ports[name] = options, ports
            (self._unseeded.discard if seeded else self._unseeded.add)(name)
            self._unavailable.pop(name, None)

    def prepare(self, demand: Mapping[str, int]) -> None:
        """Start stacks in the background; failures are raised when they are leased.

        Args:
            demand: how many exclusive leases will be requested, by the stack's name.
        """
        for name, exclusive in demand.items():
            try:
                self._pool_for(name).prepare(name, exclusive=exclusive)
            except DockwrightError as unavailable:
                _log.info("prepare of stack %s failed: %s", name, unavailable)

    def key_of(self, stack: str) -> str:
        """Return what identifies a declared stack as its files are now; raises as `acquire`."""
        return self._pool_for(stack).key_of(stack)

    def acquire(self, requirement: Requirement) -> Lease:
        """Lease a stack that meets the requirement; see `Pool.acquire` for what is raised."""
        pool = self._pool_for(requirement.stack)
        waiting = OpenSpan("queue", requirement.stack, shared=requirement.scope != "function")
        with self._recorder.span(waiting):
            lease = pool.acquire(requirement, timeout_s=self.settings.start_timeout * 2)
            waiting.project = lease.facts.project
        lease.spans = self._recorder
        return lease

    def reset(self, lease: Lease) -> None:
        """Reset the stack of an exclusive lease that goes on; see `Pool.reset`.

        Raises:
            UsageError: it is shared with other tests.
        """
        if not lease.requirement.exclusive:
            raise UsageError(
                f"the lease of {lease.requirement.holder} is shared: a reset would change the "
                "stack under other tests",
                hint="lease it with exclusive=True",
            )
        if self._pool is not None:
            with self._recorder.span(OpenSpan("wait", f"reset of {lease.facts.name}")):
                self._pool.reset(lease)

    def audit(self, lease: Lease, *, before: bool = False) -> list[Trace]:
        """Look at what was done to the stack of an audited lease; see `Pool.audit`."""
        if self._pool is None:
            return []
        with self._recorder.span(OpenSpan("wait", "audit")):
            return self._pool.audit(lease, before=before)

    def uncovered(self, lease: Lease) -> list[str]:
        """Return the services of a leased stack that are not reset in place.

        Nothing shows what those keep in memory.
        """
        statistics = None if self._pool is None else self._pool.statistics()
        for stack in (statistics or {}).get("stacks", ()):
            if stack["project"] == lease.facts.project:
                services: Mapping[str, Any] = stack["services"]
                return [name for name, each in services.items() if each["reset"] != "in place"]
        return []

    def release(self, lease: Lease, *, failed: bool = False, keep: str = "") -> None:
        """End a lease.

        Args:
            lease: what `acquire` returned.
            failed: whether a test that held it failed; `keep_failed` keeps the first such stack.
            keep: whose stack it was, if it is kept in any case.
        """
        if failed and self.settings.keep_failed and not self._kept:
            keep = keep or "the first failed test"
        if keep:
            self._kept[lease.facts.project] = self._kept_note(lease, keep)
        if self._pool is not None:
            self._pool.release(lease, keep=bool(keep))

    def close(self) -> Summary | None:
        """Leave the pool; for the last client, return when everything is removed.

        Returns:
            What this process did, and what the pool did since its last report; None: no stack was
            used.
        """
        with self._lock:
            pool, self._pool = self._pool, None
            engine, self._engine = self._engine, None
        with ExitStack() as ending:
            if engine is not None:
                ending.callback(engine.close)
            report = self._leave(pool) if pool is not None else None
        if pool is None or report is None:
            return None
        notes = [*self.notes, *self._kept.values(), *(f"warning: {text}" for text in pool.warnings)]
        if self._keep_warm_s:
            notes.append("the stacks stay for the next run; `dockwright pool drain` removes them")
        calls = [_calls(engine)] if engine is not None else []
        own = Summary(notes=tuple(notes), reports=tuple(calls))
        return Summary.added([own, report])

    def _leave(self, pool: PoolClient) -> Summary:
        """Say goodbye to the broker; if it has died, remove what it left."""
        summary = pool.close(wait=self.settings.wait_for_removal or bool(self._environ.get("CI")))
        if not pool.broker_died:
            return summary
        from dockwright.pool import RetainedStacks, reap

        try:
            with closing(connect_engine(self.settings.engine, self._environ)) as engine:
                kept = RetainedStacks(state_directory() / "kept")
                reap(engine, project_hash(self.settings.root), kept)
        except (DockwrightError, ExceptionGroup) as failure:
            return Summary(problems=(*summary.problems, explained(failure)))
        return Summary(notes=("warning: the broker died; what it left has been removed",))

    @property
    def _keep_warm_s(self) -> float:
        return 0.0 if self._environ.get("CI") else self.settings.keep_warm

    def log_sections(self, lease: Lease, *, since_s: float) -> list[tuple[str, str]]:
        """Return a title and the last log lines of each of its services.

        Args:
            lease: the lease of the stack.
            since_s: when the test began, seconds since the epoch; earlier lines are left out.
        """
        from dockwright.redact import Redactor

        sections = []
        since_s = max(since_s, lease.began_s)
        try:
            stack = lease.stack
        except Exception as error:  # noqa: BLE001 - it may be why the test failed
            return [(f"log of {lease.facts.project}", f"(no logs: {explained(error)})")]
        redact = Redactor.of(self._environ, *environments(stack.spec))
        for unit in stack.graph.dependencies:
            try:
                lines = stack.last_lines(unit, self.settings.log_tail, since_s=since_s)
            except Exception as error:  # noqa: BLE001 - the next service may have logs
                lines = [f"(no logs: {explained(error)})"]
            if lines:
                text = redact("\n".join(lines))
                plain = printable(_COLOUR.sub("", text))
                sections.append((f"log of {unit} since the test began", plain))
        return [*sections, *self._memory_kills(stack)]

    def _memory_kills(self, stack: Stack) -> Iterator[tuple[str, str]]:
        """Yield a title and a text for each service that was killed because memory ran out."""
        for service, container in stack.containers.items():
            try:
                found = self.engine().inspect_container(container)
                killed, limit = found["State"].get("OOMKilled"), found["HostConfig"].get("Memory")
            except Exception as failure:  # noqa: BLE001 - the test has failed for its own reason
                _log.debug("could not look at %s: %s", service, explained(failure))
                continue
            if killed:
                yield f"memory of {service}", f"{service} was killed: {_why_killed(limit)}"

    def _kept_note(self, lease: Lease, whose: str) -> str:
        """Return the commands to look at a kept stack and to remove it."""
        from dockwright.stack import COMPOSE_PROJECT

        docker = f"docker -H {self.settings.engine}" if self.settings.engine else "docker"
        project = lease.facts.project
        try:
            stack = lease.stack
            names = [stack.container_name(service) for service in stack.containers]
        except Exception as failure:  # noqa: BLE001 - the stack is kept anyway
            _log.info("could not list the containers of %s: %s", project, failure)
            names = []
        return "\n".join(
            [
                f"kept the stack of {whose}: {project}",
                f"  look:    {docker} ps -a --filter label={COMPOSE_PROJECT}={project}",
                *(f"  connect: {docker} exec -it {name} sh" for name in names),
                "  remove:  dockwright clean --kept",
            ]
        )

    def _pool_for(self, name: str) -> PoolClient:
        """Return the pool, with the stack declared.

        Raises:
            DockwrightError: the engine or the stack cannot be used; the same error each time.
        """
        with self._lock:
            if name in self._unavailable:
                raise self._unavailable[name]
            try:
                pool = self.attend()
                options = self._loads.get(name) or load_options(self.settings, name, self._environ)
                pool.declare(name, options, self.ports_of(name), seeded=name not in self._unseeded)
            except DockwrightError as unavailable:
                # Every test would fail in the same way; do not make each of them wait for it.
                self._unavailable[name] = unavailable
                raise
            return pool

    def attend(self) -> PoolClient:
        """Be a client of the broker: it removes what this process leaves if it is killed.

        Raises:
            LeaseError: no broker could be started or reached.
        """
        with self._lock:
            if self._pool is None:
                self._pool = PoolClient(self.pool_options())
                if self._lane:
                    self._pool.record(self._lane)
            return self._pool

    def ports_of(self, name: str) -> PortMode:
        """Return which host ports the copies of a declared stack have."""
        setting = self.settings.ports_of(name)
        return port_mode(setting) if setting else self._ports.get(name, "free")

    def pool_options(self) -> PoolOptions:
        """Return which broker this process uses, and its settings if this process starts it."""
        return PoolOptions(
            settings=replace(self.settings, keep_warm=self._keep_warm_s),
            engine=self.engine,
            engine_url=find_endpoint(self.settings.engine, self._environ).url,
            seed=self._seed,
            run=self._run,
            parent=os.getppid() if "PYTEST_XDIST_WORKER" in self._environ else 0,
        )


def _why_killed(limit_bytes: int | None) -> str:
    if not limit_bytes:
        return (
            "the engine's host ran out of memory\n  hint: set dockwright_max_stacks to fewer copies"
        )
    return (
        f"it used all of its memory limit of {format_size(limit_bytes)}\n"
        "  hint: raise mem_limit (or deploy.resources.limits.memory) in the Compose file"
    )


def _calls(engine: Engine) -> dict[str, Json]:
    """Return this process's own calls to the engine, as a `BrokerReport` in JSON."""
    return {
        "engine_calls": [
            {"name": name, "count": total.count, "seconds": total.seconds}
            for name, total in engine.statistics().by_call.items()
        ]
    }


def environments(spec: StackSpec) -> list[Mapping[str, str]]:
    """Return the variables that each service and native process of a stack is given."""
    found = [
        {name: value for name, value in service.environment.items() if value is not None}
        for service in spec.services.values()
    ]
    return [*found, *(each.environment for each in spec.processes.values())]
