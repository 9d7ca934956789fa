"""The likely part of a change: which fixture, wait or call grew, and whose image is another one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median

from dockwright._text import duration
from dockwright.history.measures import Measure, images_of, measures_of, parts_of
from dockwright.recording import RunRecord

_WORDS: Mapping[str, str] = {
    "call": "the test's own body",
    "other": "pytest and other plugins",
}
_OF_SERVICES = ("wait", "reset", "memory", "cpu")
_SHOWN = 12  # of an image's id, as docker shows it


def likely_part(measure: Measure, before: Sequence[RunRecord], after: Sequence[RunRecord]) -> str:
    """Return in words what changed most within a measure, between the records of two sides."""
    images = changed_images(before, after)
    if measure.kind == "test":
        words = _part_of_test(measure.name, before, after)
    elif measure.kind == "start":
        words = _slower_wait(before, after)
    elif measure.kind == "wait":
        words = _slower_wait(before, after, measure.name)
    else:
        words = ""
    if measure.kind in _OF_SERVICES:  # another service's image does not explain it
        images = {name: text for name, text in images.items() if name == measure.name}
    return "; ".join([each for each in (words, *images.values()) if each])


def parts_of_sides(
    nodeid: str, before: Sequence[RunRecord], after: Sequence[RunRecord]
) -> dict[str, tuple[float, float]]:
    """Return the seconds of each part of a test on both sides; empty where one lacks it."""
    was, now = _median_parts(nodeid, before), _median_parts(nodeid, after)
    if not was or not now:
        return {}
    return {part: (was.get(part, 0.0), now.get(part, 0.0)) for part in {**was, **now}}


def _part_of_test(nodeid: str, before: Sequence[RunRecord], after: Sequence[RunRecord]) -> str:
    parts = parts_of_sides(nodeid, before, after)
    growth = {part: now - was for part, (was, now) in parts.items()}
    if not growth:
        return ""
    part = max(growth, key=lambda each: abs(growth[each]))
    return f"{_WORDS.get(part, part)} takes {_more(growth[part])}"


def _median_parts(nodeid: str, records: Sequence[RunRecord]) -> dict[str, float]:
    attempts = [
        parts_of(test)
        for record in records
        for test in record.tests
        if test.nodeid == nodeid and test.outcome == "passed"
    ]
    names = {name: None for parts in attempts for name in parts}
    return {name: median(parts.get(name, 0.0) for parts in attempts) for name in names}


def _slower_wait(before: Sequence[RunRecord], after: Sequence[RunRecord], service: str = "") -> str:
    """Return how much later a service becomes ready; by default the one that changed most."""
    was, now = _waits(before), _waits(after)
    names = was.keys() & now.keys() & ({service} if service else was.keys())
    growth = {name: now[name] - was[name] for name in names}
    if not growth:
        return ""
    name = max(growth, key=lambda each: abs(growth[each]))
    return f"{name} becomes ready {_later(growth[name])}"


def _waits(records: Sequence[RunRecord]) -> dict[str, float]:
    found: dict[str, list[float]] = {}
    for record in records:
        for measure, value in measures_of(record).items():
            if measure.kind == "wait":
                found.setdefault(measure.name, []).append(value)
    return {name: median(values) for name, values in found.items()}


def changed_images(before: Sequence[RunRecord], after: Sequence[RunRecord]) -> dict[str, str]:
    """Return in words how the image of each service changed, of those whose image is another one.

    Args:
        before: records of side A, oldest first.
        after: records of side B, oldest first.
    """
    if not before or not after:
        return {}
    was, now = images_of(before[-1]), images_of(after[0])
    return {
        name: f"the image of {name} changed from {_short(was[name])} to {_short(now[name])}"
        for name in sorted(was.keys() & now.keys())
        if was[name] != now[name]
    }


def _short(image: str) -> str:
    return image.removeprefix("sha256:")[:_SHOWN]


def _more(seconds: float) -> str:
    return f"{duration(abs(seconds))} {'longer' if seconds > 0 else 'less'}"


def _later(seconds: float) -> str:
    return f"{duration(abs(seconds))} {'later' if seconds > 0 else 'earlier'}"
