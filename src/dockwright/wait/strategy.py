"""What a condition is, what it is given while it waits, and `wait_for`, which waits for one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, TypeAlias

from dockwright.errors import WaitTimeoutError
from dockwright.wait.loop import (
    Continue,
    Outcome,
    Wait,
    WaitOptions,
    WaitReport,
    require_duration,
    until,
)

if TYPE_CHECKING:
    from dockwright.wait.target import Target

Check: TypeAlias = Callable[[], Outcome]
"""Looks at a condition once; must not block."""


class WaitCondition(Protocol):
    """A condition to wait for; its text completes a sentence: ``to be healthy``."""

    @property
    def survives_exit(self) -> bool:
        """Whether it may come true after the target has exited; otherwise an exit fails it."""

    def begin(self, wait: Wait) -> Check:
        """Start to observe the condition and return its check.

        What is opened here is registered with `wait.closing`.
        """


def wait_for(
    target: Target,
    strategy: WaitCondition,
    *,
    timeout_s: float = 60.0,
    options: WaitOptions | None = None,
) -> WaitReport:
    """Wait until `strategy`'s condition holds for `target`.

    Args:
        target: a container, a process, or just this host.
        strategy: the condition.
        timeout_s: how long to wait, in seconds.
        options: cadence, cancel token and clock, where the defaults do not do.

    Raises:
        WaitTimeoutError: not in time; the message has what was last seen, the target's state, its
            exit code and its last log lines.
        WaitFailedError: it can no longer hold, for example because the container exited.
        WaitCancelledError: the options' cancel token was cancelled.
        EngineError: the engine could not be asked.
    """
    require_duration(timeout_s)
    options = options or WaitOptions()
    wait = Wait(target, timeout_s, options)
    with wait.closing:
        check = begin_guarded(strategy, wait)
        try:
            return until(
                check,
                subject=f"{target.name} {strategy}",
                timeout_s=timeout_s,
                wakeup=wait.wakeup,
                options=options,
            )
        except WaitTimeoutError as error:
            raise WaitTimeoutError(
                "\n".join([error.message, *target.diagnosis()]),
                elapsed_s=error.elapsed_s,
                attempts=error.attempts,
            ) from None


def begin_guarded(strategy: WaitCondition, wait: Wait) -> Check:
    """Begin `strategy`; unless it survives an exit, its check fails once the target has exited."""
    if strategy.survives_exit:
        return strategy.begin(wait)
    state_of = wait.target.begin_state(wait)
    check = strategy.begin(wait)

    def guarded() -> Outcome:
        outcome = check()
        if isinstance(outcome, Continue) and (state := state_of()).has_exited:
            return wait.target.failure(state)
        return outcome

    return guarded
