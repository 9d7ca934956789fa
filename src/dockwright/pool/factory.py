"""Makes fresh copies of one declared stack, each with a name and owner of its own."""

from __future__ import annotations

import itertools
import re
import shutil
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from dockwright.cache import BaselineStore, FileDigests
from dockwright.engine import Engine, current_owner
from dockwright.model import Ownership, StackSpec
from dockwright.pool.advice import Advice
from dockwright.pool.capacity import declared_bytes
from dockwright.pool.seed import SeedKey
from dockwright.stack import (
    Baseline,
    CachedStart,
    Identity,
    Images,
    Stack,
    StackOptions,
    sole_reason,
)
from dockwright.wait import Cadence, SilentPorts

_NAME_LIMIT = 24  # of the spec's name within a copy's: an engine's names end at 63 characters


@dataclass(frozen=True, slots=True)
class FactoryOptions:
    """What all copies that one session makes have in common.

    Attributes:
        session: the id of the session, part of every name.
        project: the hash of the project's root directory.
        version: of dockwright, for the label.
        directory: where the session keeps baselines and logs.
        ready_timeout_s: how long one service may take to become ready, in seconds.
        cadence: how waits poll where no event tells.
        advice: takes what a Compose file could say better.
        store: where baselines are kept for later sessions; None: nowhere.
        files: reads the files that starts read.
        numbers: counts the copies of the session: two stacks may come from one Compose project.
    """

    session: str
    project: str
    version: str
    directory: Path
    ready_timeout_s: float
    cadence: Cadence
    advice: Advice = field(default_factory=Advice)
    store: BaselineStore | None = None
    files: FileDigests = field(default_factory=FileDigests)
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
        measured: the memory that a running copy takes, in bytes; 0: none was measured yet.
        sole: why there can be one copy only; empty: there can be more.
    """

    name: str
    spec: StackSpec
    engine: Engine
    options: FactoryOptions
    seed: SeedKey | None = None
    measured: int = 0
    sole: str = field(init=False)
    _images: Images = field(init=False)
    _silent_ports: SilentPorts = field(init=False)

    def __post_init__(self) -> None:
        self.sole = sole_reason(self.spec)
        self._images = Images(self.engine)
        self._silent_ports = SilentPorts(partial(self.options.advice.silent, self.name))

    @property
    def memory_bytes(self) -> int:
        """The memory that one more copy will take: measured, else as declared."""
        return self.measured or declared_bytes(self.spec)

    def new(self) -> Stack:
        """Return a stack that does not run yet."""
        return Stack(
            self.spec,
            self.engine,
            Identity(self._project_name(), self._ownership()),
            StackOptions(
                log_directory=self.options.directory,
                ready_timeout_s=self.options.ready_timeout_s,
                images=self._images,
                cadence=self.options.cadence,
                silent_ports=self._silent_ports,
            ),
        )

    def start_of(self, stack: Stack) -> CachedStart:
        """Return what starts a stack that this factory made."""
        seed = self.seed.digest if self.seed and self.keeps_seed else ""
        return CachedStart(stack, self.options.store, seed=seed, files=self.options.files)

    @property
    def keeps_seed(self) -> bool:
        """Whether what is kept for later runs holds the seed, if there is one."""
        return self.seed is None or self.seed.lasting

    def awaits_seed(self, start: CachedStart) -> bool:
        """Tell whether a started copy has to be seeded."""
        return self.seed is not None and not (self.seed.lasting and start.poured)

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
