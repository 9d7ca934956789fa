"""Where the time of a run went."""

from typing import TYPE_CHECKING

from dockwright._lazy import lazily

if TYPE_CHECKING:
    from dockwright.measure.assembly import Facts, assemble
    from dockwright.measure.attempt import Attempt
    from dockwright.measure.conclude import Ending, keep, make_record, store_of
    from dockwright.measure.division import record_of
    from dockwright.measure.gauges import GoneError, container_gauge
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
    from dockwright.measure.recorder import Recorder
    from dockwright.measure.rows import PastTest, StoredRun
    from dockwright.measure.sampler import Living, Sampler
    from dockwright.measure.store import RunStore, StoreOptions
    from dockwright.measure.summary import Summary
    from dockwright.measure.surroundings import GitQuestion, this_machine
    from dockwright.measure.tape import Open, Tape
    from dockwright.measure.told import Told, calls_between

__all__ = [
    "PHASES",
    "Attempt",
    "Ending",
    "EngineCalls",
    "Facts",
    "Gap",
    "GapName",
    "Git",
    "GitQuestion",
    "GoneError",
    "Journal",
    "Lane",
    "Ledger",
    "Living",
    "Machine",
    "Open",
    "Outcome",
    "PastTest",
    "Phase",
    "PhaseTotal",
    "Recorder",
    "RunRecord",
    "RunStore",
    "Sample",
    "Sampler",
    "SharedCost",
    "Span",
    "SpanPhase",
    "StackRecord",
    "StoreOptions",
    "StoredRun",
    "Summary",
    "Tape",
    "TestRecord",
    "Told",
    "UnitRecord",
    "WorkerRecord",
    "assemble",
    "calls_between",
    "container_gauge",
    "keep",
    "make_record",
    "record_of",
    "store_of",
    "this_machine",
]

__getattr__ = lazily(
    __name__,
    {
        "assembly": ("Facts", "assemble"),
        "attempt": ("Attempt",),
        "conclude": ("Ending", "keep", "make_record", "store_of"),
        "division": ("record_of",),
        "gauges": ("GoneError", "container_gauge"),
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
        "recorder": ("Recorder",),
        "rows": ("PastTest", "StoredRun"),
        "sampler": ("Living", "Sampler"),
        "store": ("RunStore", "StoreOptions"),
        "summary": ("Summary",),
        "surroundings": ("GitQuestion", "this_machine"),
        "tape": ("Open", "Tape"),
        "told": ("Told", "calls_between"),
    },
)
