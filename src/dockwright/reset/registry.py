"""The strategies by name: our own, and those that other distributions offer."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points

from dockwright.errors import ComposeError, DockwrightError
from dockwright.reset.base import (
    DisposableServer,
    Maker,
    Manner,
    Recreate,
    ResetStrategy,
    Resettable,
)

log = logging.getLogger(__name__)

IMAGES = {
    "postgres": (
        "postgres", "postgresql", "postgis", "pgvector", "timescaledb", "timescaledb-ha", "citus",
    ),
    "redis": ("redis", "valkey", "keydb", "redis-stack", "redis-stack-server"),
    "mysql": ("mysql", "mysql-server", "mariadb", "percona", "percona-server"),
}  # fmt: skip
"""The last part of the names of images that hold such a server."""

_TRACES = {
    "postgres": ("PG_MAJOR", "PG_VERSION"),
    "redis": ("REDIS_VERSION", "REDIS_DOWNLOAD_URL", "VALKEY_VERSION"),
    "mysql": ("MYSQL_VERSION", "MYSQL_MAJOR", "MARIADB_VERSION"),
}
"""Variables that the official images set, and with them all images that are built from them."""

_NAME = re.compile(r"(?:.*/)?([^/:@]+)(?::[^/@]*)?(?:@.*)?")


class Detected:
    """The strategy that fits, once the service runs; `recreate` where none does.

    A strategy that cannot work here (no password, no superuser, another kind of server after all)
    gives way to the next one with a warning: slower, but never wrong.

    Args:
        service: the service.
        makers: the strategies by name.
        otherwise: the strategy for a server that is none of those that are known.

    Attributes:
        gave_way: which strategy could not work here and why, for a message; None: none gave way.
    """

    def __init__(
        self, service: Resettable, makers: Mapping[str, Maker], *, otherwise: str | None = None
    ) -> None:
        self._service = service
        self._makers = makers
        self._otherwise = otherwise
        self._chosen: ResetStrategy = Recreate(service)
        self.gave_way: str | None = None

    @property
    def manner(self) -> Manner:
        """That of the strategy that was found; `recreate` before."""
        return self._chosen.manner

    @property
    def owns(self) -> re.Pattern[str] | None:
        """That of the strategy that was found."""
        found: re.Pattern[str] | None = getattr(self._chosen, "owns", None)
        return found

    def capture(self) -> None:
        """Find the strategy and let it remember the baseline."""
        self._chosen.close()
        self._chosen = Recreate(self._service)
        self.gave_way = None
        for name in self._find():
            candidate = self._makers[name](self._service)
            try:
                candidate.capture()
            except DockwrightError as failure:
                candidate.close()
                self.gave_way = f"strategy {name} cannot work: {failure.message}"
                log.warning(
                    "reset.fallback service=%s: %s; each reset gives it a new container"
                    " (x-dockwright: {reset: recreate} silences this)",
                    self._service.spec.name,
                    self.gave_way,
                )
            else:
                self._chosen = candidate
                return

    def reset(self) -> bool:
        """Let the strategy that was found do it."""
        return self._chosen.reset()

    def close(self) -> None:
        """Let the strategy that was found do it."""
        self._chosen.close()

    def _find(self) -> list[str]:
        details = self._service.engine.inspect_container(self._service.container())
        if not details["State"]["Running"]:  # a job that has done its work
            return []
        named = by_image(self._service.spec.image or "")
        known = named or by_environment(details["Config"].get("Env") or ())
        return [name for name in (known, self._otherwise) if name]


def by_image(reference: str) -> str | None:
    """Return the strategy for an image's name, e.g. ``postgis/postgis:15-3.4``."""
    match = _NAME.fullmatch(reference)
    name = match[1] if match else ""
    return next((strategy for strategy, names in IMAGES.items() if name in names), None)


def by_environment(entries: Iterable[str]) -> str | None:
    """Return the strategy for the variables that an image sets, e.g. ``PG_MAJOR=15``."""
    names = {entry.partition("=")[0] for entry in entries}
    return next((each for each, traces in _TRACES.items() if names.intersection(traces)), None)


GROUP = "dockwright.reset"
"""The entry point group: a name, and a class or factory that takes a `Resettable`."""

_OWN = {
    "command": "dockwright.reset.generic:CommandReset",
    "mysql": "dockwright.reset.mysql:MysqlReset",
    "none": "dockwright.reset.base:Constant",
    "postgres": "dockwright.reset.postgres:PostgresReset",
    "recreate": "dockwright.reset.base:Recreate",
    "redis": "dockwright.reset.redis:RedisReset",
    "volume": "dockwright.reset.generic:VolumeRollback",
}

_DISPOSABLE = ("dockwright.reset.postgres.disposable:DisposablePostgres",)


def disposable_servers() -> list[DisposableServer]:
    """Return what is known about the servers of disposable copies, one for each kind."""
    return [EntryPoint(name, name, GROUP).load()() for name in _DISPOSABLE]


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


STRATEGIES = Registry()
"""The strategies by the name that ``x-dockwright: reset:`` gives them."""


def choose(
    service: Resettable, makers: Mapping[str, Maker], *, otherwise: str | None = None
) -> ResetStrategy:
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
