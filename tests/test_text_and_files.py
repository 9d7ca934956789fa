"""Sizes, durations and lists in words; locks and writes that several processes share."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from dockwright._files import locked, write_file
from dockwright._text import age, counted, duration, format_size, listed, parse_duration


@pytest.mark.parametrize(
    ("number", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (1_500_000, "1.5 MB"), (3e12, "3.0 TB")],
)
def test_sizes_use_powers_of_1000(number: float, text: str) -> None:
    assert format_size(number) == text


def test_durations() -> None:
    assert [duration(0.24), duration(3.21)] == ["240 ms", "3.2 s"]
    assert [age(0.5), age(725), age(3 * 86_400 + 4 * 3600), age(None)] == [
        "0s",
        "12m 5s",
        "3d 4h",
        "",
    ]


@pytest.mark.parametrize(
    ("text", "seconds"), [("2.5", 2.5), ("250ms", 0.25), ("1m30s", 90), (" 1H ", 3600)]
)
def test_a_duration_is_read_in_seconds(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "ten", "5 m", "5x", "-1s"])
def test_an_invalid_duration_is_answered_with_examples(text: str) -> None:
    with pytest.raises(ValueError, match="expected a duration, such as 250ms, 30s, 10m or 1h30m"):
        parse_duration(text)


def test_counts_and_lists_are_words() -> None:
    assert [counted(1, "volume"), counted(2, "process", "processes")] == ["1 volume", "2 processes"]
    assert [listed(["a"]), listed(["a", "b", "c"])] == ["a", "a, b and c"]


def test_a_lock_is_exclusive_or_shared_and_freed_at_the_end(tmp_path: Path) -> None:
    file = tmp_path / "new" / "a.lock"
    with locked(file, create=True) as first, locked(file, timeout_s=0) as second:
        assert (first, second) == (True, False)
    with locked(file, shared=True) as first, locked(file, shared=True, timeout_s=0) as second:
        assert (first, second) == (True, True)
    with locked(file, timeout_s=0) as held:
        assert held


def test_a_lock_needs_something_to_lock(tmp_path: Path) -> None:
    with locked(tmp_path / "nothing") as held:
        assert not held


def test_a_lock_is_freed_with_its_process(tmp_path: Path) -> None:
    script = (
        "import sys, pathlib; from dockwright._files import locked\n"
        "with locked(pathlib.Path(sys.argv[1]), create=True): print('held', flush=True); input()"
    )
    file = tmp_path / "a.lock"
    holder = subprocess.Popen(
        [sys.executable, "-c", script, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    with locked(file, timeout_s=0) as held:
        assert not held
    holder.kill()
    holder.communicate()
    with locked(file, timeout_s=30) as held:
        assert held


def test_a_lock_moves_to_the_new_file_when_the_last_holder_removed_it(tmp_path: Path) -> None:
    file = tmp_path / "a.lock"
    with locked(file, create=True):
        file.unlink()
        with locked(file, create=True, timeout_s=0) as held:
            assert held


def test_a_file_is_replaced_completely_or_not_at_all(tmp_path: Path) -> None:
    file = tmp_path / "state.json"
    write_file(file, b"old")
    write_file(file, b"new", mode=0o640, sync=True)
    assert (file.read_bytes(), file.stat().st_mode & 0o777) == (b"new", 0o640)
    (tmp_path / ".state.json.new").mkdir()
    with pytest.raises(OSError, match="directory"):
        write_file(file, b"lost")
    assert file.read_bytes() == b"new"
