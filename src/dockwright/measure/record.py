"""What is known of one run: the frozen values that the store keeps and reports show.

Three kinds of lanes hold a run's time:

    worker   its gaps and what its tests elapsed add up to the wall time of the run
    test     its spans that are not shared add up to its `wall_s`; with the shared ones, to
             `elapsed_s`, from the begin of its set-up to the end of its tear-down
    stack    what happened to one copy, most of it behind the tests: it adds up to nothing

All times are in seconds; `began_s` and `at_s` count from the begin of the run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from dockwright.measure.codec import decoded, encoded
from dockwright.model import Json

Phase: TypeAlias = Literal["queue", "start", "wait", "fixture", "call", "reset", "cleanup"]
"""What time is spent on, in the order of a test's life; `report.summary` has the words."""

SpanPhase: TypeAlias = Phase | Literal["lease", "other"]
"""The phases, the time for which a stack was leased, and what belongs to no phase."""

Lane: TypeAlias = Literal["stateless", "stateful", "module", "none"]
"""How a test used a stack; ``none``: it used none, or through a fixture of its own."""

Outcome: TypeAlias = Literal["passed", "failed", "error", "skipped", "xfailed", "xpassed", "rerun"]

QueueCause: TypeAlias = Literal["starting", "resetting", "in use", "asking"]
"""Why a test waited for a stack; the name of its ``queue`` spans."""

