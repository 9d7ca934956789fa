"""The volumes of one copy, to be read at one moment, and filled before the copy starts."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import Any

from dockwright.cache import NotCacheableError, left_out
from dockwright.engine import parallel
from dockwright.errors import EngineError, StackBrokenError
from dockwright.reset import bring_to_disk
from dockwright.stack.baseline import ServiceOfStack
from dockwright.stack.stack import Stack


@dataclass(frozen=True, slots=True)
class OwnVolume:
    """One volume that belongs to the copy.

    Attributes:
        service: a service that mounts it.
        target: where it does.
    """

    service: str
    target: PurePosixPath

    def __str__(self) -> str:
        return f"{self.target} of service {self.service}"


class OwnVolumes:
    """Reads and fills the volumes of a copy whose containers exist, running or not.

    Args:
        stack: the copy.
    """

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._named: dict[str, OwnVolume] = {}
        skipped = left_out(stack.spec)
        for service in stack.containers:
            if service not in skipped:
                for target, name in stack.volumes_of(service).items():
                    self._named.setdefault(name, OwnVolume(service, PurePosixPath(target)))

    def __iter__(self) -> Iterator[OwnVolume]:
        return iter(self._named.values())

    def read(self, volume: OwnVolume) -> closing[Generator[bytes, None, None]]:
        """Return a context that gives a tar of what the volume holds, in pieces."""
        stack, name = self._stack, self._name(volume)
        container = stack.container(volume.service)
        return closing(stack.engine.volume_out(name, container, str(volume.target)))

    def fill(self, volume: OwnVolume, chunks: Iterable[bytes]) -> None:
        """Unpack a tar, as `read` yields it, into the volume."""
        stack, name = self._stack, self._name(volume)
        container = stack.container(volume.service)
        stack.engine.volume_in(name, container, str(volume.target), chunks)

    def _name(self, volume: OwnVolume) -> str:
        return self._stack.volumes_of(volume.service)[str(volume.target)]

    @contextmanager
    def at_rest(self) -> Iterator[None]:
        """Pause every container that mounts one of the volumes, after all is on disk.

        The volumes are then as after a power cut: databases recover from that.

        Raises:
            NotCacheableError: they cannot be kept.
            StackBrokenError: a container stays paused.
        """
        containers = self._inspected()
        for name, container in containers.items():
            self._check_repeatable(name, container)
        for volume in self:
            _check_mounts(volume, containers[volume.service])
        parallel.run([partial(self._bring_to_disk, name) for name in containers])
        with ExitStack() as paused:
            for container in containers.values():
                if any(mount.get("Name") in self._named for mount in container["Mounts"]):
                    paused.enter_context(self._standstill(container["Id"]))
            yield

    def _inspected(self) -> dict[str, Mapping[str, Any]]:
        names = list(self._stack.containers)
        inspect = self._stack.engine.inspect_container
        found = parallel.run([partial(inspect, self._stack.containers[name]) for name in names])
        return dict(zip(names, found, strict=True))

    @contextmanager
    def _standstill(self, container: str) -> Iterator[None]:
        still = ExitStack()
        still.enter_context(self._stack.engine.standstill(container))
        try:
            yield
        finally:
            try:
                still.close()
            except EngineError as failure:
                project = self._stack.identity.project
                raise StackBrokenError(
                    f"a container of {project} stays paused: {failure}"
                ) from failure

    def _bring_to_disk(self, name: str) -> None:
        service = ServiceOfStack(self._stack, name, self._stack.options.log_directory)
        if not bring_to_disk(service):
            raise NotCacheableError(f"service {name} holds data in memory and has no volume")

    def _check_repeatable(self, name: str, container: Mapping[str, Any]) -> None:
        said = self._stack.spec.services[name].cache or self._stack.spec.cache
        if not container["State"]["Running"] and not said:
            raise NotCacheableError(
                f"service {name} has ended and would run again on the data that it made; "
                "x-dockwright: {cache: true} on it says that it may"
            )


def _check_mounts(volume: OwnVolume, container: Mapping[str, Any]) -> None:
    if container["HostConfig"].get("ReadonlyRootfs"):
        raise NotCacheableError(f"service {volume.service} is read_only")
    for mount in container["Mounts"]:
        place = PurePosixPath(mount["Destination"])
        if volume.target in place.parents:
            # The engine reads and writes through it, down to the host's own files.
            raise NotCacheableError(f"{place} is mounted inside {volume}")
        if place == volume.target and not mount["RW"]:
            raise NotCacheableError(f"{volume} is mounted read-only")
