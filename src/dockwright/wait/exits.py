"""Waiting for a container or process to run, or to exit."""

from __future__ import annotations

from dataclasses import dataclass

from dockwright.wait.outcome import Continue, Outcome, Ready
from dockwright.wait.strategy import Check, Wait


@dataclass(frozen=True, slots=True)
class Running:
    """The container or process runs."""

    @property
    def survives_exit(self) -> bool:
        """An exit ends the wait."""
        return False

    def __str__(self) -> str:
        return "to run"

    def begin(self, wait: Wait) -> Check:
        """Start to follow the state."""
        state_of = wait.target.begin_state(wait)

        def check() -> Outcome:
            state = state_of()
            return Ready() if state.status == "running" else Continue(f"it {state}")

        return check


@dataclass(frozen=True, slots=True)
class Exited:
    """The container or process exited and nothing restarts it.

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
        """Start to follow the state."""
        state_of = wait.target.begin_state(wait)

        def check() -> Outcome:
            state = state_of()
            if not state.has_exited:
                return Continue(f"it {state}")
            if self.code is None or state.exit_code == self.code:
                return Ready(state.exit_code)
            return wait.target.failure(state)

        return check
