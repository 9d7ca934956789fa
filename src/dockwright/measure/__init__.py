"""Where the time of a run went."""

from typing import TYPE_CHECKING

from dockwright._lazy import lazily

if TYPE_CHECKING:
    from dockwright.measure.assembly import Facts, assemble, record_of
    from dockwright.measure.finish import (
        Ending,
        GitQuestion,
        keep,
        make_record,
        store_of,
        this_machine,
    )
    from dockwright.measure.gauges import GoneError, container_gauge
    from dockwright.measure.journal import Journal
    from dockwright.measure.messages import Summary, Told, calls_between
    from dockwright.measure.record import (
        EngineCalls,
        Gap,
        GapName,
        Git,
        Lane,
        Machine,
        Outcome,
        Phase,
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
    from dockwright.measure.recorder import Attempt, Open, Recorder, Tape
    from dockwright.measure.sampler import Living, Sampler
    from dockwright.measure.store import PastTest, RunStore, StoredRun, StoreOptions

__all__ = [
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
    "Living",
    "Machine",
    "Open",
    "Outcome",
    "PastTest",
    "Phase",
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
        "assembly": (
            "Facts",
            "assemble",
            "record_of",
        ),
        "finish": (
            "Ending",
            "GitQuestion",
            "keep",
            "make_record",
            "store_of",
            "this_machine",
        ),
        "gauges": (
            "GoneError",
            "container_gauge",
        ),
        "journal": ("Journal",),
        "messages": (
            "Summary",
            "Told",
            "calls_between",
        ),
        "record": (
            "EngineCalls",
            "Gap",
            "GapName",
            "Git",
            "Lane",
            "Machine",
            "Outcome",
            "Phase",
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
        "recorder": (
            "Attempt",
            "Open",
            "Recorder",
            "Tape",
        ),
        "sampler": (
            "Living",
            "Sampler",
        ),
        "store": (
            "PastTest",
            "RunStore",
            "StoredRun",
            "StoreOptions",
        ),
    },
)
