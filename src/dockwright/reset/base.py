"""What a reset strategy is, and what it may do with its service."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Protocol

from dockwright.engine import Engine
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
    container starts. The manner may depend on what `capture` finds.

    A strategy that knows all that its server keeps may have the attribute `owns`: a pattern of the
    names, directly in the server's data directory, that the server writes and the strategy brings
    back; those of directories end with a slash. Any other file that changes is a test's doing.

    One thread at a time calls `capture` and `reset`; `close` may come from another one.
    """

    @property
    def manner(self) -> Manner:
        """How the service comes back."""

    def capture(self) -> None:
        """Remember the baseline; the service is ready and nobody uses it.

        Called again when the service got a new container that is at the baseline by itself.
        """

    def reset(self) -> bool:
        """Bring the service back to what `capture` saw; it serves again when this returns.

        Returns:
            Whether its clients lost their connections, so that they may need to recover.

        Raises:
            DockwrightError: it could not; the stack is then broken and gets replaced.
        """

    def close(self) -> None:
        """Let go of connections and threads; the copy is about to be removed."""


class Constant:
    """For services that keep no state: nothing to remember, nothing to undo."""

    manner: Manner = "nothing"

    def __init__(self, service: Resettable) -> None:
        del service

    def capture(self) -> None:
        """Do nothing."""

    def reset(self) -> bool:
        """Do nothing."""
        return False

    def close(self) -> None:
        """Do nothing."""


class Recreate(Constant):
    """A new container with empty volumes, which initialises itself again."""

    manner: Manner = "recreate"


class Maker(Protocol):
    """Makes the strategy of one service: a strategy class, or a factory."""

    def __call__(self, service: Resettable) -> Strategy:
        """Return the strategy for `service`."""
