"""A Compose project that somebody else started, such as the command-line tool under test."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from dockwright import __version__
from dockwright.compose import LoadOptions, load
from dockwright.engine import Engine, connect, current_owner, parallel
from dockwright.errors import StackError
from dockwright.model import Address, Ownership, StackSpec
from dockwright.paths import project_hash, state_directory
from dockwright.stack import COMPOSE_PROJECT, COMPOSE_SERVICE, Identity, Stack, StackOptions
from dockwright.wait import PATIENCE_S

_PLACE = f"{COMPOSE_PROJECT}.working_dir"
_FILES = f"{COMPOSE_PROJECT}.config_files"


@dataclass(frozen=True, slots=True)
class _Foreign(Identity):
    """The identity of a project whose resources do not have our labels."""

    def labels(self) -> dict[str, str]:
        return {COMPOSE_PROJECT: self.project}

    def selector(self) -> dict[str, str]:
        return self.labels()


class ComposeProject:
    """A running Compose project that another program started: waits for and manages its services.

    Nothing is removed at its end: see `ArtifactTracker.track_project`. Pass it to
    `StackServiceManager` to stop and start services.

    Args:
        name: the project's name, as ``docker compose ls`` shows it.
        files: its Compose files; default: those that it was started from.
        engine: returns the engine that it is on; default: the docker command's.
    """

    def __init__(
        self,
        name: str,
        *,
        files: Iterable[str | os.PathLike[str]] = (),
        engine: Callable[[], Engine] = connect,
    ) -> None:
        self.name = name
        self._files = tuple(Path(file).absolute() for file in files)
        self._connect = engine
        self._engine: Engine | None = None
        self._stack: Stack | None = None

    def __repr__(self) -> str:
        return f"<Compose project {self.name}>"

    @property
    def services(self) -> tuple[str, ...]:
        """The services that have a container now."""
        return tuple(self.unwrap().containers)

    def address(self, service: str, port: int) -> Address:
        """Return the host and port where a service's own TCP port `port` is reached.

        Raises:
            UnknownServiceError: no such service.
            StackError: the port cannot be reached from here; lists those that can.
        """
        return self.unwrap().address(service, port)

    def wait_until_ready(self, *services: str, timeout_s: float = 60.0) -> None:
        """Wait until services (none: all that have a container) are ready.

        A service is ready if its health check succeeds, or, without one, if its declared ports
        accept connections. A job that others wait for has to end with 0.

        Args:
            services: their names.
            timeout_s: how long each may take, in seconds.

        Raises:
            StackError: one was not ready in time, or has exited; or the project has no containers.
            UnknownServiceError: no such service.
        """
        stack = self.unwrap()
        stack.options = replace(stack.options, ready_timeout_s=timeout_s)
        names = stack.known(services or stack.containers)
        parallel.run([partial(stack.await_ready, name) for name in names])

    def unwrap(self) -> Stack:
        """Return the project as a stack, with the containers that it has now.

        Raises:
            StackError: it has no containers.
            ComposeError: its Compose files cannot be read.
        """
        if self._engine is None:
            self._engine = self._connect()
        if self._stack is None:
            self._stack = self._found(self._engine)
        return self._stack.attach()

    def _found(self, engine: Engine) -> Stack:
        found = engine.list_containers({COMPOSE_PROJECT: self.name})
        if not found:
            raise StackError(
                f"no container of the Compose project {self.name!r} exists",
                hint="start it first; `docker compose ls --all` lists the projects",
            )
        labels = [each["Labels"] for each in found]
        spec = self._spec(labels[0], {each[COMPOSE_SERVICE] for each in labels})
        owner = Ownership(
            session=self.name,
            project=project_hash(spec.working_dir),
            stack=self.name,
            owner=current_owner(),
            created=time.time(),
            version=__version__,
        )
        logs = state_directory() / "processes" / owner.project
        options = StackOptions(log_directory=logs, listen_timeout_s=PATIENCE_S)
        return Stack(spec, engine, _Foreign(self.name, owner, isolated=False), options)

    def _spec(self, labels: dict[str, str], services: set[str]) -> StackSpec:
        written = tuple(Path(file) for file in labels.get(_FILES, "").split(",") if file)
        files = self._files or written
        missing = [file for file in files if not file.is_file()]
        if missing or not files:
            what = f"its Compose file {missing[0]} does not exist" if missing else "they name none"
            raise StackError(
                f"the containers of the Compose project {self.name!r} do not say enough: {what}",
                hint=f"name the files: ComposeProject({self.name!r}, files=['compose.yaml'])",
            )
        place = labels.get(_PLACE)
        options = LoadOptions(
            files=files,
            project_name=self.name,
            working_dir=Path(place) if place and not self._files else None,
            services=tuple(sorted(services)),
        )
        spec = load(options)
        return replace(
            spec, services={name: each for name, each in spec.services.items() if name in services}
        )
