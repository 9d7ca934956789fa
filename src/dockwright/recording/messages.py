"""What the processes of a run report to its main process, at their end.

Times are on the monotonic clock, which the processes of a machine share.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from dockwright.engine import CallStatistics
from dockwright.model import Json
from dockwright.recording.codec import decoded, encoded
from dockwright.recording.record import EngineCalls, Sample, Span, StackRecord, UnitRecord


@dataclass(frozen=True, slots=True)
class BrokerReport:
    """What a broker, or a process that runs tests, adds to the record of a run.

    Attributes:
        engine: the engine that it used, e.g. ``docker 20.10.24``; empty: none.
        stacks: what happened to the copies of stacks.
        samples: what they used.
        engine_calls: the calls to the engine.
    """

    engine: str = ""
    stacks: tuple[StackRecord, ...] = ()
    samples: tuple[Sample, ...] = ()
    engine_calls: tuple[EngineCalls, ...] = ()

    def to_json(self) -> dict[str, Json]:
        """Return it as plain values."""
        return encoded(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Json]) -> BrokerReport:
        """Read what `to_json` returned."""
        return decoded(cls, values)

    def counts(self) -> dict[str, int]:
        """Return how many starts, resets and leases there were, whole ones and ones that failed."""
        spans = [span for stack in self.stacks for span in stack.spans]
        return {
            "started": sum(span.phase == "start" and not span.name for span in spans),
            "resets": sum(span.phase == "reset" and not span.name for span in spans),
            "leases": sum(span.phase == "lease" for span in spans),
        }

    @classmethod
    def added(cls, parts: Iterable[BrokerReport]) -> BrokerReport:
        """Return the sum of several reports: copies merged, calls added, samples in order."""
        reports = list(parts)
        return cls(
            engine=next((each.engine for each in reports if each.engine), ""),
            stacks=_merged(stack for each in reports for stack in each.stacks),
            samples=tuple(
                sorted((sample for each in reports for sample in each.samples), key=_when)
            ),
            engine_calls=added_calls(call for each in reports for call in each.engine_calls),
        )

    def since(self, origin: float) -> BrokerReport:
        """Return the same with times that count from `origin`."""
        return replace(
            self,
            stacks=tuple(
                replace(stack, spans=tuple(_moved(span, origin) for span in stack.spans))
                for stack in self.stacks
            ),
            samples=tuple(replace(sample, at_s=sample.at_s - origin) for sample in self.samples),
        )


def added_calls(calls: Iterable[EngineCalls]) -> tuple[EngineCalls, ...]:
    """Return the sum of each kind, the most expensive first."""
    found: dict[str, EngineCalls] = {}
    for call in calls:
        known = found.get(call.name, EngineCalls(call.name, 0, 0.0))
        count, seconds = known.count + call.count, known.seconds + call.seconds
        found[call.name] = EngineCalls(call.name, count, seconds)
    return tuple(sorted(found.values(), key=lambda call: -call.seconds))


def calls_between(
    before: Mapping[str, CallStatistics], now: Mapping[str, CallStatistics]
) -> tuple[EngineCalls, ...]:
    """Return the calls to an engine between two states of its statistics."""
    nothing = CallStatistics(0, 0.0)
    found = []
    for name, total in now.items():
        known = before.get(name, nothing)
        count, seconds = total.count - known.count, total.seconds - known.seconds
        found.append(EngineCalls(name, count, seconds))
    return tuple(call for call in found if call.count)


def _merged(stacks: Iterable[StackRecord]) -> tuple[StackRecord, ...]:
    found: dict[str, StackRecord] = {}
    for stack in stacks:
        known = found.get(stack.project, StackRecord(stack.project, stack.name))
        spans = sorted((*known.spans, *stack.spans), key=lambda span: span.began_s)
        units: dict[tuple[str, str], UnitRecord] = {
            (unit.unit, unit.id): unit for unit in (*known.units, *stack.units)
        }
        found[stack.project] = StackRecord(
            stack.project, known.name or stack.name, tuple(spans), tuple(units.values())
        )
    return tuple(found.values())


def _moved(span: Span, origin: float) -> Span:
    return replace(span, began_s=span.began_s - origin)


def _when(sample: Sample) -> float:
    return sample.at_s


@dataclass(frozen=True, slots=True)
class Summary:
    """The totals of one process, or of all processes of a run.

    Attributes:
        counts: how often something happened: ``started``, ``resets``, ``replaced``, ``leases``,
            ``engine_calls``.
        notes: further information for the user: a kept stack, unused parts of a Compose file.
        problems: what could not be cleaned up.
        reports: what the record of the run is made from, each a `BrokerReport` as JSON; only the
            process that makes the record reads them.
    """

    counts: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    reports: tuple[Mapping[str, Json], ...] = ()

    def stacks(self) -> tuple[StackRecord, ...]:
        """Return what happened to the copies of stacks; times on the monotonic clock."""
        return BrokerReport.added(map(BrokerReport.from_json, self.reports)).stacks

    def to_json(self) -> dict[str, Json]:
        """Return it as plain values, to be sent to another process."""
        return {
            "counts": dict(self.counts),
            "notes": list(self.notes),
            "problems": list(self.problems),
            "reports": list(self.reports),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Summary:
        """Read what `to_json` returned."""
        return cls(
            counts={name: int(count) for name, count in values["counts"].items()},
            notes=tuple(values["notes"]),
            problems=tuple(values["problems"]),
            reports=tuple(values["reports"]),
        )

    @classmethod
    def added(cls, summaries: Iterable[Summary]) -> Summary:
        """Return the sum of several."""
        parts = list(summaries)
        names = {name: None for part in parts for name in part.counts}
        return cls(
            counts={name: sum(part.counts.get(name, 0) for part in parts) for name in names},
            # Every worker reads the same Compose file: its warnings are shown once.
            notes=tuple(dict.fromkeys(text for part in parts for text in part.notes)),
            problems=tuple(text for part in parts for text in part.problems),
            reports=tuple(each for part in parts for each in part.reports),
        )
