"""``dockwright cache``: what it lists and what it removes."""

from __future__ import annotations

import json
import os
import re
import time
from pathlib import Path

import pytest

from dockwright.cache import BaselineStore, Builds, FileDigests, Savings
from dockwright.cache.store import FROZEN
from dockwright.cli.errors import run
from dockwright.results import Result, ResultStore
from tests._support.cache_entries import keys, put

DAY_S = 86_400.0


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BaselineStore:
    """A store with two entries: ``1111...`` and ``2222...``, the second used a minute ago."""
    monkeypatch.setenv("DOCKWRIGHT_CACHE_DIR", str(tmp_path))
    store = BaselineStore(tmp_path / "baselines")
    for key in ("1" * 32, "2" * 32):
        put(store, key)
    _used(store, "1" * 32, 10 * DAY_S)
    _used(store, "2" * 32, 60)
    return store


def _used(store: BaselineStore, key: str, ago_s: float) -> None:
    manifest = store.directory / key / "manifest.json"
    then = manifest.stat().st_mtime - ago_s
    os.utime(manifest, (then, then))


def test_ls_shows_the_last_used_first(
    kept: BaselineStore, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["cache", "ls"]) == 0
    out, err = capsys.readouterr()
    header, first, second = out.splitlines()
    assert header.split() == ["KEY", "STACK", "SIZE", "VOLUMES", "START", "AGE", "USED"]
    assert re.match(r"222222222222   shop    \d+ B +db:/data0   2.5 s", first)
    assert second.split()[0] == "1" * 12
    assert re.fullmatch(rf"2 baselines, \d+ B, in {re.escape(str(kept.directory))}\n", err)


def test_ls_prints_json(kept: BaselineStore, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["cache", "ls", "--json"]) == 0
    first, second = json.loads(capsys.readouterr().out)
    assert (first["key"], second["key"]) == ("2" * 32, "1" * 32)
    assert first["inputs"] == {"format": "1"}
    assert first["volumes"][0]["target"] == "/data0"
    assert first["stored_bytes"] == first["volumes"][0]["stored_bytes"] > 0


def test_frozen_volumes_count(kept: BaselineStore, capsys: pytest.CaptureFixture[str]) -> None:
    [entry, _] = kept.entries()
    (entry.directory / FROZEN).write_text('{"tcp://127.0.0.1:1": ["dockwright-baseline-x"]}')
    assert run(["cache", "ls"]) == 0
    assert "kB of it in volumes on the engine), in" in capsys.readouterr().err
    assert run(["cache", "ls", "--json"]) == 0
    first, second = json.loads(capsys.readouterr().out)
    assert first["frozen_bytes"] == first["volumes"][0]["tar_bytes"]
    assert second["frozen_bytes"] == 0


def test_frozen_volumes_stay_while_the_engine_does_not_answer(
    kept: BaselineStore, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    [entry, _] = kept.entries()
    (entry.directory / FROZEN).write_text('{"tcp://127.0.0.1:1": ["dockwright-baseline-x"]}')
    assert run(["cache", "clear"]) == 0
    assert "the frozen volumes stay on the engine, which does not answer" in capsys.readouterr().err
    assert keys(kept) == []


def test_ls_of_an_empty_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DOCKWRIGHT_CACHE_DIR", str(tmp_path / "none"))
    assert run(["cache", "ls"]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert err == f"0 baselines, 0 B, in {tmp_path / 'none' / 'baselines'}\n"


@pytest.mark.parametrize(
    ("arguments", "left"),
    [
        ([], []),
        (["11"], ["2" * 32]),
        (["1", "222"], []),
        (["--older-than", "7d"], ["2" * 32]),
        (["--older-than", "30s"], []),
        (["--older-than", "12d"], ["2" * 32, "1" * 32]),
        (["2", "--older-than", "7d"], ["2" * 32, "1" * 32]),
    ],
)
def test_clear_removes_what_was_asked_for(
    kept: BaselineStore,
    arguments: list[str],
    left: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["cache", "clear", *arguments]) == 0
    assert keys(kept) == left
    gone = 2 - len(left)
    expected = rf"removed {gone} baseline{'s' if gone != 1 else ''}, \d+ B\n"
    assert re.fullmatch(expected, capsys.readouterr().err)


def test_clear_leaves_what_is_in_use(
    kept: BaselineStore, capsys: pytest.CaptureFixture[str]
) -> None:
    with kept.reading("1" * 32):
        assert run(["cache", "clear"]) == 0
    assert keys(kept) == ["1" * 32]
    assert "kept 1 baseline: in use by the start of a stack" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["3"], "no baseline has a key that starts with '3'\n  hint: `dockwright cache ls` lists"),
        (["--older-than", "long"], "--older-than 'long': expected a duration, such as"),
    ],
)
def test_clear_reports_misuse(
    kept: BaselineStore,
    arguments: list[str],
    words: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["cache", "clear", *arguments]) == 2
    assert words in capsys.readouterr().err
    assert len(keys(kept)) == 2


