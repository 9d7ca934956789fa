"""Conditions on containers and commands: it runs, it exited, a command succeeds in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dockwright.wait.loop import Continue, Outcome, Ready, Wait
from dockwright.wait.strategy import Check
from dockwright.wait.worker import begin_probing


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


@dataclass(frozen=True, slots=True)
class Exec:
    """A command, run again and again in the container, exits with a code.

    Of a native process: it is run on this host.

    Args:
        argv: the command and its arguments, or one string for ``/bin/sh -c``.
        code: the exit code that is wanted.
        attempt_s: how long one run may take, in seconds.
    """

    argv: Sequence[str] | str
    code: int = 0
    attempt_s: float = 10.0

    def __post_init__(self) -> None:
        if not self.argv:
            raise ValueError("the command is empty")

    @property
    def survives_exit(self) -> bool:
        """Nothing can be run in a container that exited."""
        return False

    def __str__(self) -> str:
        shown = self.argv if isinstance(self.argv, str) else " ".join(self.argv)
        return f"to run {shown[:80]!r} with exit code {self.code}"

    def begin(self, wait: Wait) -> Check:
        """Start to run the command repeatedly."""
        argv = ["/bin/sh", "-c", self.argv] if isinstance(self.argv, str) else list(self.argv)

        def probe() -> Outcome:
            limit_s = max(0.1, min(self.attempt_s, wait.remaining_s()))
            result = wait.target.run(argv, timeout_s=limit_s)
            if result is None:
                return Continue(f"the command took longer than {limit_s:.1f} s")
            if result.exit_code == self.code:
                return Ready(result.output)
            return Continue(describe_exit(result.exit_code, result.output))

        return begin_probing(wait, "exec", probe)


def describe_exit(code: int, output: str) -> str:
    """Say how a command ended, with the end of its output."""
    end = " ".join(output[-200:].split())
    return f"exit code {code}: {end}" if end else f"exit code {code}, without output"
