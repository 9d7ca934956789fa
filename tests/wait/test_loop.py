"""The loop: when it checks, how it ends, what it says. On a clock that never sleeps."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from itertools import chain, repeat

import pytest

from dockwright.errors import WaitCancelledError, WaitFailedError, WaitTimeoutError
from dockwright.wait import (
    Cadence,
    CancelToken,
    Continue,
    Failed,
    Outcome,
    Ready,
    WaitOptions,
    until,
)
from tests._support.clocks import FakeClock


def scripted(*outcomes: Outcome) -> Callable[[], Outcome]:
    answers: Iterator[Outcome] = chain(outcomes, repeat(outcomes[-1]))
    return lambda: next(answers)


def test_a_condition_that_holds_is_seen_by_the_first_check_without_a_pause() -> None:
    clock = FakeClock()
    report = until(scripted(Ready(7)), subject="x", options=WaitOptions(clock=clock))
    assert (report.elapsed_s, report.attempts, report.value) == (0.0, 1, 7)
    assert clock.pauses == []


def test_a_wait_ends_in_time_where_a_test_has_stopped_the_clock(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("time.monotonic", lambda: 0.0)  # as freezegun does
    with pytest.raises(WaitTimeoutError):
        until(scripted(Continue("no")), subject="x", timeout_s=0.1)


def test_pauses_grow_with_the_time_waited_from_20_ms_to_250_ms() -> None:
    clock = FakeClock()
    with pytest.raises(WaitTimeoutError):
        until(scripted(Continue("no")), subject="x", timeout_s=20, options=WaitOptions(clock=clock))
    assert clock.pauses[0] == 0.020
    assert clock.pauses[:-1] == sorted(clock.pauses[:-1])
    assert max(clock.pauses) == 0.250
    assert 100 < len(clock.pauses) < 160  # 20 s / 250 ms, and the quicker ones at the beginning


def test_a_timeout_shows_the_time_the_checks_and_what_was_seen_last() -> None:
    clock = FakeClock()
    check = scripted(Continue("refused"), Continue("status 503"))
    with pytest.raises(WaitTimeoutError) as caught:
        until(check, subject="web to answer", timeout_s=0.05, options=WaitOptions(clock=clock))
    assert str(caught.value) == ("waited 50 ms (4 checks) for web to answer; last seen: status 503")
    assert caught.value.elapsed_s == pytest.approx(0.05)
    assert caught.value.attempts == 4


def test_the_last_check_is_made_when_the_time_is_up_and_counts() -> None:
    clock = FakeClock()
    report = until(
        lambda: Ready() if clock.time_s >= 1.0 else Continue("no"),
        subject="x",
        timeout_s=1.0,
        options=WaitOptions(clock=clock),
    )
    assert report.elapsed_s == pytest.approx(1.0)


def test_a_timeout_of_zero_checks_once() -> None:
    with pytest.raises(WaitTimeoutError, match=r"waited \d ms \(1 check\) for x; last seen: no"):
        until(
            scripted(Continue("no")),
            subject="x",
            timeout_s=0,
            options=WaitOptions(clock=FakeClock()),
        )


def test_a_failure_ends_the_wait_with_its_message_and_hint() -> None:
    clock = FakeClock()
    check = scripted(Continue("no"), Failed("it exited with code 3", hint="read its log"))
    with pytest.raises(WaitFailedError) as caught:
        until(check, subject="db to be healthy", options=WaitOptions(clock=clock))
    assert str(caught.value) == (
        "stopped waiting for db to be healthy after 20 ms: it exited with code 3\n"
        "  hint: read its log"
    )
    assert caught.value.attempts == 2


def test_a_wakeup_leads_to_a_check_at_once() -> None:
    wakeup = threading.Event()
    clock = FakeClock(during=lambda _: wakeup.set())
    report = until(
        scripted(Continue("no"), Continue("no"), Ready()),
        subject="x",
        wakeup=wakeup,
        options=WaitOptions(clock=clock),
    )
    assert (report.elapsed_s, report.attempts) == (0.0, 3)


def test_a_wakeup_during_a_check_is_not_lost() -> None:
    wakeup = threading.Event()
    seen: list[bool] = []

    def check() -> Outcome:
        if not seen:
            wakeup.set()
        seen.append(True)
        return Continue("no") if len(seen) == 1 else Ready()

    report = until(check, subject="x", wakeup=wakeup, options=WaitOptions(clock=FakeClock()))
    assert (report.elapsed_s, report.attempts) == (0.0, 2)


def test_a_cancel_ends_the_wait_with_its_reason() -> None:
    token = CancelToken()
    clock = FakeClock(during=lambda now: token.cancel("db failed") if now > 0.1 else None)
    with pytest.raises(WaitCancelledError) as caught:
        until(
            scripted(Continue("no")),
            subject="web to be healthy",
            options=WaitOptions(clock=clock, cancel=token),
        )
    assert str(caught.value) == "cancelled the wait for web to be healthy after 120 ms: db failed"


def test_a_cancelled_token_ends_later_waits_before_their_first_check() -> None:
    token = CancelToken()
    token.cancel("the run is ending")
    token.cancel("another reason")
    with pytest.raises(WaitCancelledError, match="the run is ending"):
        until(
            lambda: pytest.fail("checked after the cancel"),
            subject="x",
            options=WaitOptions(cancel=token),
        )


def test_a_cancel_from_another_thread_ends_a_real_wait_at_once() -> None:
    token = CancelToken()
    threading.Timer(0.05, token.cancel, ["enough"]).start()
    slow = Cadence(first_s=30, ceiling_s=30)
    with pytest.raises(WaitCancelledError) as caught:
        until(
            scripted(Continue("no")), subject="x", options=WaitOptions(cadence=slow, cancel=token)
        )
    assert caught.value.elapsed_s < 5


@pytest.mark.parametrize("timeout", [-1, float("inf"), float("nan")])
def test_an_impossible_timeout_is_refused(timeout: float) -> None:
    with pytest.raises(ValueError, match="a timeout is finite and not negative"):
        until(scripted(Ready()), subject="x", timeout_s=timeout)


@pytest.mark.parametrize("timeout", ["5", None, True])
def test_a_timeout_must_be_a_number(timeout: object) -> None:
    with pytest.raises(TypeError, match="a timeout is a number of seconds, not"):
        until(scripted(Ready()), subject="x", timeout_s=timeout)  # type: ignore[arg-type]  # meant


@pytest.mark.parametrize(
    ("first", "ceiling", "share", "message"),
    [
        (0, 1, 0.1, "0 < first_s <= ceiling_s"),
        (2, 1, 0.1, "0 < first_s <= ceiling_s, not 2 and 1"),
        (1, float("inf"), 0.1, "0 < first_s <= ceiling_s"),
        (1, 1, 1.5, "a cadence's share is between 0 and 1, not 1.5"),
        (1, 1, float("nan"), "a cadence's share"),
    ],
)
def test_an_impossible_cadence_is_refused(
    first: float, ceiling: float, share: float, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Cadence(first_s=first, ceiling_s=ceiling, share=share)


def test_a_pause_is_as_long_as_an_expensive_check_took_up_to_the_ceiling() -> None:
    cadence = Cadence()
    assert cadence.pause_s(0.0, cost_s=0.1) == 0.1
    assert cadence.pause_s(0.0, cost_s=3.0) == 0.250
