"""Merging the lines of several services."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from dockwright.cli.stack.logs import FollowedLogs, merge_ended
from dockwright.engine import LogLine
from dockwright.errors import EngineUnreachableError


def lines(*times: float) -> Iterator[LogLine]:
    return (LogLine("stdout", f"at {time}", time) for time in times)


def test_ended_logs_are_merged_by_time() -> None:
    merged = merge_ended({"a": lines(1, 4, 5), "b": lines(2, 3, 6)})
    assert [(each.service, each.line.time_s) for each in merged] == [
        ("a", 1),
        ("b", 2),
        ("b", 3),
        ("a", 4),
        ("a", 5),
        ("b", 6),
    ]


def test_followed_logs_are_merged_by_time_and_end() -> None:
    merged = FollowedLogs({"a": lines(*range(0, 2000, 2)), "b": lines(*range(1, 2000, 2))})
    assert [each.line.time_s for each in merged] == list(range(2000))


def test_a_silent_service_does_not_delay_the_others() -> None:
    goes_on = threading.Event()

    def silent() -> Iterator[LogLine]:
        assert goes_on.wait(30)
        yield from lines(3)

    merged = iter(FollowedLogs({"a": lines(1, 2), "silent": silent()}))
    assert [next(merged).line.time_s for _ in range(2)] == [1, 2]
    goes_on.set()
    assert [each.line.time_s for each in merged] == [3]


def test_lines_read_before_a_failure_are_shown() -> None:
    def broken() -> Iterator[LogLine]:
        yield from lines(1)
        raise EngineUnreachableError("gone")

    merged = iter(FollowedLogs({"a": broken()}))
    assert next(merged).line.time_s == 1
    with pytest.raises(EngineUnreachableError, match="gone"):
        next(merged)
