"""Where the time of a run went."""

from typing import TYPE_CHECKING

from dockwright._lazy import lazily

if TYPE_CHECKING:
    from dockwright.measure.attempt import Attempt
    from dockwright.measure.journal import Journal
    from dockwright.measure.ledger import PHASES, Ledger, Phase, PhaseTotal
    from dockwright.measure.record import (
        EngineCalls,
        Gap,
        GapName,
        Git,
        Lane,
        Machine,
        Outcome,
        RunRecord,
        Sample,
        SharedCost,
        Span,
        SpanPhase,
        StackRecord,
        TestRecord,
        UnitRecord,
        WorkerRecord,
    )
    from dockwright.measure.sampler import Living, Sampler
    from dockwright.measure.summary import Summary
    from dockwright.measure.tape import Open, Tape
    from dockwright.measure.told import Told, calls_between

__all__ = [
    "PHASES",
    "Attempt",
    "EngineCalls",
    "Gap",
    "GapName",
    "Git",
    "Journal",
    "Lane",
    "Ledger",
    "Living",
    "Machine",
    "Open",
    "Outcome",
    "Phase",
    "PhaseTotal",
    "RunRecord",
    "Sample",
    "Sampler",
    "SharedCost",
    "Span",
    "SpanPhase",
    "StackRecord",
    "Summary",
    "Tape",
    "TestRecord",
    "Told",
    "UnitRecord",
    "WorkerRecord",
    "calls_between",
]

__getattr__ = lazily(
    __name__,
    {
        "attempt": ("Attempt",),
        "journal": ("Journal",),
        "ledger": (
            "PHASES",
            "Ledger",
            "Phase",
            "PhaseTotal",
        ),
        "record": (
            "EngineCalls",
            "Gap",
            "GapName",
            "Git",
            "Lane",
            "Machine",
            "Outcome",
            "RunRecord",
            "Sample",
            "SharedCost",
            "Span",
            "SpanPhase",
            "StackRecord",
            "TestRecord",
            "UnitRecord",
            "WorkerRecord",
        ),
        "sampler": ("Living", "Sampler"),
        "summary": ("Summary",),
        "tape": ("Open", "Tape"),
        "told": ("Told", "calls_between"),
    },
)