GapName: TypeAlias = Literal["starting", "collection", "unrecorded", "between", "closing", "ending"]


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time that was spent on one thing.

    Attributes:
        phase: what kind of thing.
        name: which: a fixture, a service, a `QueueCause`, the holder of a lease.
        began_s: when.
        seconds: how long, without what other spans inside of it tell.
        step: ``setup`` or ``teardown`` of a fixture; else empty.
        shared: whether others had their use of it too (a stack's boot, a fixture of a scope wider
            than a test), so that it is not charged to the test in whose time it fell.
        certain: whether it was measured; False: it was concluded from what else happened.
    """

    phase: SpanPhase
    name: str
    began_s: float
    seconds: float
    step: Literal["", "setup", "teardown"] = ""
    shared: bool = False
    certain: bool = True


@dataclass(frozen=True, slots=True)
class TestRecord:
    """One test, or one attempt at a test that was run again.

    Attributes:
        nodeid: pytest's name for it.
        worker: the process that ran it, as in `WorkerRecord`.
        began_s: when its set-up began.
        wall_s: from there to the end of its tear-down, without what is shared.
        outcome: how it ended.
        lane: how it used a stack.
        stack: the project of the copy that it leased, or an empty text.
        spans: what its time went on, in order; `other` is one span for all that has no name.
    """

    __test__ = False  # no test class, whatever pytest may think

    nodeid: str
    worker: str
    began_s: float
    wall_s: float
    outcome: Outcome
    lane: Lane = "none"
    stack: str = ""
    spans: tuple[Span, ...] = ()

    @property
    def elapsed_s(self) -> float:
        """From the begin of its set-up to the end of its tear-down, with what is shared."""
        return self.wall_s + sum(span.seconds for span in self.spans if span.shared)


@dataclass(frozen=True, slots=True)
class Gap:
    """Time of a worker in which it ran no test.

    Attributes:
        name: what it did meanwhile; ``between`` is one gap for all those between two tests.
        began_s: when the (first) gap began.
        seconds: how long it was, or they were together.
    """

    name: GapName
    began_s: float
    seconds: float


@dataclass(frozen=True, slots=True)
class WorkerRecord:
    """One process that ran tests.

    Attributes:
        name: ``main``, or xdist's id such as ``gw0``.
        gaps: when it ran no test.
        cpu_s: processor time of the process.
        children_cpu_s: that of the children for which it has waited.
        peak_memory_bytes: the most that the process itself had; None: the system does not tell.
        read_bytes: read from storage; None: the system does not tell.
        written_bytes: written to storage; None: the system does not tell.
    """

    name: str
    gaps: tuple[Gap, ...] = ()
    cpu_s: float = 0.0
    children_cpu_s: float = 0.0
    peak_memory_bytes: int | None = None
    read_bytes: int | None = None
    written_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class UnitRecord:
    """What one container, or native process, of a stack used; None: nobody could tell.

    Attributes:
        unit: the service's or process's name.
        id: the container's id, or the pid.
        cpu_s: processor time.
        peak_memory_bytes: the most memory seen, without what the page cache can give back.
        read_bytes: read from storage.
        written_bytes: written to storage.
        received_bytes: from the network.
        sent_bytes: to the network.
        log_bytes: what it wrote to its log, as the engine keeps it.
    """

    unit: str
    id: str
    cpu_s: float | None = None
    peak_memory_bytes: int | None = None
    read_bytes: int | None = None
    written_bytes: int | None = None
    received_bytes: int | None = None
    sent_bytes: int | None = None
    log_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class StackRecord:
    """One copy of a stack.

    Attributes:
        project: its Compose project name.
        name: the declared stack's name.
        spans: its ``start``, its ``wait`` for each service, each ``lease`` (by holder), each
            ``reset`` and its ``cleanup``.
        units: what its containers and processes used.
    """

    project: str
    name: str
    spans: tuple[Span, ...] = ()
    units: tuple[UnitRecord, ...] = ()


@dataclass(frozen=True, slots=True)
class Sample:
    """What something had used until one moment; None: nobody could tell.

    Attributes:
        at_s: the moment.
        subject: ``PROJECT/SERVICE``, or the name of a worker (with its children).
        cpu_s: processor time until then.
        memory_bytes: memory at that moment, without what the page cache can give back.
        read_bytes: read from storage until then.
        written_bytes: written to storage until then.
        received_bytes: from the network until then.
        sent_bytes: to the network until then.
    """

    at_s: float
    subject: str
    cpu_s: float | None = None
    memory_bytes: int | None = None
    read_bytes: int | None = None
    written_bytes: int | None = None
    received_bytes: int | None = None
    sent_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class SharedCost:
    """Something of which several tests had their use.

    Attributes:
        phase: ``fixture``, or ``start`` for a stack's boot.
        name: the fixture's, or the declared stack's.
        lane: the worker, or the copy's project.
        seconds: what it took, set-up and tear-down together.
        tests: how many tests used it.
    """

    phase: SpanPhase
    name: str
    lane: str
    seconds: float
    tests: int


@dataclass(frozen=True, slots=True)
class EngineCalls:
    """One kind of call to the engine, summed over all processes of the run."""

    name: str
    count: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Git:
    """Which source was tested; `dirty`: with changes that are not committed (None: unknown)."""

    revision: str = ""
    branch: str = ""
    dirty: bool | None = None


@dataclass(frozen=True, slots=True)
class Machine:
    """On what it ran; runs on different machines are not compared."""

    cpu: str = ""
    cores: int = 0
    memory_bytes: int = 0
    engine: str = ""
    kernel: str = ""
    os: str = ""
    python: str = ""


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One pytest invocation.

    Attributes:
        id: of the run, unique; sorts by time.
        began_s: when, seconds since the epoch.
        wall_s: how long it took, to the moment in which the record was made.
        exit_code: pytest's.
        git: the source.
        machine: where it ran.
        settings: dockwright's settings that are not default, as texts.
        workers: the processes that ran tests.
        tests: in the order in which they ended.
        stacks: the copies.
        samples: in the order of time.
        shared: what tests had together.
        engine_calls: the most expensive kind first.
        counts: how often something happened: ``started``, ``resets``, ``replaced``, ``leases``.
        notes: what a person should know beside that.
        problems: what could not be cleaned up.
    """

    id: str
    began_s: float
    wall_s: float
    exit_code: int
    git: Git = Git()
    machine: Machine = Machine()
    settings: Mapping[str, str] = field(default_factory=dict)
    workers: tuple[WorkerRecord, ...] = ()
    tests: tuple[TestRecord, ...] = ()
    stacks: tuple[StackRecord, ...] = ()
    samples: tuple[Sample, ...] = ()
    shared: tuple[SharedCost, ...] = ()
    engine_calls: tuple[EngineCalls, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Json]:
        """Return it as plain values."""
        return encoded(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Json]) -> RunRecord:
        """Read what `to_json` returned, of this version or an older one.

        Raises:
            ValueError: it is no run.
        """
        return decoded(cls, values)
