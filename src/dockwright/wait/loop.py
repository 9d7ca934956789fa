"""The one loop that waits: check, sleep until something happens or a pause is over, check again."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar

from dockwright._text import duration
from dockwright.errors import WaitCancelledError, WaitFailedError, WaitTimeoutError
from dockwright.settings import POLL_CEILING_S, POLL_FIRST_S

if TYPE_CHECKING:
    from dockwright.wait.target import Target


@dataclass(frozen=True, slots=True)
class Continue:
    """The condition does not hold yet; `message` says what was seen instead."""

    message: str


@dataclass(frozen=True, slots=True)
class Ready:
    """The condition holds; `value` is what the check found, if it found something of use."""

    value: Any = None  # each check's own: a log line, a status code...


@dataclass(frozen=True, slots=True)
class Failed:
    """The condition can no longer hold; `message` says why."""

    message: str
    hint: str | None = None


Outcome: TypeAlias = Continue | Ready | Failed


@dataclass(frozen=True, slots=True)
class Cadence:
    """The pauses of a wait: short enough to notice soon, long enough to spare the processor.

    Args:
        first_s: the shortest pause, in seconds.
        ceiling_s: the longest pause, in seconds.
        share: the pause as a part of the time waited so far.
    """

    first_s: float = POLL_FIRST_S
    ceiling_s: float = POLL_CEILING_S
    share: float = 0.05

    def __post_init__(self) -> None:
        if not 0 < self.first_s <= self.ceiling_s < math.inf:
            raise ValueError(
                f"a cadence needs 0 < first_s <= ceiling_s, not {self.first_s} and {self.ceiling_s}"
            )
        if not 0 <= self.share <= 1:
            raise ValueError(f"a cadence's share is between 0 and 1, not {self.share}")

    def pause_s(self, elapsed_s: float, *, cost_s: float = 0.0) -> float:
        """Return how long to pause, in seconds.

        Args:
            elapsed_s: how long it was waited so far, in seconds.
            cost_s: how long the last check took: the pause is as long, up to the ceiling, so that
                an expensive check keeps a processor at most half busy.
        """
        return min(max(self.first_s, self.share * elapsed_s, cost_s), self.ceiling_s)


class Clock(Protocol):
    """What a wait reads the time from and sleeps by; tests have one that never sleeps."""

    def now(self) -> float:
        """Return the time in seconds, from any fixed start; it never goes back."""

    def wait(self, event: threading.Event, timeout_s: float) -> bool:
        """Sleep until `event` is set, at most `timeout_s` seconds; return whether it was set."""


class SystemClock:
    """The machine's monotonic clock, also in tests that have stopped it."""

    # freezegun replaces the function in every module, but not in a class: a wait has to time out.
    _monotonic = staticmethod(time.monotonic)

    def now(self) -> float:
        """Return seconds since some fixed moment."""
        return self._monotonic()

    def wait(self, event: threading.Event, timeout_s: float) -> bool:
        """Sleep until `event` is set, at most `timeout_s` seconds; return whether it was set."""
        return event.wait(timeout_s)


class CancelToken:
    """Ends waits from another thread: all that were given it, now and later."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wakeups: list[threading.Event] = []
        self._reason: str | None = None

    @property
    def reason(self) -> str | None:
        """Why the waits were cancelled; None: they were not."""
        return self._reason

    def cancel(self, reason: str) -> None:
        """Cancel every wait that has this token; the first reason stays.

        Args:
            reason: why, for the error's message: ``the run is ending``.
        """
        with self._lock:
            self._reason = self._reason or reason
            for wakeup in self._wakeups:
                wakeup.set()

    @contextlib.contextmanager
    def waking(self, wakeup: threading.Event) -> Iterator[None]:
        """Set `wakeup` when the token is cancelled meanwhile."""
        with self._lock:
            self._wakeups.append(wakeup)
        try:
            yield
        finally:
            with self._lock:
                self._wakeups.remove(wakeup)


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
        value: what the last check found.
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
        check: checks the condition; returns `Continue`, `Ready` or `Failed`.
        subject: what is waited for, for messages: ``db to be healthy``.
        timeout_s: how long to wait, in seconds.
        wakeup: set it when something happened; it is cleared here.
        options: cadence, cancel token and clock, where the defaults do not do.

    Raises:
        WaitTimeoutError: it was not ready in time; the message says what the last check saw.
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
        f"cancelled the wait for {subject} after {duration(elapsed_s)}: {reason}",
        elapsed_s=elapsed_s,
    )


T = TypeVar("T")


class Wait:
    """One running wait.

    Attributes:
        target: what is waited for.
        options: the cadence, cancel token and clock.
        wakeup: to be set, from any thread, when it is worth checking again.
        closing: what to close when the wait ends, however it ends.
    """

    def __init__(self, target: Target, timeout_s: float, options: WaitOptions) -> None:
        self.target = target
        self.options = options
        self.wakeup = threading.Event()
        self.closing = ExitStack()
        self._ends = options.clock.now() + timeout_s
        self._shared: dict[type[Any], Any] = {}

    def remaining_s(self) -> float:
        """Return how long the wait still lasts, in seconds; never negative."""
        return max(0.0, self._ends - self.options.clock.now())

    def shared(self, kind: type[T], make: Callable[[], T]) -> T:
        """Return the wait's one object of this kind, made on first use."""
        if kind not in self._shared:
            self._shared[kind] = make()
        found: T = self._shared[kind]
        return found
