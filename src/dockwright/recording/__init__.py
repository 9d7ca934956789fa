"""Where the time of a run went."""

from typing import TYPE_CHECKING

from dockwright._lazy import lazily

if TYPE_CHECKING:
    from dockwright.recording.assembly import RunInfo, assemble, record_of
    from dockwright.recording.codec import decoded, encoded
    from dockwright.recording.costs import (
        measured_resources,
        measured_tests,
        recorded_costs,
        recorded_tests,
    )
    from dockwright.recording.finish import (
        Ending,
        GitQuestion,
        keep,
        make_record,
        store_of,
        this_machine,
        without_secrets,
    )
    from dockwright.recording.gauges import GoneError, container_gauge
    from dockwright.recording.journal import StackTimeline
    from dockwright.recording.messages import BrokerReport, Summary, calls_between
    from dockwright.recording.record import (
        UNAWAITED,
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
    from dockwright.recording.recorder import Attempt, OpenSpan, Recorder, SpanRecorder
    from dockwright.recording.sampler import RunningCopy, Sampler
    from dockwright.recording.store import PastTest, RunStore, StoredRun, StoreOptions

__all__ = [
    "UNAWAITED",
    "Attempt",
    "BrokerReport",
    "Ending",
    "EngineCalls",
    "Gap",
    "GapName",
    "Git",
    "GitQuestion",
    "GoneError",
    "Lane",
    "Machine",
    "OpenSpan",
    "Outcome",
    "PastTest",
    "Phase",
    "Recorder",
    "RunInfo",
    "RunRecord",
    "RunStore",
    "RunningCopy",
    "Sample",
    "Sampler",
    "SharedCost",
    "Span",
    "SpanPhase",
    "SpanRecorder",
    "StackRecord",
    "StackTimeline",
    "StoreOptions",
    "StoredRun",
    "Summary",
    "TestRecord",
    "UnitRecord",
    "WorkerRecord",
    "assemble",
    "calls_between",
    "container_gauge",
    "decoded",
    "encoded",
    "keep",
    "make_record",
    "measured_resources",
    "measured_tests",
    "record_of",
    "recorded_costs",
    "recorded_tests",
    "store_of",
    "this_machine",
    "without_secrets",
]

__getattr__ = lazily(
    __name__,
    {
        "assembly": (
            "RunInfo",
            "assemble",
            "record_of",
        ),
        "codec": (
            "decoded",
            "encoded",
        ),
        "costs": ("measured_resources", "measured_tests", "recorded_costs", "recorded_tests"),
        "finish": (
            "Ending",
            "GitQuestion",
            "keep",
            "make_record",
            "store_of",
            "this_machine",
            "without_secrets",
        ),
        "gauges": (
            "GoneError",
            "container_gauge",
        ),
        "journal": ("StackTimeline",),
        "messages": (
            "BrokerReport",
            "Summary",
            "calls_between",
        ),
        "record": (
            "UNAWAITED",
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
            "OpenSpan",
            "Recorder",
            "SpanRecorder",
        ),
        "sampler": (
            "RunningCopy",
            "Sampler",
        ),
        "store": (
            "PastTest",
            "RunStore",
            "StoreOptions",
            "StoredRun",
        ),
    },
)