@pytest.mark.parametrize("command", [[], ["ls"], ["clear"]])
def test_help_explains(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["cache", *command, "--help"]) == 0
    assert "baselines" in capsys.readouterr().out


@pytest.fixture
def results(kept: BaselineStore) -> ResultStore:
    """Two saved results beside the baselines, the second unused for ten days."""
    found = ResultStore(kept.directory.parent / "results" / "0123456789ab")
    for number in range(2):
        found.put(Result(f"test_{number}", "linux", 1.0, 0.5, {}))
    found.savings.add(3, 4.5)
    old, _ = sorted(file for file, _ in found.files())
    os.utime(old, (time.time() - 10 * DAY_S,) * 2)
    return found


def test_ls_says_how_often_results_were_reused_and_what_it_saved(
    results: ResultStore, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["cache", "ls"]) == 0
    *_, last = capsys.readouterr().err.splitlines()
    assert re.fullmatch(
        rf"2 results of tests, \d+ B, reused 3 times, 4.5 s saved, in {results.directory}", last
    )


def test_ls_prints_results_as_json(
    results: ResultStore, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["cache", "ls", "--json"]) == 0
    *baselines, found = json.loads(capsys.readouterr().out)
    assert {each["kind"] for each in baselines} == {"baseline"}
    assert (found["kind"], found["key"], found["results"]) == ("results", "0123456789ab", 2)
    assert (found["hits"], found["saved_s"]) == (3, 4.5)


@pytest.mark.parametrize(
    ("arguments", "left"), [([], 0), (["--older-than", "7d"], 1), (["1" * 12], 2)]
)
def test_clear_removes_results_unless_it_names_baselines(
    results: ResultStore,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    left: int,
) -> None:
    assert run(["cache", "clear", *arguments]) == 0
    assert len(list(results.files())) == left
    assert ("of tests" in capsys.readouterr().err) == (left < 2)


def test_ls_says_what_each_kind_saved(
    kept: BaselineStore, capsys: pytest.CaptureFixture[str]
) -> None:
    builds = Builds(kept.directory.parent / "builds", FileDigests())
    builds.put("a" * 64, "sha256:b", 2.0)
    Savings(builds.directory).add(1, 2.0)
    kept.count_use(1.5)
    kept.count_use(-0.5)  # it took longer than the start that made it
    assert run(["cache", "ls"]) == 0
    first, second = capsys.readouterr().err.splitlines()
    assert f" B, used 2 times, 1.5 s saved, in {kept.directory}" in first
    assert second == f"1 build, skipped 1 time, 2.0 s saved, in {builds.directory}"
    assert run(["cache", "ls", "--json"]) == 0
    found = [each for each in json.loads(capsys.readouterr().out) if each["kind"] != "baseline"]
    assert [(each["kind"], each["hits"], each["saved_s"]) for each in found] == [
        ("baselines", 2, 1.5),
        ("builds", 1, 2.0),
    ]
    assert run(["cache", "clear", "1"]) == 0
    assert builds.count() == 1
    assert run(["cache", "clear"]) == 0
    assert builds.count() == 0
    assert "removed 1 build\n" in capsys.readouterr().err


def test_export_and_import_move_results(
    results: ResultStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = tmp_path / "results.tar.gz"
    assert run(["cache", "export", str(archive), "--root", str(tmp_path)]) == 0
    assert re.search(r"wrote 0 results to .*results.tar.gz, \d+ B", capsys.readouterr().err)
    assert run(["cache", "import", str(archive), "--root", str(tmp_path)]) == 0
    assert capsys.readouterr().err == "added 0 results\n"
    archive.write_text("something else")
    assert run(["cache", "import", str(archive)]) == 2
    assert "not an archive of results: " in capsys.readouterr().err
    assert run(["cache", "import", str(tmp_path / "none")]) == 2
