"""The trend of many runs, as a table and as a page."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest

from dockwright.cli.errors import run
from dockwright.history import trend
from dockwright.paths import project_hash, runs_file
from dockwright.recording import Git, RunStore
from dockwright.report import publish
from dockwright.report.html.trend import trend_page
from tests._support.history.records import Suite, store_with

USUAL = Suite()
SLOWER = replace(USUAL, call_s={**USUAL.call_s, 4: 2.0})


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "pytest.ini").touch()
    monkeypatch.chdir(tmp_path)
    environ = {"DOCKWRIGHT_CACHE_DIR": str(tmp_path / "cache")}
    monkeypatch.setenv("DOCKWRIGHT_CACHE_DIR", environ["DOCKWRIGHT_CACHE_DIR"])
    return runs_file(environ, project_hash(tmp_path))


def test_the_largest_growth_comes_first(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store_with(file, (USUAL, 20), (SLOWER, 6))
    assert run(["runs", "trend"]) == 0
    header, first, *_ = capsys.readouterr().out.splitlines()
    assert header.split() == ["WHAT", "RUNS", "FIRST", "LAST", "CHANGE"]
    assert first.split()[:4] == ["the", "test", "test_shop.py::test_4", "26"]
    assert run(["runs", "trend", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["runs"], document["branch"]) == (26, "main")
    slower = document["measures"][0]
    assert (slower["kind"], slower["name"], slower["unit"]) == ("test", "test_shop.py::test_4", "s")
    assert slower["first"] < 1.0 < slower["last"]
    assert sum(week["runs"] for week in document["weeks"]) == 26
    assert run(["runs", "trend", "test_7", "test_1"]) == 0
    names = [line.split()[2] for line in capsys.readouterr().out.splitlines()[1:]]
    assert sorted(names) == [f"test_shop.py::test_{number}" for number in (1, 10, 11, 7)]
    assert run(["runs", "trend", "nope"]) == 2
    assert "no test in the recorded runs has 'nope' in its name" in capsys.readouterr().err


def test_the_page_shows_lines_values_and_regressions(file: Path) -> None:
    store_with(file, (USUAL, 20), (SLOWER, 6))
    assert run(["runs", "trend", "--html", "trend.html"]) == 0
    text = Path("trend.html").read_text("utf-8")
    assert len(text) < 3_000_000
    for outside in ("http:", "https:", "<script", "url(", "@import"):
        assert outside not in text, outside
    page = ET.fromstring(text.partition("<body>")[2].partition("</body>")[0].join(["<b>", "</b>"]))
    sections = [section.get("id") for section in page.iter("section")]
    assert sections == [None, "wall", "found", "lines", "flaky"]
    pictures = list(page.iter("svg"))
    assert len(pictures) > 10
    assert all(picture.get("aria-label") and picture.get("role") == "img" for picture in pictures)
    marked = [
        picture
        for picture in pictures
        if any(line.get("class") == "change" for line in picture.iter("line"))
    ]
    assert [str(each.get("aria-label")).split(":")[0] for each in marked] == [
        "the test test_shop.py"
    ]
    assert "own body takes" in text
    bars = [each for each in pictures if each.find("rect") is not None]
    assert [str(each.get("aria-label")).split(":")[0] for each in bars] == [
        "The parts of the runs' time by week"
    ]
    assert len(list(page.iter("details"))) == len(pictures) - len(bars)
    tables = [str(each.text) for each in page.iter("caption")]
    assert any(each.startswith("By week: the median run.") for each in tables)
    assert "What grew most between the ends" in tables


def test_a_week_has_the_parts_of_its_runs(tmp_path: Path) -> None:
    store = store_with(tmp_path / "runs.sqlite3", (USUAL, 200))  # one run an hour
    first, second, *_ = trend(store).weeks
    assert first.runs + second.runs == 200
    assert first.wall_s == pytest.approx(30.0, rel=0.1)
    bodies_s = sum(USUAL.call_s.values())
    assert first.parts == {
        "call": pytest.approx(bodies_s, rel=0.05),
        "fixture": pytest.approx(0.2, rel=0.1),
    }


def test_only_some_of_very_many_runs_are_drawn(tmp_path: Path) -> None:
    small = replace(USUAL, call_s={0: 1.0})
    store = store_with(tmp_path / "runs.sqlite3", (small, 900))
    found = trend(store, window=850)
    assert (found.runs, len(found.series.runs)) == (850, 284)
    assert found.series.runs[-1].id == store.runs()[0].id
    text = trend_page(found)
    assert "284 of 850, evenly spaced" in text
    assert len(text) < 1_000_000


def test_names_are_never_read_as_html(tmp_path: Path) -> None:
    store = store_with(tmp_path / "runs.sqlite3", (USUAL, 3))
    record = store.load(store.runs()[0].id)
    hostile = replace(record.tests[0], nodeid="t.py::test[</svg><script>alert(1)</script>\x1b]")
    store.add(replace(record, tests=(hostile, *record.tests)))
    store.add(replace(record, id="another", began_s=record.began_s + 1, tests=(hostile,)))
    text = trend_page(trend(store))
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert "\x1b" not in text


def test_a_report_has_the_runs_before_it(tmp_path: Path) -> None:
    store = store_with(
        tmp_path / "runs.sqlite3", (USUAL, 20), (SLOWER, 6), (replace(USUAL, branch="other"), 1)
    )
    record = SLOWER.run(30)
    file = tmp_path / "report.html"
    assert publish(record, [file], "", {}, store) == [f"report: {file}"]
    text = file.read_text("utf-8")
    assert "The 26 runs before this one" in text
    assert "own body takes" in text
    assert 'class="change"' in text
    empty = RunStore(tmp_path / "nothing.sqlite3")
    publish(record, [file], "", {}, empty)
    assert "before this one" not in file.read_text("utf-8")
    publish(replace(record, git=Git("", "new")), [file], "", {}, store)
    assert "The 1 run before this one" in file.read_text("utf-8")  # the last run's branch


def test_without_recorded_runs_a_trend_is_a_usage_error(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["runs", "trend"]) == 2
    assert "has no recorded run of this project" in capsys.readouterr().err
