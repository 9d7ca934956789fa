"""Makes fresh copies of one declared stack, each with a name and owner of its own."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import psutil

from dockwright.cache import BaselineStore, Builds, FileDigests
from dockwright.engine import Engine, current_owner, parallel
from dockwright.model import Ownership, StackSpec
from dockwright.pool.lease import SeedKey
from dockwright.pool.timeline import Advice
from dockwright.recording import GoneError, container_gauge
from dockwright.recording.gauges import Reading
from dockwright.settings import Settings
from dockwright.stack import (
    Baseline,
    CachedStart,
    Identity,
    Images,
    Stack,
    StackOptions,
    sole_reason,
)
from dockwright.stack.host_ports import FreePorts, PortMode
from dockwright.wait import SilentPorts

_UNKNOWN_SERVICE_BYTES = 192 << 20
"""Taken for a service that declares no limit, until a running stack was measured."""

_MARGIN = 1.3  # a stack that was measured at rest takes more when it works
_RESERVE = 0.15  # of the memory that is available now, left to everybody else
_CGROUP_FILES = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    (
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/memory/memory.usage_in_bytes",
    ),
)


def declared_bytes(spec: StackSpec) -> int:
    """Return what a stack may take by its declared limits, guessing where none is declared."""
    return sum(
        service.limits.memory_bytes or _UNKNOWN_SERVICE_BYTES for service in spec.services.values()
    )


def measured(engine: Engine, containers: Iterable[str]) -> tuple[int, float]:
    """Return what running containers take.

    Returns:
        The memory now, in bytes with a margin for work; the CPU time since they were created, in
        seconds.
    """
    found = parallel.run([partial(_reading, engine, container) for container in containers])
    memory = int(sum(each.memory_bytes or 0 for each in found) * _MARGIN)
    return memory, sum(each.cpu_s or 0.0 for each in found)


def available_bytes() -> int:
    """Return the memory that more stacks may take: of the machine, or of our cgroup if less."""
    free = [psutil.virtual_memory().available]
    for limit_file, used_file in _CGROUP_FILES:
        limit, used = _number(limit_file), _number(used_file)
        if limit is not None and used is not None:
            free.append(max(0, limit - used))
    return int(min(free) * (1 - _RESERVE))


def usual_limit() -> int:
    """Return how many copies are worth having by default: more than this only crowd the cores."""
    return (os.cpu_count() or 2) + 2


def _reading(engine: Engine, container: str) -> Reading:
    try:
        return container_gauge(engine, container)()
    except GoneError:  # a job that has done its work takes nothing
        return Reading()


def _number(file: str) -> int | None:
    try:
        text = Path(file).read_text().strip()
    except OSError:
        return None
    # "max" in version 2; version 1 spells "no limit" as a number close to 2**63.
    return int(text) if text.isdigit() and int(text) < 1 << 60 else None


_NAME_LIMIT = 24  # of the spec's name within a copy's: an engine's names end at 63 characters


@dataclass(frozen=True, slots=True)
class FactoryOptions:
    """What all copies that one session makes have in common.

    Attributes:
        session: the id of the session, part of every name.
        project: the hash of the project's root directory.
        version: of dockwright, for the label.
        directory: where the session keeps baselines and logs.
        settings: of the run.
        advice: takes what a Compose file could say better.
        store: where baselines are kept for later sessions; None: nowhere.
        files: reads the files that starts read.
        builds: knows which images need not be built again; None: all are built.
        free_ports: chooses the host ports of the copies.
        peak_of: returns how much memory a copy of a stack with this name took at most in earlier
            runs, in bytes; 0: unknown.
        numbers: counts the copies of the session: two stacks may come from one Compose project.
    """

    session: str
    project: str
    version: str
    directory: Path
    settings: Settings
    advice: Advice = field(default_factory=Advice)
    store: BaselineStore | None = None
    files: FileDigests = field(default_factory=FileDigests)
    builds: Builds | None = None
    free_ports: FreePorts = field(default_factory=FreePorts)
    peak_of: Callable[[str], int] = lambda _: 0
    numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))


@dataclass(slots=True)
class Factory:
    """Makes the copies of one declared stack.

    Attributes:
        name: of the declared stack.
        spec: what a copy consists of.
        engine: where copies run.
        options: what they have in common.
        seed: what a client does to each copy before its baseline is captured, if anything.
        ports: which host ports a copy has.
        measured: how much memory a copy took, at most, in bytes; 0: unknown.
        busy: how many cores a start kept busy; 0: none was measured yet.
        sole: why there can be one copy only; empty: there can be more.
    """

    name: str
    spec: StackSpec
    engine: Engine
    options: FactoryOptions
    seed: SeedKey | None = None
    ports: PortMode = "free"
    measured: int = 0
    busy: float = 0.0
    sole: str = field(init=False)
    _images: Images = field(init=False)
    _silent_ports: SilentPorts = field(init=False)

    def __post_init__(self) -> None:
        self.sole = sole_reason(self.spec)
        if self.ports != "free":
            self.sole = self.sole or "it has the host ports that its Compose file declares"
        self._images = Images(self.engine, disposable=True, builds=self.options.builds)
        self._silent_ports = SilentPorts(partial(self.options.advice.silent, self.name))

    @property
    def memory_bytes(self) -> int:
        """The memory that one more copy will take: measured, else as declared."""
        return self.measured or declared_bytes(self.spec)

    @property
    def touches_the_host(self) -> bool:
        """Whether a copy that is being removed may still change or hold something outside it."""
        mounts = [mount for each in self.spec.services.values() for mount in each.mounts]
        writes = any(mount.kind == "bind" and not mount.read_only for mount in mounts)
        return bool(self.sole or self.spec.processes or writes)

    def new(self) -> Stack:
        """Return a stack that does not run yet."""
        return Stack(
            self.spec,
            self.engine,
            Identity(self._project_name(), self._ownership()),
            replace(
                StackOptions.of(self.options.settings, self.options.directory),
                images=self._images,
                ports=self.ports,
                free_ports=self.options.free_ports,
                silent_ports=self._silent_ports,
            ),
        )

    def start_of(self, stack: Stack) -> CachedStart:
        """Return what starts a stack that this factory made."""
        seed = self.seed.digest if self.seed and self.keeps_seed else ""
        return CachedStart(
            stack,
            self.options.store,
            seed=seed,
            files=self.options.files,
            whole=self.keeps_seed,
        )

    @property
    def keeps_seed(self) -> bool:
        """Whether what is kept for later runs holds the seed, if there is one."""
        return self.seed is None or self.seed.lasting

    def awaits_seed(self, start: CachedStart) -> bool:
        """Return whether a started copy has to be seeded."""
        return self.seed is not None and not (self.seed.lasting and start.from_cache)

    def baseline(self, stack: Stack) -> Baseline:
        """Return the (not yet captured) baseline of a stack that this factory made."""
        return Baseline(stack, self._scratch(stack), seeded=self.seed is not None)

    def discard(self, stack: Stack) -> None:
        """Delete what is kept on disk for a stack that was removed."""
        shutil.rmtree(self._scratch(stack), ignore_errors=True)

    def _scratch(self, stack: Stack) -> Path:
        return self.options.directory / stack.identity.project

    def _project_name(self) -> str:
        short = re.sub(r"[^a-z0-9-]", "-", self.spec.name.lower())[:_NAME_LIMIT].strip("-")
        return f"dw-{short or self.name}-{self.options.session}-{next(self.options.numbers)}"

    def _ownership(self) -> Ownership:
        return Ownership(
            session=self.options.session,
            project=self.options.project,
            stack=self.name,
            owner=current_owner(),
            created=time.time(),
            version=self.options.version,
        )
