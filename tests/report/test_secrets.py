"""A secret planted in a variable, in URLs and in a service's log appears in no output."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import pytest

from dockwright.cli.errors import run
from dockwright.engine import Engine
from dockwright.paths import project_hash, runs_file
from dockwright.recording import RunRecord, RunStore
from dockwright.settings import REPORTS
from tests._support.report.collector import Collector, collecting
from tests._support.suite import COMPOSE, Suite, clean_environment, output

SECRET = "pl4nted-s3cret-0f-shop"
"""In the environment of the run and of the service."""

IN_URL, IN_QUERY, IN_LOG = "pl4nted-1n-a-url", "pl4nted-1n-a-query", "pl4nted-1n-a-log"
"""No variable's value: they are told by what stands before them."""

URL = f"http://me:{IN_URL}@shop.test/x?token={IN_QUERY}"
SAYS = f"echo login with $$SHOP_TOKEN, password={IN_LOG}, to $$SHOP_URL and '{URL}'"

TESTS = """
import pytest

@pytest.mark.stateless
def test_reads(stack): assert stack.url("web", 8000)

@pytest.mark.stateful
def test_fails(stack):
    stack.restart("web")  # it says its secrets again
    pytest.fail("on purpose")
"""

pytestmark = [pytest.mark.engine, pytest.mark.timeout(240)]


@pytest.fixture
def suite(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, engine: Engine
) -> Iterator[Suite]:
    clean_environment(monkeypatch, pytester.path.parent / "state")
    monkeypatch.setenv("DOCKWRIGHT_CACHE_DIR", str(pytester.path / "cache"))
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(pytester.path / "step.md"))
    monkeypatch.setenv("SHOP_TOKEN", SECRET)
    suite = Suite(pytester, engine)
    variables = f"environment:\n      SHOP_TOKEN: ${{SHOP_TOKEN}}\n      SHOP_URL: {URL!r}\n    "
    text = COMPOSE.replace("ports:", f"{variables}ports:").replace("echo web is up", SAYS)
    suite.compose(text=text)
    suite.write("test_it.py", TESTS)
    yield suite
    suite.remove()


def test_the_secret_is_in_no_output(suite: Suite, capsys: pytest.CaptureFixture[str]) -> None:
    reports = [suite.path / f"report{end}" for end in REPORTS]
    with collecting() as collector:
        address = collector.url.replace("//", f"//me:{IN_URL}@") + f"?token={IN_QUERY}"
        result = suite.run(
            "-n2",
            "--junitxml=junit.xml",
            f"--dockwright-otlp={address}",
            *(f"--dockwright-report={file}" for file in reports),
        )
    result.assert_outcomes(passed=1, failed=1)
    record = _last(suite.path)
    _assert_everything_is_there(record, collector)
    _assert_junit_tells_phases(suite.path / "junit.xml", record)
    shown = output(result)
    assert "login with ***, password=***, to http://me:***@shop.test/x?token=*** and" in shown
    texts = {"terminal": shown.encode(), "record": json.dumps(record.to_json()).encode()}
    for file in (*reports, suite.path / "step.md", suite.path / "junit.xml"):
        texts[file.name] = file.read_bytes()
    for file in (suite.path / "cache" / "runs").iterdir():
        texts[file.name] = file.read_bytes()
    for number, body in enumerate(collector.bodies):
        texts[f"spans {number}"] = body
    capsys.readouterr()  # pytester's echo of the command line
    for command in ("show", "show --json", "export", "export --format csv"):
        assert run(["runs", *command.split(), "--root", str(suite.path)]) == 0
        texts[command] = capsys.readouterr().out.encode()
    assert len(texts) >= 13
    for name, text in texts.items():
        assert text, name
        for secret in (SECRET, IN_URL, IN_QUERY, IN_LOG):
            assert secret.encode() not in text, (name, secret)


def _last(path: Path) -> RunRecord:
    environ = {"DOCKWRIGHT_CACHE_DIR": str(path / "cache")}
    store = RunStore(runs_file(environ, project_hash(path)))
    return store.load(store.runs()[0].id)


def _assert_everything_is_there(record: RunRecord, collector: Collector) -> None:
    """Where every run is recorded from its begin, its stacks are noted and sampled as well."""
    phases = {span.phase for test in record.tests for span in test.spans}
    assert {"queue", "wait", "call"} <= phases
    assert {sample.subject.partition("/")[0] for sample in record.samples} >= {"gw0", "gw1"}
    assert {span.name for span in collector.spans} >= {"pytest", "stack default", "call"}
    assert record.settings["otlp"].startswith("http://me:***@127.0.0.1:")


def _assert_junit_tells_phases(file: Path, record: RunRecord) -> None:
    """Check that the seconds by phase are those of the record, and add up."""
    cases = ET.parse(file).getroot().iter("testcase")
    told = {
        case.attrib["name"]: {each.attrib["name"]: each.attrib["value"] for each in case[0]}
        for case in cases
        if case[0].tag == "properties"
    }
    assert set(told) == {"test_reads", "test_fails"}
    for test in record.tests:
        mine = told[test.nodeid.rpartition("::")[2]]
        assert (mine["dockwright.lane"], mine["dockwright.stack"]) == (test.lane, test.stack)
        seconds = {name: float(value) for name, value in mine.items() if name.endswith("_s")}
        wall_s = seconds.pop("dockwright.wall_s")
        assert sum(seconds.values()) == pytest.approx(wall_s, abs=0.001)
        assert wall_s == pytest.approx(test.elapsed_s, rel=0.02)
