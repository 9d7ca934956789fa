"""What a reset strategy is, what it may do with its service, and which one a service gets."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Protocol

from dockwright.engine import Engine
from dockwright.errors import ComposeError
from dockwright.model import Address, ServiceSpec

Manner = Literal["nothing", "in place", "recreate"]


class Resettable(Protocol):
    """One service of one copy of a stack, as a strategy sees it."""

    @property
    def spec(self) -> ServiceSpec:
        """How it is declared."""

    @property
    def engine(self) -> Engine:
        """Where its container runs."""

    @property
    def scratch(self) -> Path:
        """A directory of this copy, for baselines; it goes with the copy."""

    def container(self) -> str:
        """Return the id of its container now."""

    def volumes(self) -> Mapping[str, str]:
        """Return the volumes that belong to this copy, by mount target."""

    def address(self, port: int) -> Address:
        """Return the address that reaches its port from this process."""


class Strategy(Protocol):
    """Brings one service back to its baseline; `manner` says how.

    ``nothing``: it never changes. ``in place``: `reset` undoes all changes while it runs.
    ``recreate``: it gets a new container with empty volumes, which `reset` may fill before the
    container starts.
    """

    @property
    def manner(self) -> Manner:
        """How the service comes back."""

    def capture(self) -> None:
        """Remember the baseline; the service is ready and nobody uses it."""

    def reset(self) -> None:
        """Bring the service back to what `capture` saw.

        Raises:
            DockwrightError: it could not; the stack is then broken and gets replaced.
        """

    def close(self) -> None:
        """Close what is held open; the copy goes."""


class Constant:
    """For services that keep no state: nothing to remember, nothing to undo."""

    manner: Manner = "nothing"

    def __init__(self, service: Resettable) -> None:
        del service

    def capture(self) -> None:
        """Do nothing."""

    def reset(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


class Recreate(Constant):
    """A new container with empty volumes, which initialises itself again."""

    manner: Manner = "recreate"


class Maker(Protocol):
    """Makes the strategy of one service: a strategy class, or a factory."""

    def __call__(self, service: Resettable) -> Strategy:
        """Return the strategy for `service`."""


def choose(service: Resettable, makers: Mapping[str, Maker]) -> Strategy:
    """Return the strategy that the service declares, else `recreate`.

    Raises:
        ComposeError: it declares one that does not exist; lists those that do.
    """
    name = service.spec.reset or "recreate"
    if name not in makers:
        raise ComposeError(
            f"no reset strategy {name!r}",
            path=f"services.{service.spec.name}.x-dockwright.reset",
            hint=f"the strategies are: {', '.join(sorted(makers))}",
        )
    return makers[name](service)
