"""The strategies by name: our own, and those that other distributions offer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points

from dockwright.errors import ComposeError
from dockwright.reset.base import Maker, Resettable, Strategy
from dockwright.reset.detect import Detected

GROUP = "dockwright.reset"
"""The entry point group: a name, and a class or factory that takes a `Resettable`."""

_OWN = {
    "command": "dockwright.reset.command:CommandReset",
    "mysql": "dockwright.reset.mysql:MysqlReset",
    "none": "dockwright.reset.base:Constant",
    "postgres": "dockwright.reset.postgres:PostgresReset",
    "recreate": "dockwright.reset.base:Recreate",
    "redis": "dockwright.reset.redis:RedisReset",
    "volume": "dockwright.reset.volume:VolumeRollback",
}


class Registry(Mapping[str, Maker]):
    """Imports a strategy when it is asked for; our own names cannot be taken by others."""

    def __getitem__(self, name: str) -> Maker:
        if name in _OWN:
            return _load(EntryPoint(name, _OWN[name], GROUP))
        return _load(self._offered[name])

    def __iter__(self) -> Iterator[str]:
        return iter(sorted({*_OWN, *self._offered}))

    def __len__(self) -> int:
        return len({*_OWN, *self._offered})

    @cached_property
    def _offered(self) -> dict[str, EntryPoint]:
        return {point.name: point for point in entry_points(group=GROUP)}


def choose(
    service: Resettable, makers: Mapping[str, Maker], *, otherwise: str | None = None
) -> Strategy:
    """Return the strategy that the service declares, else one that finds out what fits.

    Args:
        service: the service.
        makers: the strategies by name.
        otherwise: the strategy where nothing is found; None: `recreate`.

    Raises:
        ComposeError: it declares one that does not exist; lists those that do.
    """
    name = service.spec.reset
    if name is None:
        return Detected(service, makers, otherwise=otherwise)
    if name not in makers:
        raise ComposeError(
            f"no reset strategy {name!r}",
            path=f"services.{service.spec.name}.x-dockwright.reset",
            hint=f"the strategies are: {', '.join(sorted(makers))}",
        )
    return makers[name](service)


def _load(point: EntryPoint) -> Maker:
    maker: Maker = point.load()
    return maker
