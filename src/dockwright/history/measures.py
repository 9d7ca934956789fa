"""What is compared between runs: tests, shared fixtures, and what stacks took and used."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal, TypeAlias

from dockwright._text import format_size
from dockwright.recording import RunRecord, Span, StackRecord, TestRecord

Kind: TypeAlias = Literal["test", "fixture", "start", "wait", "reset", "cleanup", "memory", "cpu"]

WORDS: Mapping[Kind, str] = {
    "test": "the test {}",
    "fixture": "the shared fixture {}",
    "start": "starting stack {}",
    "wait": "waiting until {} is ready",
    "reset": "resetting {}",
    "cleanup": "removing stack {}",
    "memory": "peak memory of {}",
    "cpu": "CPU time of {}",
}
"""What a measure is, with its name in the braces."""


@dataclass(frozen=True, slots=True, order=True)
class Measure:
    """One thing that each run measures.

    Attributes:
        kind: what kind of thing.
        name: the test, the fixture, the declared stack, or the service.
    """

    kind: Kind
    name: str

    def __str__(self) -> str:
        return WORDS[self.kind].format(self.name)

    @property
    def in_bytes(self) -> bool:
        """Whether its values are bytes; all others are seconds."""
        return self.kind == "memory"

    def shown(self, value: float) -> str:
        """Return a value with its unit."""
        return format_size(value) if self.in_bytes else f"{value:.3f} s"


def measures_of(record: RunRecord) -> dict[Measure, float]:
    """Return everything that a run measured; several copies of a stack count with their median."""
    found: dict[Measure, list[float]] = {}
    for measure, value in (*_tests(record.tests), *_fixtures(record), *_stacks(record.stacks)):
        found.setdefault(measure, []).append(value)
    return {measure: median(values) for measure, values in found.items()}


def own_s(test: TestRecord) -> float:
    """Return what a test took by itself: without shared time and without waiting for a stack."""
    return sum(parts_of(test).values())


def parts_of(test: TestRecord) -> dict[str, float]:
    """Return what a test took by itself, in parts: each fixture and wait by name, and its call."""
    found: dict[str, float] = {}
    for span in test.spans:
        if not span.shared and span.phase != "queue":
            part = f"{span.phase} {span.name}" if span.name else span.phase
            found[part] = found.get(part, 0.0) + span.seconds
    return found


def images_of(record: RunRecord) -> dict[str, str]:
    """Return the image id of each service whose image is known."""
    return {
        _in_stack(stack, unit.unit): unit.image
        for stack in record.stacks
        for unit in stack.units
        if unit.image
    }


def _tests(tests: Iterable[TestRecord]) -> Iterator[tuple[Measure, float]]:
    for test in tests:
        if test.outcome == "passed":
            yield Measure("test", test.nodeid), own_s(test)


def _fixtures(record: RunRecord) -> Iterator[tuple[Measure, float]]:
    for cost in record.shared:
        if cost.phase == "fixture":
            yield Measure("fixture", cost.name), cost.seconds


def _stacks(stacks: Sequence[StackRecord]) -> Iterator[tuple[Measure, float]]:
    cpu: dict[str, float] = {}
    kept = {stack.name for stack in stacks if not any(_is_start(span) for span in stack.spans)}
    for stack in stacks:
        for span in stack.spans:
            if _is_start(span):
                yield Measure("start", stack.name), span.seconds
            elif span.phase == "cleanup" and not span.name:
                yield Measure("cleanup", stack.name), span.seconds
            elif span.phase in ("wait", "reset") and span.name:
                kind: Kind = "wait" if span.phase == "wait" else "reset"
                service = span.name.partition(":")[0]  # a reset's name goes on with its strategy
                yield Measure(kind, _in_stack(stack, service)), span.seconds
        for unit in stack.units:
            name = _in_stack(stack, unit.unit)
            if unit.peak_memory_bytes is not None:
                yield Measure("memory", name), float(unit.peak_memory_bytes)
            # Of a copy that an earlier run started, it includes what that run used.
            if unit.cpu_s is not None and stack.name not in kept:
                cpu[name] = cpu.get(name, 0.0) + unit.cpu_s
    yield from ((Measure("cpu", name), seconds) for name, seconds in cpu.items())


def _is_start(span: Span) -> bool:
    return span.phase == "start" and not span.name


def _in_stack(stack: StackRecord, name: str) -> str:
    return name if stack.name in ("", "default") else f"{stack.name}/{name}"


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The smallest change that matters.

    Attributes:
        ratio: as a part of the value before.
        seconds: for times.
        size_bytes: for memory.
        rate: of false discoveries among the findings.
    """

    ratio: float = 0.10
    seconds: float = 0.050
    size_bytes: int = 5_000_000
    rate: float = 0.05

    def least(self, measure: Measure) -> float:
        """Return the smallest difference that matters, in the measure's unit."""
        return float(self.size_bytes) if measure.in_bytes else self.seconds

    def matters(self, measure: Measure, before: float, after: float) -> bool:
        """Return whether a change is large enough to matter."""
        difference = abs(after - before)
        return difference >= max(self.least(measure), self.ratio * before)

    def varies(self, measure: Measure, values: Sequence[float]) -> bool:
        """Return whether any two of the values differ by as much as matters.

        Where they do not, nothing has to be tested. The answer does not depend on the order of
        the values, so the tests that follow stay valid.
        """
        return self.matters(measure, min(values), max(values))
