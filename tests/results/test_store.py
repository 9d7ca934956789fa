"""Results on disk: concurrent writers, damage, bounds, other machines."""

from __future__ import annotations

import io
import json
import multiprocessing
import os
import shutil
import tarfile
import time
from dataclasses import replace
from pathlib import Path

import pytest

from dockwright.errors import UsageError
from dockwright.results import Result, ResultStore, Uses, store

LINUX = "0123456789abcdef" * 2
RESULT = Result(
    test="test_a.py::test_it",
    environment=LINUX,
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
    ("test", "environment"), [("test_a.py::test_other", LINUX), (RESULT.test, "macos")]
)
def test_results_of_other_tests_and_environments_do_not_count(
    saved: ResultStore, test: str, environment: str
) -> None:
    assert saved.get(test, environment) is None


@pytest.mark.parametrize("position", range(0, 400, 7))
def test_a_damaged_result_is_ignored(saved: ResultStore, position: int) -> None:
    file = only_file(saved)
    content = bytearray(file.read_bytes())
    content[position] ^= 1
    file.write_bytes(content)
    assert saved.get(RESULT.test, RESULT.environment) is None


@pytest.mark.parametrize("size", [0, 1, 64, 65, 100])
def test_a_truncated_result_is_ignored(saved: ResultStore, size: int) -> None:
    file = only_file(saved)
    file.write_bytes(file.read_bytes()[:size])
    assert saved.get(RESULT.test, RESULT.environment) is None


def test_a_result_of_another_test_is_ignored(saved: ResultStore) -> None:
    mine = only_file(saved)
    saved.put(replace(RESULT, test="test_a.py::test_other"))
    other = next(file for file, _ in saved.files() if file != mine)
    shutil.copy(other, mine)
    assert saved.get(RESULT.test, RESULT.environment) is None


def test_a_result_in_another_format_is_ignored(
    saved: ResultStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "FORMAT", store.FORMAT + 1)
    assert saved.get(RESULT.test, RESULT.environment) is None


def test_a_failed_test_has_no_result(saved: ResultStore) -> None:
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


def test_the_least_recently_used_results_are_removed_first(
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


def test_results_that_were_unused_for_long_are_removed(saved: ResultStore) -> None:
    then = time.time() - store.LONGEST_UNUSED_S - 60
    os.utime(only_file(saved), (then, then))
    saved.tidy()
    assert list(saved.files()) == []


def _write(directory: Path, number: int) -> None:
    mine = ResultStore(directory)
    for round_ in range(50):
        mine.put(replace(RESULT, seconds=float(number), made=float(round_)))
        mine.savings.add(1, 0.5)


def test_concurrent_writers_leave_complete_results(tmp_path: Path) -> None:
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
    assert ResultStore(tmp_path).savings.total() == (150, 75.0)
    assert [file.name for file in tmp_path.rglob("*.new")] == []


@pytest.mark.parametrize("text", ["", "[]", "{", '{"hits": "x"}', json.dumps({"hits": 3})])
def test_damaged_counts_start_again_at_zero(saved: ResultStore, text: str) -> None:
    saved.savings.add(2, 1.0)
    (saved.directory / "use.json").write_text(text)
    assert saved.savings.total() == (0, 0.0)
    saved.savings.add(1, 0.5)
    assert saved.savings.total() == (1, 0.5)


USES = Uses(
    "base",
    {"shop-1": "a", "driver-1": "b"},
    frozenset({"shop", "driver"}),
    frozenset({"shop-1"}),
    {"driver-1": frozenset({"driver"})},
)


def test_uses_of_an_environment_are_saved_and_merged(saved: ResultStore) -> None:
    saved.put_uses(LINUX, USES)
    assert saved.uses(LINUX) == USES
    more = replace(USES, everywhere=frozenset({"driver-1"}), loaded=frozenset({"more"}))
    saved.put_uses(LINUX, more)
    assert saved.uses(LINUX) == USES.added(more)
    assert saved.environments() == [LINUX]
    assert len(list(saved.files())) == 1


@pytest.mark.parametrize("position", range(0, 200, 7))
def test_a_damaged_environment_is_ignored(saved: ResultStore, position: int) -> None:
    saved.put_uses(LINUX, USES)
    file = saved.directory / "environments" / f"{LINUX}.json"
    content = bytearray(file.read_bytes())
    content[position] ^= 1
    file.write_bytes(content)
    assert saved.uses(LINUX) is None


def exported(store: ResultStore) -> io.BytesIO:
    archive = io.BytesIO()
    store.export(archive)
    archive.seek(0)
    return archive


def test_results_of_another_machine_are_added(saved: ResultStore, tmp_path: Path) -> None:
    saved.put_uses(LINUX, USES)
    there = ResultStore(tmp_path / "there")
    assert there.merge(exported(saved)) == (1, 0)
    assert there.get(RESULT.test, LINUX) == RESULT
    assert there.uses(LINUX) == USES
    assert there.merge(exported(saved)) == (0, 0)


def test_the_later_of_two_results_stays(saved: ResultStore, tmp_path: Path) -> None:
    saved.put_uses(LINUX, USES)
    there = ResultStore(tmp_path / "there")
    there.put(replace(RESULT, made=2000.0))
    assert there.merge(exported(saved)) == (0, 0)
    found = there.get(RESULT.test, LINUX)
    assert found is not None
    assert found.made == 2000.0
    saved.put(replace(RESULT, made=3000.0))
    assert there.merge(exported(saved)) == (1, 0)


def test_damaged_entries_of_an_archive_are_left_out(saved: ResultStore, tmp_path: Path) -> None:
    saved.put_uses(LINUX, USES)
    saved.put(replace(RESULT, test="test_b.py::test_it"))
    file = only_file_of(saved, RESULT.test)
    file.write_bytes(file.read_bytes()[:-3])
    assert ResultStore(tmp_path / "there").merge(exported(saved)) == (1, 1)


def test_results_without_their_environment_are_left_out(saved: ResultStore, tmp_path: Path) -> None:
    assert ResultStore(tmp_path / "there").merge(exported(saved)) == (0, 1)


def test_an_archive_writes_nowhere_else(saved: ResultStore, tmp_path: Path) -> None:
    saved.put_uses(LINUX, USES)
    file = only_file_of(saved, RESULT.test)
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        tar.add(saved.directory / "environments" / f"{LINUX}.json", f"environments/{LINUX}.json")
        tar.add(file, "../../outside.json")
        tar.add(file, "/tmp/outside.json")
        tar.add(saved.directory / "environments" / f"{LINUX}.json", "environments/../a.json")
    archive.seek(0)
    there = ResultStore(tmp_path / "there")
    assert there.merge(archive) == (1, 1)
    names = {str(each.relative_to(there.directory)) for each in there.directory.rglob("*.json")}
    assert names == {f"environments/{LINUX}.json", str(file.relative_to(saved.directory))}


@pytest.mark.parametrize("content", [b"", b"text", b"\x1f\x8b\x08\x00 half"])
def test_another_file_is_no_archive(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(UsageError, match="not an archive of results"):
        ResultStore(tmp_path).merge(io.BytesIO(content))


def only_file_of(store: ResultStore, test: str) -> Path:
    [found] = [f for f, _ in store.files() if test.encode() in f.read_bytes()]
    return found
