"""The strategies by name: our own, and those that other distributions offer."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points

from dockwright.engine import parallel
from dockwright.errors import ComposeError, DockwrightError, EngineTimeoutError, explained
from dockwright.model import Trace
from dockwright.reset.base import (
    DisposableServer,
    Maker,
    Manner,
    Recreate,
    ResetStrategy,
    Resettable,
    is_untouched,
)
from dockwright.reset.recognise import recognise

log = logging.getLogger(__name__)


class CombinedStrategy:
    """The strategies of several servers in one container; all of them work in place.

    Args:
        strategies: one for each server.
    """

    manner: Manner = "in place"

    def __init__(self, strategies: Sequence[ResetStrategy]) -> None:
        self._strategies = strategies

    @property
    def owns(self) -> re.Pattern[str] | None:
        """What any of the servers writes directly into its data directory."""
        patterns = [getattr(each, "owns", None) for each in self._strategies]
        if None in patterns:
            return None
        return re.compile("|".join(f"(?:{each.pattern})" for each in patterns if each))

    @property
    def undone(self) -> Sequence[Trace]:
        """What they undid."""
        return [trace for each in self._strategies for trace in getattr(each, "undone", ())]

    @property
    def curious(self) -> bool:
        """Whether any of them finds out names and numbers."""
        return any(getattr(each, "curious", False) for each in self._strategies)

    @curious.setter
    def curious(self, wanted: bool) -> None:
        for each in self._strategies:
            if hasattr(each, "curious"):
                each.curious = wanted

    def capture(self) -> None:
        """Let all remember the baseline."""
        parallel.run([each.capture for each in self._strategies])

    def untouched(self) -> bool:
        """Return whether all are sure that nothing was changed."""
        return all(is_untouched(each) for each in self._strategies)

    def reset(self) -> bool:
        """Let all bring their server back; return whether clients of any lost it."""
        return any(parallel.run([each.reset for each in self._strategies]))

    def close(self) -> None:
        """Let all of them do it."""
        for each in self._strategies:
            each.close()


class Detected:
    """The strategy that fits what runs in the container; `recreate` where none does.

    A strategy that cannot work here (no password, no superuser) gives way to the next one with a
    warning: slower, but never wrong.

    Args:
        service: the service.
        makers: the strategies by name.
        otherwise: the strategy for a server that is none of those that are known.

    Attributes:
        gave_way: which strategy could not work here and why, for a message; None: none gave way.
        found: the servers that were recognised, for a message; empty: none.
    """

    def __init__(
        self, service: Resettable, makers: Mapping[str, Maker], *, otherwise: str | None = None
    ) -> None:
        self._service = service
        self._makers = makers
        self._otherwise = otherwise
        self._chosen: ResetStrategy = Recreate(service)
        self.gave_way: str | None = None
        self.found = ""

    @property
    def manner(self) -> Manner:
        """That of the strategy that was found; `recreate` before."""
        return self._chosen.manner

    @property
    def owns(self) -> re.Pattern[str] | None:
        """That of the strategy that was found."""
        found: re.Pattern[str] | None = getattr(self._chosen, "owns", None)
        return found

    @property
    def undone(self) -> Sequence[Trace]:
        """That of the strategy that was found."""
        found: Sequence[Trace] = getattr(self._chosen, "undone", ())
        return found

    @property
    def curious(self) -> bool:
        """That of the strategy that was found."""
        return bool(getattr(self._chosen, "curious", False))

    @curious.setter
    def curious(self, wanted: bool) -> None:
        if hasattr(self._chosen, "curious"):
            self._chosen.curious = wanted

    def capture(self) -> None:
        """Find the strategy and let it remember the baseline."""
        self._chosen.close()
        self._chosen = Recreate(self._service)
        self.gave_way = None
        try:
            seen = recognise(self._service)
        except EngineTimeoutError:
            self._give_way("to find out what runs in it took too long")
            return
        self.found = str(seen)
        if seen.unknown:
            self._give_way(f"{seen.unknown}, and dockwright does not know what it keeps")
        elif seen.servers and self._take([each.kind for each in seen.servers]):
            return
        if self._otherwise:
            self._take([self._otherwise])

    def untouched(self) -> bool:
        """Return whether the strategy that was found is sure that nothing was changed."""
        return is_untouched(self._chosen)

    def reset(self) -> bool:
        """Let the strategy that was found do it."""
        return self._chosen.reset()

    def close(self) -> None:
        """Let the strategy that was found do it."""
        self._chosen.close()

    def _take(self, names: Sequence[str]) -> bool:
        """Choose the strategies of these names; return whether they work here."""
        makers = [self._makers[name](self._service) for name in names]
        candidate = makers[0] if len(makers) == 1 else CombinedStrategy(makers)
        try:
            candidate.capture()
        except (DockwrightError, ExceptionGroup) as failure:
            candidate.close()
            why = failure.message if isinstance(failure, DockwrightError) else explained(failure)
            hint = (
                f" ({failure.hint})"
                if isinstance(failure, DockwrightError) and failure.hint
                else ""
            )
            self._give_way(f"strategy {' and '.join(names)} cannot work: {why}{hint}")
            return False
        self._chosen = candidate
        return True

    def _give_way(self, why: str) -> None:
        self.gave_way = why
        log.warning(
            "reset.fallback service=%s: %s; each reset gives it a new container"
            " (x-dockwright: {reset: recreate} silences this)",
            self._service.spec.name,
            why,
        )


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

    def __init__(self) -> None:
        # pytest parses a plugin's modules as they are imported, and Python 3.11 cannot parse in
        # two threads at once (python/cpython#106905).
        self._importing = threading.Lock()

    def __getitem__(self, name: str) -> Maker:
        point = EntryPoint(name, _OWN[name], GROUP) if name in _OWN else self._offered[name]
        with self._importing:
            maker: Maker = point.load()
        return maker

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
