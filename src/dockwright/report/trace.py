"""The report as a Chrome trace, which Perfetto and chrome://tracing open.

Format: "Trace Event Format" of the Chromium project: complete events (``X``) on processes and
threads that metadata events (``M``) name, counters (``C``); times in microseconds.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from dockwright.recording import RunRecord, Sample, Span, StackRecord, TestRecord

_Event: TypeAlias = dict[str, Any]  # of the trace: a JSON object of mixed values

_WORKERS, _USE, _STACKS = 1, 2, 10
"""Process numbers: that of the workers, of what was used, of the first stack."""


def trace(run: RunRecord) -> str:
    """Return the trace as one JSON text."""
    events = [*_workers(run), *_stacks(run), *_use(run)]
    about = {"run": run.id, "revision": run.git.revision, "branch": run.git.branch}
    return json.dumps(
        {"displayTimeUnit": "ms", "otherData": about, "traceEvents": events},
        separators=(",", ":"),
    )


def _workers(run: RunRecord) -> Iterator[_Event]:
    yield _named("process_name", "tests", _WORKERS)
    threads = {worker.name: number for number, worker in enumerate(run.workers, 1)}
    for worker in run.workers:
        thread = threads[worker.name]
        yield _named("thread_name", worker.name, _WORKERS, thread)
        for gap in worker.gaps:
            if gap.name != "between":  # it is the sum of many
                yield _complete(gap.name, "gap", gap.began_s, gap.seconds, (_WORKERS, thread))
    for test in run.tests:
        place = (_WORKERS, threads.setdefault(test.worker, len(threads) + 1))
        yield _test(test, place)
        yield from (_span(span, place) for span in test.spans if span.phase != "other")


def _test(test: TestRecord, place: tuple[int, int]) -> _Event:
    event = _complete(test.nodeid, "test", test.began_s, test.elapsed_s, place)
    return event | {"args": {"outcome": test.outcome, "lane": test.lane, "stack": test.stack}}


def _stacks(run: RunRecord) -> Iterator[_Event]:
    for process, stack in enumerate(run.stacks, _STACKS):
        yield _named("process_name", f"stack {stack.name} {stack.project}", process)
        threads = _threads(stack)
        for name, thread in threads.items():
            yield _named("thread_name", name, process, thread)
        for span in stack.spans:
            yield _span(span, (process, threads[_thread_name(span)]))


def _threads(stack: StackRecord) -> Mapping[str, int]:
    """Return a thread for each kind of span: spans of one thread must not overlap."""
    found: dict[str, int] = {}
    for span in stack.spans:
        found.setdefault(_thread_name(span), len(found) + 1)
    return found


def _thread_name(span: Span) -> str:
    return (
        f"{span.phase} {span.name}" if span.phase in ("wait", "reset") and span.name else span.phase
    )


def _use(run: RunRecord) -> Iterator[_Event]:
    """Return what was used as counters: memory, and processor time by the second."""
    yield _named("process_name", "used", _USE)
    latest: dict[str, Sample] = {}
    for sample in run.samples:
        if sample.memory_bytes is not None:
            mib = round(sample.memory_bytes / 2**20, 2)
            yield _counter(f"memory {sample.subject}", sample.at_s, {"MiB": mib})
        before = latest.get(sample.subject)
        if before is not None and before.cpu_s is not None and sample.cpu_s is not None:
            elapsed_s = sample.at_s - before.at_s
            if elapsed_s > 0:
                cores = round(max(0.0, sample.cpu_s - before.cpu_s) / elapsed_s, 3)
                yield _counter(f"CPU {sample.subject}", sample.at_s, {"cores": cores})
        latest[sample.subject] = sample


def _span(span: Span, place: tuple[int, int]) -> _Event:
    name = " ".join(part for part in (span.phase, span.name, span.step) if part)
    event = _complete(name, span.phase, span.began_s, span.seconds, place)
    if span.shared or not span.certain:
        event["args"] = {"shared": span.shared, "certain": span.certain}
    return event


def _complete(
    name: str, category: str, began_s: float, seconds: float, place: tuple[int, int]
) -> _Event:
    process, thread = place
    return {
        "ph": "X",
        "name": name,
        "cat": category,
        "ts": _microseconds(began_s),
        "dur": _microseconds(seconds),
        "pid": process,
        "tid": thread,
    }


def _counter(name: str, at_s: float, values: Mapping[str, float]) -> _Event:
    return {
        "ph": "C",
        "name": name,
        "ts": _microseconds(at_s),
        "pid": _USE,
        "tid": 0,
        "args": values,
    }


def _named(kind: str, name: str, process: int, thread: int = 0) -> _Event:
    return {"ph": "M", "name": kind, "pid": process, "tid": thread, "args": {"name": name}}


def _microseconds(seconds: float) -> int:
    return round(seconds * 1_000_000)
