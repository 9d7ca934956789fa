"""Durations and byte sizes, and that what is written can be read again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockwright.compose.units import format_duration, parse_bytes, parse_duration

SECOND = 10**9


@pytest.mark.parametrize(
    ("text", "nanoseconds", "written"),
    [
        ("90s", 90 * SECOND, "1m30s"),
        ("1h", 3600 * SECOND, "1h0m0s"),
        ("1m30.5s", 90 * SECOND + SECOND // 2, "1m30.5s"),
        ("1.5h", 5400 * SECOND, "1h30m0s"),
        ("300ms", 3 * SECOND // 10, "300ms"),
        ("1500us", 1_500_000, "1.5ms"),
        ("1µs", 1000, "1µs"),
        ("7ns", 7, "7ns"),
        ("0", 0, "0s"),
        ("-5s", -5 * SECOND, "-5s"),
        ("+.5s", SECOND // 2, "500ms"),
        ("1h1ns", 3600 * SECOND + 1, "1h0m0.000000001s"),
    ],
)
def test_durations(text: str, nanoseconds: int, written: str) -> None:
    assert parse_duration(text) == nanoseconds
    assert format_duration(nanoseconds) == written


@pytest.mark.parametrize(
    "text", ["", "s", "1", "1d", "1 s", "1s2", "--1s", "1.2.3s", "300000h9999999h"]
)
def test_invalid_durations(text: str) -> None:
    with pytest.raises(ValueError, match=r"duration|unit|years"):
        parse_duration(text)


@given(st.integers(-(2**63) + 1, 2**63 - 1))
def test_a_written_duration_reads_as_itself(nanoseconds: int) -> None:
    assert parse_duration(format_duration(nanoseconds)) == nanoseconds


@given(st.lists(st.tuples(st.integers(0, 999), st.sampled_from(["h", "m", "s", "ms", "us", "ns"]))))
def test_parts_of_a_duration_add_up(parts: list[tuple[int, str]]) -> None:
    whole = "".join(f"{number}{unit}" for number, unit in parts) or "0"

    assert parse_duration(whole) == sum(parse_duration(f"{n}{unit}") for n, unit in parts)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("1000", 1000),
        ("64k", 65536),
        ("1.5gb", 1610612736),
        ("10KiB", 10240),
        ("1 m", 1048576),
        ("5b", 5),
        ("1000.7", 1000),
        ("2T", 2 * 1024**4),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "m", "-1", "1e3", "1.2.3k", "1x", "1 0", "1  m"])
def test_invalid_sizes(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size"):
        parse_bytes(text)


@given(st.integers(0, 2**32), st.sampled_from(["", "b", "k", "kb", "KiB", "M", "g"]))
def test_a_unit_is_a_power_of_1024(number: int, unit: str) -> None:
    power = {"": 0, "b": 0, "k": 1, "m": 2, "g": 3}[unit[:1].lower()]

    assert parse_bytes(f"{number}{unit}") == int(float(number) * 1024**power)
