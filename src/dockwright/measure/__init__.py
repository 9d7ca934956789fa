"""Where the time of a run went."""

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
from dockwright.measure.summary import Summary

__all__ = [
    "PHASES",
    "EngineCalls",
    "Gap",
    "GapName",
    "Git",
    "Lane",
    "Ledger",
    "Machine",
    "Outcome",
    "Phase",
    "PhaseTotal",
    "RunRecord",
    "Sample",
    "SharedCost",
    "Span",
    "SpanPhase",
    "StackRecord",
    "Summary",
    "TestRecord",
    "UnitRecord",
    "WorkerRecord",
]
