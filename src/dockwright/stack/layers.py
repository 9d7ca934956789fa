"""The volumes of one copy that are thin layers above the frozen volumes of its baseline.

For each service with such volumes there is one more volume, for the directories of the layers, and
one container that never starts. It holds that volume and the frozen ones, so that neither can be
removed while the service uses them. Both have the labels of the copy, and go with it.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from dockwright.cache.frozen import FROZEN_LABEL, FrozenPart
from dockwright.engine import parallel
from dockwright.engine.overlays import VolumeAccess, layer_directories, overlay_options
from dockwright.errors import EngineError

if TYPE_CHECKING:
    from dockwright.stack.stack import Stack

Lowers: TypeAlias = Mapping[str, Mapping[str, FrozenPart]]
"""What the volumes of a baseline are layers above, by service and mount target."""

_LAYERS = "/layers"


def nothing() -> AbstractContextManager[Lowers]:
    """Return no frozen volumes: the volumes of new containers begin empty."""
    return nullcontext({})


class Layers:
    """Makes and removes the layers of one copy.

    Args:
        stack: the copy.

    Attributes:
        source: returns a context that gives the frozen volumes of the baseline and holds them.
        pour: fills the volumes of a service from the cached baseline; returns whether there is one.
        options: the driver options of volumes that are layers, by the volumes' names.
    """

    def __init__(self, stack: Stack) -> None:
        self.source: Callable[[], AbstractContextManager[Lowers]] = nothing
        self.pour: Callable[[str], bool] = lambda _: False
        self.options: dict[str, dict[str, str]] = {}
        self._stack = stack
        self._holders: dict[str, str] = {}  # by service: the name of its container and volume

    def add(self, services: Collection[str]) -> bool:
        """Make new layers for the volumes of services, before these volumes are created.

        Returns:
            Whether there were frozen volumes for some.
        """
        with self.source() as lowers:
            wanted = [name for name in services if name in lowers]
            parallel.run([partial(self._add, name, lowers[name]) for name in wanted])
        return bool(wanted)

    def take(self, services: Iterable[str]) -> list[str]:
        """Forget the layers of services that are about to be replaced.

        Returns:
            What `remove` takes once the services' volumes are gone.
        """
        for name in services:
            for volume in self._stack.volumes_of(name).values():
                self.options.pop(volume, None)
        return [self._holders.pop(name) for name in services if name in self._holders]

    def remove(self, holders: Iterable[str]) -> None:
        """Remove what `take` returned."""
        parallel.run([partial(self._remove, each) for each in holders])

    def cover(self, service: str) -> bool:
        """Return whether all volumes of a service that belong to the copy are layers."""
        volumes = self._stack.volumes_of(service).values()
        return bool(volumes) and all(volume in self.options for volume in volumes)

    def door(self, service: str | None = None) -> VolumeAccess:
        """Return what reaches volumes through a container of a service's image; None: of any."""
        stack, images = self._stack, self._stack.ready_images
        image = images[service or next(iter(images))]
        return VolumeAccess(stack.engine, image.reference, image.volumes, stack.identity.labels())

    def _add(self, service: str, lowers: Mapping[str, FrozenPart]) -> None:
        engine, door = self._stack.engine, self.door(service)
        volumes = self._stack.volumes_of(service)
        name = f"{self._stack.identity.project}_{service}-layers.{secrets.token_hex(4)}"
        engine.create_volume(name, {"Labels": self._stack.identity.labels()})
        self._holders[service] = name
        frozen = {f"/{number}": each.volume for number, each in enumerate(lowers.values())}
        holder = door.create(name, {_LAYERS: name, **frozen})
        roots = [each.root for each in lowers.values()]
        engine.archive_in(holder, _LAYERS, layer_directories(roots))
        inspect = engine.inspect_volume
        layers, *found = parallel.run([partial(inspect, each) for each in (name, *frozen.values())])
        for number, (target, lower) in enumerate(zip(lowers, found, strict=True)):
            if FROZEN_LABEL not in (lower.get("Labels") or {}):  # the engine made an empty one
                engine.remove_container(holder)
                engine.remove_volume(lower["Name"])
                raise EngineError(f"the baseline's volume {lower['Name']} was removed")
            self.options[volumes[target]] = overlay_options(
                lower["Mountpoint"], layers["Mountpoint"], number
            )

    def _remove(self, name: str) -> None:
        self._stack.engine.remove_container(name)
        self._stack.engine.remove_volume(name)
