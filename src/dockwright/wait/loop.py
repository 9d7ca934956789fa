"""The one loop that waits: check, sleep until something happens or a pause is over, check again."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from dockwright._text import duration
from dockwright.errors import WaitCancelledError, WaitFailedError, WaitTimeoutError
from dockwright.wait.cadence import Cadence
from dockwright.wait.clock import CancelToken, Clock, SystemClock
from dockwright.wait.outcome import Continue, Failed, Outcome, Ready


@dataclass(frozen=True, slots=True)
class WaitOptions:
    """How to wait.

    Args:
        cadence: the pauses between checks while nothing happens.
        cancel: ends the wait from another thread; one token may be given to many waits.
        clock: where the time comes from.
    """

    cadence: Cadence = field(default_factory=Cadence)
    cancel: CancelToken = field(default_factory=CancelToken)
    clock: Clock = field(default_factory=SystemClock)


@dataclass(frozen=True, slots=True)
class WaitReport:
    """How a wait ended well.

    Attributes:
        elapsed_s: how long it took, in seconds.
        attempts: how often the condition was checked.
        value: what the check that found it handed out.
    """

    elapsed_s: float
    attempts: int
    value: Any = None  # each check's own


def until(
    check: Callable[[], Outcome],
    *,
    subject: str,
    timeout_s: float = 60.0,
    wakeup: threading.Event | None = None,
    options: WaitOptions | None = None,
) -> WaitReport:
    """Wait until `check` returns `Ready`.

    It is checked at once, then whenever `wakeup` is set, and after each pause of the cadence in any
    case, since events can be missed; a last time when the time is up.

    Args:
        check: looks at the condition; returns `Continue`, `Ready` or `Failed`.
        subject: what is waited for, for messages: ``db to be healthy``.
        timeout_s: how long to wait, in seconds.
        wakeup: whoever sees that something happened sets it; it is cleared here.
        options: cadence, cancel token and clock, where the defaults do not do.

    Raises:
        WaitTimeoutError: it was not ready in time; tells what the last check saw.
        WaitFailedError: the check returned `Failed`.
        WaitCancelledError: the cancel token was cancelled.
    """
    require_duration(timeout_s)
    wakeup = wakeup or threading.Event()
    options = options or WaitOptions()
    began = options.clock.now()
    with options.cancel.waking(wakeup):
        attempts = 0
        while True:
            attempts += 1
            wakeup.clear()  # before the check: what happens during it is looked at again
            if options.cancel.reason is not None:
                raise _cancelled(subject, options.cancel.reason, options.clock.now() - began)
            outcome = check()
            elapsed_s = options.clock.now() - began
            match outcome:
                case Ready(value):
                    return WaitReport(elapsed_s, attempts, value)
                case Failed():
                    raise _failed(subject, outcome, elapsed_s, attempts)
                case Continue() if elapsed_s >= timeout_s:
                    raise _timed_out(subject, outcome, elapsed_s, attempts)
            pause_s = min(options.cadence.pause_s(elapsed_s), timeout_s - elapsed_s)
            options.clock.wait(wakeup, pause_s)


def require_duration(timeout_s: float) -> None:
    """Raise unless `timeout_s` is a number of seconds that a wait can last."""
    if isinstance(timeout_s, bool) or not isinstance(timeout_s, int | float):
        raise TypeError(f"a timeout is a number of seconds, not {timeout_s!r}")
    if not 0 <= timeout_s < math.inf:
        raise ValueError(f"a timeout is finite and not negative, not {timeout_s}")


def _timed_out(
    subject: str, outcome: Continue, elapsed_s: float, attempts: int
) -> WaitTimeoutError:
    checks = "1 check" if attempts == 1 else f"{attempts} checks"
    return WaitTimeoutError(
        f"waited {duration(elapsed_s)} ({checks}) for {subject}; last seen: {outcome.message}",
        elapsed_s=elapsed_s,
        attempts=attempts,
    )


def _failed(subject: str, outcome: Failed, elapsed_s: float, attempts: int) -> WaitFailedError:
    return WaitFailedError(
        f"stopped waiting for {subject} after {duration(elapsed_s)}: {outcome.message}",
        elapsed_s=elapsed_s,
        attempts=attempts,
        hint=outcome.hint,
    )


def _cancelled(subject: str, reason: str, elapsed_s: float) -> WaitCancelledError:
    return WaitCancelledError(
        f"called off the wait for {subject} after {duration(elapsed_s)}: {reason}",
        elapsed_s=elapsed_s,
    )
