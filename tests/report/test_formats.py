"""Reports in files: every format holds the whole run, and hostile texts stay texts."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from dockwright.recording import RunRecord, RunStore, Span, StackRecord
from dockwright.report import publish
from dockwright.report.html import page
from dockwright.report.markdown import LIMIT_BYTES, markdown
from dockwright.report.summary import process_shares, savings
from dockwright.report.trace import trace
from dockwright.settings import REPORTS
from tests._support.report.runs import HOSTILE, past_of, run_of

RUN = run_of(40)


def test_the_lanes_add_up_to_the_wall_time_of_all_processes() -> None:
    total_s = sum(share.seconds for share in process_shares(RUN))
    assert total_s == pytest.approx(RUN.wall_s * len(RUN.workers), rel=0.02)


def test_every_format_is_written_by_its_suffix(tmp_path: Path) -> None:
    files = [tmp_path / "new" / f"report{end}" for end in REPORTS]
    notes = publish(RUN, files, "", {}, RunStore(tmp_path / "runs.sqlite"))
    assert notes == [f"report: {file}" for file in files]
    html, chrome, document, text = (file.read_text("utf-8") for file in files)
    assert html.startswith("<!doctype html>")
    assert json.loads(chrome)["displayTimeUnit"] == "ms"
    assert RunRecord.from_json(json.loads(document)["run"]) == RunRecord.from_json(RUN.to_json())
    assert text.startswith("### dockwright: ")


def test_a_report_that_cannot_be_written_is_only_a_warning(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    target = tmp_path / "file" / "report.html"
    (note,) = publish(RUN, [target], "", {}, RunStore(tmp_path / "runs.sqlite"))
    assert note.startswith(f"warning: could not write the report {target}: ")


def test_github_gets_a_step_summary_beside_what_is_there(tmp_path: Path) -> None:
    summary = tmp_path / "summary.md"
    summary.write_text("earlier\n")
    environ = {"GITHUB_STEP_SUMMARY": str(summary)}
    assert publish(RUN, [], "", environ, RunStore(tmp_path / "runs.sqlite")) == []
    assert summary.read_text("utf-8").startswith("earlier\n### dockwright: ")


def test_a_summary_ends_with_the_leftovers() -> None:
    assert markdown(RUN).endswith("\nleftovers: none (2 stacks removed)\n")
    stack = StackRecord("dw-<kept>", "shop", (Span("start", "", 0.0, 1.0),))
    kept = markdown(replace(RUN, stacks=(*RUN.stacks, stack)))
    assert kept.endswith("\n**leftovers: 1 stack: dw-&lt;kept>**\n")
    assert "leftovers" not in markdown(replace(RUN, stacks=()))


def test_a_summary_stays_below_githubs_limit() -> None:
    long = tuple(
        replace(test, nodeid=f"{test.nodeid}-{'x' * 400}-{number}", outcome="failed")
        for number in range(120)
        for test in RUN.tests
    )
    text = markdown(replace(RUN, tests=long))
    assert len(text.encode()) < LIMIT_BYTES
    assert text.endswith("`--dockwright-report=FILE.html`._\n")


def test_a_hostile_name_is_escaped() -> None:
    assert HOSTILE in {test.nodeid.partition("::")[2] for test in RUN.tests}
    text = page(RUN)
    assert "<img" not in text
    assert len(re.findall("</script", text)) == 2
    assert "<img" not in markdown(RUN)


def test_control_codes_and_changes_of_direction_are_escaped() -> None:
    name = "test_x[\x1b[2J\u202ecipher]"
    hostile = replace(RUN.tests[0], nodeid=f"tests/test_a.py::{name}", stack="\u2066shop")
    text = page(replace(RUN, tests=(hostile,), problems=("\x9b31m",)))
    data = json.loads(re.findall(r'id="data">(.*?)</script', text, re.DOTALL)[0])
    assert data["tests"]["name"] == ["test_x[\\x1b[2J\\u202ecipher]"]
    assert "\\u2066shop" in data["names"]
    assert data["run"]["problems"] == ["\\x9b31m"]
    assert "\u202e" not in text


def test_the_page_makes_no_network_requests() -> None:
    text = page(RUN)
    assert "default-src 'none'" in text
    assert not re.search(r"""(?:src|href)=["']?(?:https?:)?//|url\(|@import""", text)


def test_a_big_run_stays_small() -> None:
    run = run_of(5000, 4, 4)
    assert len(page(run, past_of(run, 20)).encode()) < 5_000_000


def test_the_page_compares_tests_with_their_earlier_runs() -> None:
    text = page(RUN, past_of(RUN, 8)).partition('<section id="history"')[2]
    table = text.partition("</section>")[0]
    assert "than the median of the last 8 runs" in table
    assert 2 <= table.count("<tr>") <= 21
    assert "<script" not in table
    nothing = page(RUN).partition('<section id="history"')[2].partition("</section>")[0]
    assert "0 earlier runs recorded" in nothing


def test_a_trace_holds_every_test_on_its_workers_thread() -> None:
    events = json.loads(trace(RUN))["traceEvents"]
    tests = [event for event in events if event.get("cat") == "test"]
    assert [event["name"] for event in tests] == [test.nodeid for test in RUN.tests]
    threads = {
        e["tid"]: e["args"]["name"] for e in events if e["name"] == "thread_name" and e["pid"] == 1
    }
    assert [threads[event["tid"]] for event in tests] == [test.worker for test in RUN.tests]


def test_only_resets_before_another_lease_are_a_saving() -> None:
    reset = Span("reset", "", 2.0, 1.0)
    once = StackRecord(
        "dw-1", "", (Span("start", "", 0.0, 1.0), Span("lease", "a", 1.0, 1.0), reset)
    )
    assert savings(replace(RUN, tests=(), stacks=(once,))) == []
    again = replace(once, spans=(*once.spans, Span("lease", "b", 3.0, 1.0)))
    [saving] = savings(replace(RUN, tests=(), stacks=(again,)))
    assert (saving.seconds, saving.what) == (1.0, "by resetting stacks in the background")
    assert (
        saving.how == "1 reset before another lease took 1.00 s, and tests waited 0.00 s for them"
    )


def test_a_new_stack_for_each_lease_is_a_measure_only_where_the_suite_declares_it() -> None:
    leases = tuple(Span("lease", f"docker_services of t{n}.py", float(n), 0.5) for n in (2, 4, 6))
    stack = StackRecord("dw-1", "", (Span("start", "", 0.0, 2.0), *leases))
    [saving] = savings(replace(RUN, tests=(), stacks=(stack,)))
    assert (saving.seconds, saving.what) == (
        4.0,
        "compared with a new stack for each scope of docker_services",
    )
    others = tuple(replace(lease, name="t.py::test") for lease in leases)
    assert savings(replace(RUN, tests=(), stacks=(replace(stack, spans=others),))) == []


def test_no_saving_is_claimed_if_every_lease_had_its_own_start() -> None:
    assert savings(RUN)
    assert savings(replace(RUN, stacks=())) == []
