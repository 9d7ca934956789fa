"""The HTML report: one file that needs no network.

Its data are columns of small numbers instead of many small objects: times in tenths of a
millisecond, names as indices of one list. A run of 5,000 tests takes one or two megabytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from string import Template
from typing import Any

from dockwright.history import Trend
from dockwright.recording import PastTest, RunRecord, Sample, Span, StackRecord, TestRecord
from dockwright.report.html.past import history_part
from dockwright.report.summary import (
    IN_BACKGROUND,
    IN_PROCESSES,
    WAITING,
    Share,
    background_shares,
    process_shares,
    queue_shares,
    reset_parts,
    savings,
    unit_waits,
)
from dockwright.untrusted import printable

_SCRIPTS = ("model.js", "format.js", "summary.js", "timeline.js", "charts.js", "tests.js", "app.js")
"""In the order in which they are read; each adds to the ones before."""


def page(run: RunRecord, past: Sequence[PastTest] = (), trend: Trend | None = None) -> str:
    """Return the whole page.

    Args:
        run: what happened.
        past: what the same tests did in earlier runs, the latest first.
        trend: of the earlier runs; None: there are none.
    """
    return Template(asset("page.html")).substitute(
        style=asset("style.css"),
        history=history_part(run, past, trend),
        data=embedded(_printable(columns(run, past))),
        script="\n".join(asset(name) for name in _SCRIPTS),
    )


def _printable(value: Any) -> Any:
    """Escape control codes and changes of text direction in all strings of a JSON value."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, dict):
        return {_printable(name): _printable(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_printable(entry) for entry in value]
    return value


def embedded(value: object) -> str:
    """Return JSON that can stand within a ``<script>``, whatever strings it contains.

    No ``<`` is left in it: no text can end the element or open a comment there. Of the characters
    that JSON allows and old JavaScript does not, none is left either.
    """
    return (
        json.dumps(value, ensure_ascii=False, separators=(",", ":"))
        .replace("<", "\\u003c")
        .replace("\u2028", "\\u2028")
        .replace("\u2029", "\\u2029")
    )


def asset(name: str) -> str:
    """Return the text of a file beside this one."""
    return files(__package__).joinpath(name).read_text("utf-8")


TICKS = 10_000
"""In a second."""

_SHARED, _UNCERTAIN, _SETUP, _TEARDOWN = 1, 2, 4, 8

_MOST_POINTS = 24_000
"""Of all series together: more than a screen has columns, and about 400 kB."""


def columns(run: RunRecord, past: Sequence[PastTest]) -> dict[str, Any]:
    """Return what the page shows, as JSON values.

    Args:
        run: what happened.
        past: what the same tests did in earlier runs, the latest first.
    """
    names = _Names()
    return {
        "run": _head(run),
        "digest": _digest(run),
        "workers": [_worker(worker, names) for worker in run.workers],
        "tests": _tests(run.tests, names),
        "stacks": [_stack(stack, names) for stack in run.stacks],
        "series": _series(run.samples),
        "history": _history(run.tests, past),
        "names": names.known,
    }


class _Names:
    def __init__(self) -> None:
        self.known: list[str] = []
        self._places: dict[str, int] = {}

    def place(self, name: str) -> int:
        """Return where a name stands in the list."""
        if name not in self._places:
            self._places[name] = len(self.known)
            self.known.append(name)
        return self._places[name]


def _head(run: RunRecord) -> dict[str, Any]:
    return {
        "id": run.id,
        "began": run.began_s,
        "wall": run.wall_s,
        "exit": run.exit_code,
        "git": asdict(run.git),
        "machine": asdict(run.machine),
        "settings": dict(run.settings),
        "counts": dict(run.counts),
        "notes": list(run.notes),
        "problems": list(run.problems),
        "shared": [asdict(cost) for cost in run.shared],
        "calls": [asdict(call) for call in run.engine_calls],
    }


def _digest(run: RunRecord) -> dict[str, Any]:
    return {
        "lanes": _plain_shares(process_shares(run), IN_PROCESSES),
        "behind": _plain_shares(background_shares(run.stacks), IN_BACKGROUND),
        "queue": [
            [WAITING.get(each.name, each.name), *_numbers(each)] for each in queue_shares(run)
        ],
        "units": [[each.name, *_numbers(each)] for each in unit_waits(run)],
        "resets": [[each.name, *_numbers(each)] for each in reset_parts(run)],
        "savings": [asdict(saving) for saving in savings(run)],
    }


def _plain_shares(shares: Iterable[Share], words: Mapping[str, str]) -> list[list[Any]]:
    return [[share.kind, words[share.kind], *_numbers(share)] for share in shares]


def _numbers(share: Share) -> tuple[float, int]:
    return round(share.seconds, 4), share.count


def _worker(worker: Any, names: _Names) -> dict[str, Any]:
    values = asdict(worker)
    values["gaps"] = [
        [names.place(gap.name), _ticks(gap.began_s), _ticks(gap.seconds)] for gap in worker.gaps
    ]
    return values


def _tests(tests: Sequence[TestRecord], names: _Names) -> dict[str, Any]:
    split = [test.nodeid.partition("::") for test in tests]
    return {
        "file": [names.place(file) for file, _, _ in split],
        "name": [name for _, _, name in split],
        "worker": [names.place(test.worker) for test in tests],
        "outcome": [names.place(test.outcome) for test in tests],
        "lane": [names.place(test.lane) for test in tests],
        "stack": [names.place(test.stack) for test in tests],
        "began": [_ticks(test.began_s) for test in tests],
        "wall": [_ticks(test.wall_s) for test in tests],
        "spans": [_spans(test.spans, names, test.began_s) for test in tests],
    }


def _stack(stack: StackRecord, names: _Names) -> dict[str, Any]:
    return {
        "project": stack.project,
        "name": stack.name,
        "spans": _spans(stack.spans, names, 0.0),
        "units": [asdict(unit) for unit in stack.units],
    }


def _spans(spans: Iterable[Span], names: _Names, origin_s: float) -> list[int]:
    """Return five numbers per span: phase, name, start, duration and flags."""
    return [
        number
        for span in spans
        for number in (
            names.place(span.phase),
            names.place(span.name),
            _ticks(span.began_s - origin_s),
            _ticks(span.seconds),
            _flags(span),
        )
    ]


def _flags(span: Span) -> int:
    return (
        _SHARED * span.shared
        + _UNCERTAIN * (not span.certain)
        + _SETUP * (span.step == "setup")
        + _TEARDOWN * (span.step == "teardown")
    )


def _ticks(seconds: float) -> int:
    return round(seconds * TICKS)


@dataclass(frozen=True, slots=True)
class _Point:
    at: int
    cpu: float | None
    memory: int | None


def _series(samples: Iterable[Sample]) -> list[dict[str, Any]]:
    """Return memory and processor use over time by subject, with as many points as one can see."""
    lines: dict[str, list[Sample]] = {}
    for sample in samples:
        lines.setdefault(sample.subject, []).append(sample)
    most = max(2, _MOST_POINTS // max(1, len(lines)))
    return [_line(subject, _thinned(points, most)) for subject, points in lines.items()]


def _thinned(samples: list[Sample], most: int) -> list[_Point]:
    """Return every point, or of each of `most` stretches its highest memory and last CPU time."""
    step = -(-len(samples) // most)
    groups = (samples[at : at + step] for at in range(0, len(samples), step))
    return [
        _Point(
            _ticks(group[-1].at_s),
            group[-1].cpu_s,
            max(
                (each.memory_bytes for each in group if each.memory_bytes is not None), default=None
            ),
        )
        for group in groups
    ]


def _line(subject: str, points: Sequence[_Point]) -> dict[str, Any]:
    return {
        "subject": subject,
        "at": [point.at for point in points],
        "cpu": [None if point.cpu is None else round(point.cpu, 3) for point in points],
        "memory": [None if point.memory is None else point.memory >> 10 for point in points],
    }


def _history(tests: Sequence[TestRecord], past: Sequence[PastTest]) -> dict[str, Any]:
    """Return earlier runs, the oldest first, and of each test its place, time and outcome there."""
    runs = dict(sorted({each.run: each.began_s for each in past}.items(), key=lambda run: run[1]))
    places = {run: place for place, run in enumerate(runs)}
    by_test: dict[str, list[PastTest]] = {}
    for each in reversed(past):
        by_test.setdefault(each.nodeid, []).append(each)
    return {
        "runs": [round(began_s) for began_s in runs.values()],
        "tests": [
            [
                number
                for each in by_test.get(test.nodeid, ())
                for number in (
                    places[each.run],
                    _ticks(each.wall_s),
                    int(each.outcome in ("failed", "error")),
                )
            ]
            for test in tests
        ],
    }
