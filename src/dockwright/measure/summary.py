"""What one process of a run has to tell at its end; the processes of a run add up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from dockwright.measure.ledger import PHASES, Phase, PhaseTotal
from dockwright.model import Json


@dataclass(frozen=True, slots=True)
class Summary:
    """The sums of one process, or of all processes of a run.

    Attributes:
        totals: seconds and counts by phase.
        counts: how often something happened: ``started``, ``resets``, ``replaced``, ``leases``,
            ``engine_calls``.
        notes: what a person should know beside that: a kept stack, what a Compose file holds in
            vain.
        problems: what could not be cleaned up.
        told: what the run's record is made of, where it is recorded: each as a `Told` in JSON,
            which only the process that makes the record reads.
    """

    totals: Mapping[Phase, PhaseTotal] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    told: tuple[Mapping[str, Json], ...] = ()

    def to_json(self) -> dict[str, Json]:
        """Return it as plain values, to be sent to another process."""
        return {
            "totals": {phase: [total.seconds, total.count] for phase, total in self.totals.items()},
            "counts": dict(self.counts),
            "notes": list(self.notes),
            "problems": list(self.problems),
            "told": list(self.told),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Summary:
        """Read what `to_json` returned."""
        totals = values["totals"]
        return cls(
            totals={
                phase: PhaseTotal(totals[phase][0], int(totals[phase][1]))
                for phase in PHASES
                if phase in totals
            },
            counts={name: int(count) for name, count in values["counts"].items()},
            notes=tuple(values["notes"]),
            problems=tuple(values["problems"]),
            told=tuple(values["told"]),
        )

    @classmethod
    def added(cls, summaries: Iterable[Summary]) -> Summary:
        """Return the sum of several."""
        parts = list(summaries)
        names = {name: None for part in parts for name in part.counts}
        return cls(
            totals={
                phase: PhaseTotal(
                    sum(part.totals[phase].seconds for part in parts if phase in part.totals),
                    sum(part.totals[phase].count for part in parts if phase in part.totals),
                )
                for phase in PHASES
                if any(phase in part.totals for part in parts)
            },
            counts={name: sum(part.counts.get(name, 0) for part in parts) for name in names},
            # Every worker reads the same Compose file: what it warns of is told once.
            notes=tuple(dict.fromkeys(text for part in parts for text in part.notes)),
            problems=tuple(text for part in parts for text in part.problems),
            told=tuple(each for part in parts for each in part.told),
        )
