"""OTLP spans: a collector gets one trace that holds the whole run."""

from __future__ import annotations

import logging

import pytest

from dockwright.report.otlp import endpoint, send
from tests._support.report.collector import collecting
from tests._support.report.runs import run_of

RUN = run_of(40)


def test_a_run_is_one_trace_of_tests_and_stacks() -> None:
    with collecting() as collector:
        note = send(RUN, collector.url, {})
    assert note == f"report: sent {len(collector.spans)} spans to {collector.url}"
    assert set(collector.paths) == {"/v1/traces"}
    spans = {span.span_id: span for span in collector.spans}
    assert len({span.trace_id for span in spans.values()}) == 1
    (root,) = (span for span in spans.values() if not span.parent_span_id)
    assert (root.end_time_unix_nano - root.start_time_unix_nano) / 1e9 == pytest.approx(RUN.wall_s)
    children = [span.name for span in spans.values() if span.parent_span_id == root.span_id]
    assert children == [*(test.nodeid for test in RUN.tests), "stack default", "stack default"]
    assert all(span.parent_span_id in spans for span in spans.values() if span is not root)


def test_a_tests_parts_lie_within_it() -> None:
    with collecting() as collector:
        send(RUN, collector.url, {})
    test = next(span for span in collector.spans if span.name == RUN.tests[0].nodeid)
    parts = [span for span in collector.spans if span.parent_span_id == test.span_id]
    names = [f"{each.phase} {each.name} {each.step}".split() for each in RUN.tests[0].spans]
    assert [part.name for part in parts] == [" ".join(n) for n in names if n != ["other"]]
    assert all(part.start_time_unix_nano >= test.start_time_unix_nano for part in parts)
    assert all(part.end_time_unix_nano <= test.end_time_unix_nano + 1000 for part in parts)


def test_many_spans_go_in_several_requests() -> None:
    with collecting() as collector:
        send(run_of(500), collector.url, {})
    assert len(collector.bodies) > 2


def test_the_trace_of_a_ci_system_is_continued() -> None:
    trace, span = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    with collecting() as collector:
        send(RUN, collector.url, {"TRACEPARENT": f"00-{trace}-{span}-01"})
    assert {each.trace_id.hex() for each in collector.spans} == {trace}
    assert [each.name for each in collector.spans if each.parent_span_id.hex() == span] == [
        "pytest"
    ]


def test_a_collector_that_refuses_is_named_without_its_password(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with collecting(status=400) as collector:
        address = collector.url.replace("//", "//me:hunter2-s3cret@")
        note = send(RUN, address, {})
    shown = collector.url.replace("//", "//me:***@")
    assert note == f"warning: {shown} accepted only 0 spans of this run"
    assert "hunter2" not in caplog.text + "".join(capfd.readouterr())
    assert logging.getLogger("opentelemetry").propagate


@pytest.mark.parametrize(
    ("url", "whole"),
    [
        ("http://host:4318", "http://host:4318/v1/traces"),
        ("http://host:4318/", "http://host:4318/v1/traces"),
        ("https://host/otlp/", "https://host/otlp/v1/traces"),
        ("https://host/v1/traces?x=1", "https://host/v1/traces?x=1"),
    ],
)
def test_the_path_of_an_address_is_optional(url: str, whole: str) -> None:
    assert endpoint(url) == whole


def test_without_the_extra_a_run_is_refused(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(absent="import sys\nsys.modules['opentelemetry'] = None\n")
    pytester.makepyfile(test_it="def test_it(): pass")
    result = pytester.runpytest_subprocess("-p", "absent", "--dockwright-otlp=http://h:4318")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        ["*OpenTelemetry's exporter is not installed", "*hint: *'dockwright[[]otlp]'"]
    )


def test_an_invalid_address(pytester: pytest.Pytester) -> None:
    result = pytester.runpytest_subprocess("--dockwright-otlp=localhost")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*otlp = 'localhost': expected a collector's address, such as *"])
