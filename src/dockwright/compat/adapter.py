"""Leases the containers that a suite starts one by one, each as a stack of one service."""

from __future__ import annotations

import itertools
import json
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from dockwright import __version__
from dockwright._files import write_file
from dockwright.compat.container_spec import (
    ContainerRequest,
    ContainerSpec,
    container_spec,
    service_name,
)
from dockwright.compat.record import StartedContainers, directory_of
from dockwright.compose import LoadOptions
from dockwright.engine import current_owner, ownership_labels
from dockwright.errors import DockwrightError, explained
from dockwright.model import Ownership, Requirement
from dockwright.paths import project_hash
from dockwright.pool import Lease
from dockwright.pool.session import RunSession
from dockwright.stack import COMPOSE_PROJECT
from dockwright.stack.host_ports import PortMode

_MOST_KINDS = 6
"""How many different containers of one class have stacks of their own in the pool. What a suite
makes different in each test is never leased again: the next one takes its place."""


class Host(Protocol):
    """The test run for which containers are leased."""

    @property
    def session(self) -> RunSession:
        """The session of this process."""

    @property
    def run_id(self) -> str:
        """The id of the run, the same in all its processes."""

    @property
    def root(self) -> Path:
        """The project's root directory."""

    @property
    def ports(self) -> PortMode:
        """The host ports of Compose projects."""

    def holder(self) -> str:
        """Return the fixture or test that is running, for messages."""

    def acquire(self, requirement: Requirement) -> Lease:
        """Lease a stack for what is running."""

    def release(self, lease: Lease) -> None:
        """End a lease that `acquire` returned; no-op after the end of the run."""

    def note(self, text: str) -> None:
        """Show a line at the end of the run, once."""

    def note_declared(self, name: str, file: Path) -> None:
        """Remember a declared stack, so that the next run can start it early."""


@dataclass(frozen=True, slots=True)
class LeasedContainer:
    """A container of the pool.

    Attributes:
        id: of the container.
        host: on which its ports are published.
        serves: whether it is a server that the pool has found to serve.
        end: ends the lease.
    """

    id: str
    host: str
    serves: bool
    end: Callable[[], None]


@dataclass(slots=True, eq=False)
class Adapter:
    """Turns containers into stacks, and leases them.

    Attributes:
        host: the test run.
        started: lists what the run starts.
    """

    host: Host
    started: StartedContainers = field(init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _numbers: itertools.count[int] = field(default_factory=lambda: itertools.count(1))
    _known: dict[str, list[str]] = field(default_factory=dict)
    _declared: dict[str, tuple[RunSession, str]] = field(default_factory=dict)
    _given: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.started = StartedContainers(self.host.root, self.host.run_id)

    def lease(self, request: ContainerRequest, kind: str) -> LeasedContainer:
        """Lease a container like the one that is asked for.

        Args:
            request: what the suite asks for.
            kind: the name of its class, for messages.

        Raises:
            NotLeasableError: it has to be created as it was asked for.
            DockwrightError: it could not be started, or none became free in time.
        """
        spec = container_spec(request, service_name(kind, request.image))
        name = self._declare(spec, kind)
        holder = f"{self.host.holder()} {kind} #{next(self._numbers)}"
        lease = self.host.acquire(Requirement(name, True, "session", holder))  # noqa: FBT003
        ports = lease.facts.published.get(spec.service, {})
        host = next((text.rpartition(":")[0] for text in ports.values()), "")
        return LeasedContainer(
            lease.containers[spec.service],
            host,
            spec.database,
            lambda: self.host.release(lease),
        )

    def lease_project(self, name: str, options: LoadOptions) -> Lease:
        """Lease a stack of a Compose project.

        Args:
            name: of the stack.
            options: how it is loaded.

        Raises:
            DockwrightError: it could not be started, or none became free in time.
        """
        self.host.session.declare(name, options, ports=self.host.ports, seeded=False)
        holder = f"{self.host.holder()} #{next(self._numbers)}"
        return self.host.acquire(Requirement(name, True, "session", holder))  # noqa: FBT003

    def own_labels(self, kind: str) -> dict[str, str]:
        """Return the labels of what this process creates itself, so that it never outlives it.

        Without a broker there are none: the suite then cleans up as it did before.
        """
        try:
            self.host.session.attend()
        except DockwrightError as failure:
            reason = explained(failure).splitlines()[0]
            self.host.note(f"nothing removes what a killed run of this suite leaves: {reason}")
            return {}
        name = f"dw-{service_name(kind, kind)}-{secrets.token_hex(4)}"
        ownership = Ownership(
            session=name,
            project=project_hash(self.host.root),
            stack=kind,
            owner=current_owner(),
            created=time.time(),
            version=__version__,
        )
        return {**ownership_labels(ownership), COMPOSE_PROJECT: name}

    def _declare(self, spec: ContainerSpec, kind: str) -> str:
        """Declare the stack of a container, and return its name."""
        session = self.host.session
        with self._lock:
            name = self._name(spec, kind)
            if self._declared.get(name) != (session, spec.digest):
                file = _document_file(self.host.root, spec)
                declare(session, name, file)
                self.host.note_declared(name, file)
                self._declared[name] = (session, spec.digest)
            self._given[name] += 1
            given = self._given[name]
        # At 2, 4, 8, ...: what was started so often will be started as often again.
        if given > 1 and given & (given - 1) == 0:
            session.prepare({name: given})
        return name

    def _name(self, spec: ContainerSpec, kind: str) -> str:
        known = self._known.setdefault(kind, [])
        if spec.digest not in known and len(known) < _MOST_KINDS:
            known.append(spec.digest)
        return f"{kind}-{spec.digest[:8] if spec.digest in known else 'other'}"


def declare(session: RunSession, name: str, file: Path) -> None:
    """Declare the stack of a container, whose Compose file was written before."""
    options = LoadOptions(files=(file,), environ={}, start=file.parent)
    session.declare(name, options, seeded=False)


def _document_file(root: Path, spec: ContainerSpec) -> Path:
    """Write the Compose file of a container, and return its path."""
    directory = directory_of(root)
    file = directory / f"{spec.service}-{spec.digest}.yaml"
    if not file.exists():
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_file(file, json.dumps(spec.document, indent=1).encode())
    return file
