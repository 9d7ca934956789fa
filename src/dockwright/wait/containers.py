"""Waiting for a container to run, or to exit."""

from __future__ import annotations

from dataclasses import dataclass

from dockwright.errors import UsageError
from dockwright.wait.outcome import Continue, Failed, Outcome, Ready
from dockwright.wait.strategy import Check, Wait
from dockwright.wait.target import ContainerTarget, Target


@dataclass(frozen=True, slots=True)
class Running:
    """The container runs; of a native process: it has not ended."""

    @property
    def survives_exit(self) -> bool:
        """An exit ends the wait."""
        return False

    def __str__(self) -> str:
        return "to run"

    def begin(self, wait: Wait) -> Check:
        """Start to follow the container's state."""
        if not isinstance(wait.target, ContainerTarget):
            return lambda: Ready()  # a process runs from its birth; the guard tells its end
        watch = wait.target.state_watch(wait)

        def check() -> Outcome:
            state = watch.state()
            return Ready() if state.status == "running" else Continue(f"it {state}")

        return check


@dataclass(frozen=True, slots=True)
class Exited:
    """The container exited and nothing restarts it.

    Args:
        code: the exit code that is wanted, another is a failure; None: any.
    """

    code: int | None = 0

    @property
    def survives_exit(self) -> bool:
        """An exit is what is waited for."""
        return True

    def __str__(self) -> str:
        return "to exit" if self.code is None else f"to exit with code {self.code}"

    def begin(self, wait: Wait) -> Check:
        """Start to follow the container's state."""
        target = require_container(wait.target, self)
        watch = target.state_watch(wait)

        def check() -> Outcome:
            state = watch.state()
            if not state.has_exited:
                return Continue(f"it {state}")
            if self.code is None or state.exit_code == self.code:
                return Ready(state.exit_code)
            return Failed("\n".join([f"it {state}", *target.tail()]), hint=state.hint)

        return check


def require_container(target: Target, strategy: object) -> ContainerTarget:
    """Return `target`, if it is a container.

    Raises:
        UsageError: it is something else.
    """
    if isinstance(target, ContainerTarget):
        return target
    raise UsageError(f"cannot wait for {target.name} {strategy}: it is not a container")
