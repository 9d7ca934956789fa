"""Runs of other runners and machines are imported, once; broken files give one sentence."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from dockwright.cli.errors import run
from dockwright.errors import UsageError
from dockwright.history import imported
from dockwright.paths import project_hash, runs_file
from dockwright.recording import Git, RunRecord, RunStore
from tests._support.history.records import Suite

Capture = pytest.CaptureFixture[str]

PYTEST = """<?xml version="1.0" encoding="utf-8"?><testsuites name="pytest tests"><testsuite
name="pytest" errors="1" failures="1" skipped="1" tests="4" time="3.5"
timestamp="2026-11-28T18:00:00.5+01:00" hostname="ci"><testcase classname="tests.test_shop.TestCart"
name="test_adds[two words]" time="1.25" /><testcase classname="tests.test_shop" name="test_fails"
time="0.5"><failure message="assert 1 == 2&#10;more">trace</failure></testcase><testcase
classname="tests.test_shop" name="test_skips" time="0.000"><skipped type="pytest.skip"
message="not today" /></testcase><testcase classname="tests.test_shop" name="test_breaks"
time="0.1"><error message="failed on setup">trace</error></testcase></testsuite></testsuites>"""

SUREFIRE = """<?xml version="1.0" encoding="UTF-8"?>
<testsuite xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" name="org.shop.CartTest"
  time="1,002.5" tests="2" errors="0" skipped="0" failures="0">
  <properties><property name="java.version" value="21"/></properties>
  <testcase name="adds" classname="org.shop.CartTest" time="1,001.5"/>
  <testcase name="removes" classname="org.shop.CartTest" time="1.0">
    <flakyFailure message="expected: 1" type="AssertionFailedError" time="0.7"><stackTrace>
    <![CDATA[at CartTest.java]]></stackTrace></flakyFailure>
  </testcase>
</testsuite>"""

JEST = """<?xml version="1.0" encoding="UTF-8"?>
<testsuites name="jest tests" tests="2" failures="1" errors="0" time="1.2">
  <testsuite name="cart" errors="0" failures="1" skipped="0" timestamp="2026-11-28T17:00:00"
    time="0.9" tests="2">
    <testcase classname="cart adds" name="cart adds" time="0.012"></testcase>
    <testcase classname="cart removes" name="cart removes" time="0.3">
      <failure>Error: expect(received).toBe(expected)
    at Object.toBe (cart.test.js:9:19)</failure>
    </testcase>
  </testsuite>
