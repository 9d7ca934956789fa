"""What a reset strategy is, and what it may do with its service."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from string import Template
from typing import Any, Literal, Protocol

from dockwright.engine import Engine
from dockwright.errors import ComposeError, StackBrokenError, StackError
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

    def layered(self) -> bool:
        """Return whether these volumes are layers: a new container has them as at the baseline."""

    def restore_volumes(self) -> bool:
        """Fill the volumes of a new container from the cached baseline, unless they are layers.

        Returns:
            Whether they are as at the baseline now; False: none is kept.
        """

    def address(self, port: int) -> Address:
        """Return the address that reaches its port from this process."""

    def environments(self) -> Sequence[Mapping[str, str]]:
        """Return the variables of the copy's other services and native processes."""


class ResetStrategy(Protocol):
    """Brings one service back to its baseline; `manner` says how.

    ``nothing``: it never changes. ``in place``: `reset` undoes all changes while it runs.
    ``recreate``: it gets a new container with empty volumes, which `reset` may fill before the
    container starts. The manner may depend on what `capture` finds.

    A strategy that knows all that its server keeps may have the attribute `owns`: a pattern of the
    names, directly in the server's data directory, that the server writes and the strategy brings
    back; those of directories end with a slash. Any other file that changes is a test's doing.

    A strategy that knows what its last `reset` undid may have two more attributes: `undone`, a
    sequence of `Trace`; and `curious`, which is set to True before a `reset` that may take longer
    to find out the names and numbers.

    A strategy that can tell quickly that nothing was changed may have a method `untouched`. It
    returns True only if a `reset` would surely find nothing to undo, and changes nothing itself.

    One thread at a time calls these methods; `close` may come from another one.
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


def is_untouched(strategy: ResetStrategy) -> bool:
    """Return whether a strategy is sure that nothing was changed."""
    look: Callable[[], bool] | None = getattr(strategy, "untouched", None)
    return look is not None and look()


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
    """A new container whose volumes hold the cached baseline; without one they are empty."""

    manner: Manner = "recreate"

    def __init__(self, service: Resettable) -> None:
        self._service = service

    def reset(self) -> bool:
        """Fill the volumes of the new container, which has not started yet, if necessary."""
        self._service.restore_volumes()
        return True


class Maker(Protocol):
    """Makes the strategy of one service: a strategy class, or a factory."""

    def __call__(self, service: Resettable) -> ResetStrategy:
        """Return the strategy for `service`."""


class DisposableServer(Protocol):
    """What is special about one kind of server in a copy whose data nobody needs after a crash."""

    def without_fsync(self, body: Mapping[str, Any], image: Mapping[str, Any]) -> dict[str, Any]:
        """Return the container's body, changed so that the server does not wait for the disk.

        Args:
            body: of ``POST /containers/create``.
            image: the image's ``Config``. The body of another kind of server stays as it is.
        """

    def spare_the_disk(self, service: Resettable) -> None:
        """Let copies of a running server's volume not wait for the disk, whatever starts them.

        Args:
            service: perhaps a server of this kind.
        """

    def lost_in_a_crash(self, paths: Iterable[str]) -> str:
        """Say what a server of this kind would lose in a crash; empty: nothing.

        Args:
            paths: what is in one volume.
        """


def wrong_options(service: Resettable, message: str) -> ComposeError:
    """Return the error for invalid options."""
    return ComposeError(message, path=f"services.{service.spec.name}.x-dockwright.options")


def check_options(service: Resettable, *known: str) -> None:
    """Refuse options that the strategy does not know.

    Raises:
        ComposeError: there is one; lists those that it knows.
    """
    for name in service.spec.options:
        if name not in known:
            raise wrong_options(
                service, f"unknown option {name!r}; the options are: {', '.join(known)}"
            )


def variables(config: Mapping[str, Any]) -> dict[str, str]:
    """Return the variables in a container's ``Config``."""
    pairs = (entry.partition("=") for entry in config.get("Env") or ())
    return {name: value for name, _, value in pairs}


@dataclass(frozen=True, slots=True)
class Environment:
    """The variables and the command line of a container, the image's own ones included."""

    service: Resettable
    variables: Mapping[str, str]
    words: Sequence[str]

    @classmethod
    def of(cls, service: Resettable) -> Environment:
        """Read them from the container."""
        config = service.engine.inspect_container(service.container())["Config"]
        command = [*(config.get("Entrypoint") or ()), *(config.get("Cmd") or ())]
        # "sh -c 'redis-server --requirepass ...'" is one word to the engine.
        words = [word for part in command for word in (part.split() if " " in part else [part])]
        return cls(service, variables(config), words)

    def argument(self, option: str) -> str | None:
        """Return what follows `option` on the command line, with variables filled in."""
        for word, following in pairwise(self.words):
            if word == option:
                return Template(following.strip("'\"")).safe_substitute(self.variables)
        return None

    def first(self, *names: str) -> str | None:
        """Return the first of these variables that is set; ``NAME_FILE`` counts as ``NAME``.

        Raises:
            StackError: the file that a ``NAME_FILE`` names cannot be read.
        """
        for name in names:
            if value := self.variables.get(name):
                return value
            if file := self.variables.get(f"{name}_FILE"):
                return self._content(file)
        return None

    def _content(self, file: str) -> str:
        result = self.service.engine.exec(self.service.container(), ["cat", file], user="0")
        if result.exit_code:
            raise StackError(
                f"service {self.service.spec.name}: cannot read {file} in its container: "
                f"{result.stderr.decode(errors='replace').strip()}"
            )
        return result.stdout.decode().rstrip("\n")


TIMEOUT_S = 10.0
_PAUSE_S = 0.001


def until_none(count: Callable[[], int], what: str) -> None:
    """Ask until the answer is 0.

    Args:
        count: asks.
        what: what is counted, for the message.

    Raises:
        StackBrokenError: it takes longer than 10 s.
    """
    deadline = time.monotonic() + TIMEOUT_S
    pause = threading.Event()
    while left := count():
        if time.monotonic() > deadline:
            raise StackBrokenError(f"there are still {left} {what} after {TIMEOUT_S:g} s")
        pause.wait(_PAUSE_S)
