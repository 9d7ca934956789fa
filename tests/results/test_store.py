"""Results on disk: concurrent writers, damage, bounds, other machines."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest

from dockwright.results import Result, ResultStore, store

RESULT = Result(
    test="test_a.py::test_it",
    environment="linux",
    made=1000.0,
    seconds=0.5,
    code={"test_a.py": ("1234", [1, -2]), "data.bin": ("5678", None)},
    files={"rows.json": "9abc"},
    conftests=(".",),
    variables={"MODE": "ef"},
    stacks={"default": {"spec": "0123"}},
)


@pytest.fixture
def saved(tmp_path: Path) -> ResultStore:
    found = ResultStore(tmp_path / "results")
    found.put(RESULT)
    return found


def only_file(saved: ResultStore) -> Path:
    [(file, _)] = saved.files()
    return file


def test_a_result_comes_back_as_it_was(saved: ResultStore) -> None:
    assert saved.get(RESULT.test, RESULT.environment) == RESULT


@pytest.mark.parametrize(
    ("test", "environment"), [("test_a.py::test_other", "linux"), (RESULT.test, "macos")]
)
def test_results_of_other_tests_and_environments_do_not_count(
    saved: ResultStore, test: str, environment: str
) -> None:
    assert saved.get(test, environment) is None


@pytest.mark.parametrize("position", range(0, 400, 7))
def test_a_damaged_result_is_none(saved: ResultStore, position: int) -> None:
    file = only_file(saved)
    content = bytearray(file.read_bytes())
    content[position] ^= 1
    file.write_bytes(content)
    assert saved.get(RESULT.test, RESULT.environment) is None


@pytest.mark.parametrize("size", [0, 1, 64, 65, 100])
def test_half_a_result_is_none(saved: ResultStore, size: int) -> None:
    file = only_file(saved)
    file.write_bytes(file.read_bytes()[:size])
    assert saved.get(RESULT.test, RESULT.environment) is None


def test_the_result_of_another_test_under_its_name_is_none(saved: ResultStore) -> None:
    mine = only_file(saved)
    saved.put(replace(RESULT, test="test_a.py::test_other"))
    other = next(file for file, _ in saved.files() if file != mine)
    shutil.copy(other, mine)
    assert saved.get(RESULT.test, RESULT.environment) is None


def test_a_result_of_another_format_is_none(
    saved: ResultStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "FORMAT", store.FORMAT + 1)
    assert saved.get(RESULT.test, RESULT.environment) is None


def test_a_test_that_failed_has_no_result(saved: ResultStore) -> None:
    saved.forget(RESULT.test, RESULT.environment)
    saved.forget(RESULT.test, RESULT.environment)
    assert saved.get(RESULT.test, RESULT.environment) is None


def test_directories_of_several_machines_are_merged_by_copying(tmp_path: Path) -> None:
    first, second = ResultStore(tmp_path / "a"), ResultStore(tmp_path / "b")
    other = replace(RESULT, test="test_b.py::test_it")
    first.put(RESULT)
    second.put(other)
    shutil.copytree(second.directory, first.directory, dirs_exist_ok=True)
    assert first.get(RESULT.test, RESULT.environment) == RESULT
    assert first.get(other.test, other.environment) == other


def test_the_least_recently_used_results_go_first(
    saved: ResultStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = only_file(saved).stat().st_size
    for number in range(5):
        saved.put(replace(RESULT, test=f"test_{number}"))
    for number, (file, _) in enumerate(sorted(saved.files())):
        os.utime(file, (time.time() - 60 * number, time.time() - 60 * number))
    kept = [file for file, _ in sorted(saved.files())][:2]
    monkeypatch.setattr(store, "MOST_BYTES", size * 2 + 10)
    saved.tidy()
    assert sorted(file for file, _ in saved.files()) == kept


def test_results_that_nobody_used_for_long_go(saved: ResultStore) -> None:
    then = time.time() - store.LONGEST_UNUSED_S - 60
    os.utime(only_file(saved), (then, then))
    saved.tidy()
    assert list(saved.files()) == []


def _write(directory: Path, number: int) -> None:
    mine = ResultStore(directory)
    for round_ in range(50):
        mine.put(replace(RESULT, seconds=float(number), made=float(round_)))
        mine.count_use(1, 0.5)


def test_writers_at_the_same_time_leave_whole_results(tmp_path: Path) -> None:
    processes = [
        multiprocessing.get_context("spawn").Process(target=_write, args=(tmp_path, number))
        for number in range(3)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    found = ResultStore(tmp_path).get(RESULT.test, RESULT.environment)
    assert found is not None
    assert found.made == 49.0
    assert ResultStore(tmp_path).use() == (150, 75.0)
    assert [file.name for file in tmp_path.rglob("*.new")] == []


@pytest.mark.parametrize("text", ["", "[]", "{", '{"hits": "x"}', json.dumps({"hits": 3})])
def test_damaged_counts_begin_again(saved: ResultStore, text: str) -> None:
    saved.count_use(2, 1.0)
    (saved.directory / "use.json").write_text(text)
    assert saved.use() == (0, 0.0)
    saved.count_use(1, 0.5)
    assert saved.use() == (1, 0.5)