</testsuites>"""


def read(tmp_path: Path, content: str, name: str = "results.xml") -> RunRecord:
    file = tmp_path / name
    file.write_text(content)
    (record,) = imported([file], Git("abcd", "main"))
    return record


def outcomes(record: RunRecord) -> list[tuple[str, str, float, str]]:
    return [(test.nodeid, test.outcome, test.wall_s, test.message) for test in record.tests]


def test_junit_xml_of_pytest(tmp_path: Path) -> None:
    record = read(tmp_path, PYTEST)
    assert outcomes(record) == [
        ("tests/test_shop.py::TestCart::test_adds[two words]", "passed", 1.25, ""),
        ("tests/test_shop.py::test_fails", "failed", 0.5, "assert 1 == 2"),
        ("tests/test_shop.py::test_skips", "skipped", 0.0, ""),
        ("tests/test_shop.py::test_breaks", "error", 0.1, "failed on setup"),
    ]
    assert (record.began_s, record.exit_code) == (1795885200.5, 1)
    assert record.git == Git("abcd", "main")
    assert record.id.startswith("imported-")


def test_junit_xml_of_surefire(tmp_path: Path) -> None:
    file = tmp_path / "results.xml"
    file.write_text(SUREFIRE)
    os.utime(file, (1.8e9, 1.8e9))
    (record,) = imported([file], Git())
    assert outcomes(record) == [
        ("org.shop.CartTest::adds", "passed", 1001.5, ""),
        ("org.shop.CartTest::removes", "rerun", 0.7, "expected: 1"),
        ("org.shop.CartTest::removes", "passed", 1.0, ""),
    ]
    assert (record.began_s, record.exit_code) == (1.8e9, 0)


def test_junit_xml_of_jest(tmp_path: Path) -> None:
    assert outcomes(read(tmp_path, JEST)) == [
        ("cart adds", "passed", 0.012, ""),
        (
            "cart removes",
            "failed",
            0.3,
            "Error: expect(received).toBe(expected)",
        ),
    ]


def test_tests_that_other_runners_leave_out_are_skipped(tmp_path: Path) -> None:
    text = (
        '<?xml version="1.0" encoding="UTF-16"?><testsuites name="AllTests"><testsuite name="Cart">'
        '<testcase name="Adds" status="run" result="completed" time="0.2" classname="Cart"/>'
        '<testcase name="DISABLED_Removes" status="notrun" result="suppressed" time="0" '
        'classname="Cart"/></testsuite></testsuites>'
    )
    file = tmp_path / "gtest.xml"
    file.write_text(text, "utf-16")
    (record,) = imported([file], Git())
    assert outcomes(record) == [
        ("Cart::Adds", "passed", 0.2, ""),
        ("Cart::DISABLED_Removes", "skipped", 0.0, ""),
    ]


def test_durations_of_pytest_split(tmp_path: Path) -> None:
    record = read(tmp_path, '{\n "tests/test_a.py::test_b": 1.5, "c": 2\n}', ".test_durations")
    assert outcomes(record) == [
        ("tests/test_a.py::test_b", "passed", 1.5, ""),
        ("c", "passed", 2.0, ""),
    ]


def test_shards_are_merged(tmp_path: Path) -> None:
    files = [tmp_path / "1.xml", tmp_path / "2.xml"]
    files[0].write_text(PYTEST)
    files[1].write_text(JEST)
    (merged,) = imported(files, Git(), merge=True)
    assert len(merged.tests) == 6
    assert merged.id == imported(files[::-1], Git(), merge=True)[0].id
    assert len(imported(files, Git())) == 2


def exported(file: Path, *records: RunRecord) -> Path:
    file.write_text("".join(json.dumps(record.to_json()) + "\n" for record in records))
    return file


def test_shards_of_our_own_become_one_run(tmp_path: Path) -> None:
    whole = Suite().run(1)
    shards = [
        replace(whole, id=f"s{number}", wall_s=10.0 + number, tests=whole.tests[number::2])
        for number in range(2)
    ]
    files = [exported(tmp_path / f"{shard.id}.jsonl", shard) for shard in shards]
    (merged,) = imported(files, Git(), merge=True)
    assert sorted(test.nodeid for test in merged.tests) == sorted(
        test.nodeid for test in whole.tests
    )
    assert {test.worker for test in merged.tests} == {"1/main", "2/main"}
    assert (merged.wall_s, merged.git, merged.machine) == (11.0, whole.git, whole.machine)
    assert len(merged.stacks) == 2
    assert merged.id.startswith("merged-")
    assert merged.id == imported(files[::-1], Git(), merge=True)[0].id
    assert [each.id for each in imported(files[:1], Git(), merge=True)] == ["s0"]
    exported(files[0], *shards)
    with pytest.raises(
        UsageError, match=r"s0\.jsonl has 2 runs, and --merge needs the one"
    ) as error:
        imported(files, Git(), merge=True)
    assert "dockwright runs export last" in str(error.value)


BOMB = (
    '<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]>'
    '<testsuites name="&b;"/>'
)
EXTERNAL = (
    '<!DOCTYPE t [<!ENTITY x SYSTEM "file:///etc/passwd">]><testsuites><testcase name="&x;"/>'
    "</testsuites>"
)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (PYTEST[:300], "is not XML: "),
        ("<html><body/></html>", "is not JUnit XML: its root is <html>, not <testsuites>"),
        (BOMB, "has a document type, which JUnit XML does not need; it is not read"),
        (EXTERNAL, "has a document type, which JUnit XML does not need; it is not read"),
        ('<?xml version="1.0" encoding="klingon"?><testsuites/>', "is not XML: "),
        ("", "is neither JSON nor XML"),
        ("hello", "is neither JSON nor XML"),
        ('{"a": ', "is not JSON: "),
        ('{"a": "soon"}', "has no duration for 'a': expected seconds"),
        ('{"a": true}', "has no duration for 'a': expected seconds"),
        ('{"id": "x", "began_s": "never"}', "has no valid run in line 1: not a RunRecord"),
        ("{" * 100_000, "is not JSON: "),
    ],
)
def test_a_broken_file_gives_one_sentence(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "results.xml"
    file.write_text(content)
    with pytest.raises(UsageError) as error:
        imported([file], Git())
    first, *more = str(error.value).splitlines()
    assert first.startswith(f"{file} {message}")
    assert len(more) == 1  # the hint
    assert more[0].startswith("  hint: import JSON Lines")


def test_an_unreadable_file_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot read .*missing.xml: No such file"):
        imported([tmp_path / "missing.xml"], Git())
    with pytest.raises(UsageError, match="is a directory, not a file"):
        imported([tmp_path], Git())


@pytest.mark.parametrize("time", ["nan", "inf", "-1", "soon", ""])
def test_an_invalid_time_counts_as_zero(tmp_path: Path, time: str) -> None:
    record = read(tmp_path, f'<testsuite><testcase name="a" time="{time}"/></testsuite>')
    assert [test.wall_s for test in record.tests] == [0.0]


def test_importing_twice_adds_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\ndockwright_record_days = 0\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DOCKWRIGHT_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("SHOP_PASSWORD", "open-sesame")
    Path("a.xml").write_text(PYTEST.replace("assert 1 == 2", "open-sesame is wrong"))
    lines = [json.dumps(Suite().run(number).to_json()) for number in range(3)]
    Path("runs.jsonl").write_text("\n".join(lines) + "\n\n")
    assert run(["runs", "import", "a.xml", "runs.jsonl", "--branch", "main"]) == 0
    assert run(["runs", "import", "a.xml", "runs.jsonl", "a.xml"]) == 0
    assert capsys.readouterr().err.splitlines() == [
        "added 4 runs; 0 already recorded",
        "added 0 runs; 4 already recorded",
    ]
    file = runs_file({"DOCKWRIGHT_CACHE_DIR": str(tmp_path / "cache")}, project_hash(tmp_path))
    store = RunStore(file)
    assert [each.branch for each in store.runs()] == ["main"] * 4
    record = store.load(next(each.id for each in store.runs() if each.id.startswith("imported")))
    assert "open-sesame" not in record.tests[1].message
    assert run(["runs", "import", "runs.jsonl", "missing.xml"]) == 2


def test_runs_that_are_too_old_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    (tmp_path / "pytest.ini").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DOCKWRIGHT_CACHE_DIR", str(tmp_path / "cache"))
    Path("old.xml").write_text(PYTEST.replace("2026-", "2016-"))
    assert run(["runs", "import", "old.xml"]) == 0
    assert capsys.readouterr().err.splitlines() == [
        "added 0 runs; 0 already recorded",
        "1 run not kept: older than dockwright_record_days, or more than dockwright_record_runs",
    ]
