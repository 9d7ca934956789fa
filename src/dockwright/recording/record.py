"""The record of one run: the frozen values that the store saves and the reports show.

Three kinds of lanes divide the time of a run:

    worker   its gaps and the elapsed time of its tests add up to the wall time of the run
    test     its spans that are not shared add up to `wall_s`; with the shared ones, to
             `elapsed_s`, from the start of its setup to the end of its teardown
    stack    what happened to one copy, mostly in the background; the spans overlap

All times are in seconds; `began_s` and `at_s` count from the start of the run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from dockwright.model import Json, Trace
from dockwright.recording.codec import decoded, encoded

Phase: TypeAlias = Literal["queue", "start", "wait", "fixture", "call", "reset", "cleanup"]
"""What time is spent on, in the order of a test's life; `report.summary` has the words."""

SpanPhase: TypeAlias = Literal[Phase, "lease", "other"]
"""The phases, the time during which a stack was leased, and the rest."""

UNAWAITED = "in the background"
"""The name of a cleanup's span if the run did not wait for it."""

Lane: TypeAlias = Literal["stateless", "stateful", "module", "none"]
"""How a test used a stack; ``none``: not at all, or through its own fixture."""

Outcome: TypeAlias = Literal["passed", "failed", "error", "skipped", "xfailed", "xpassed", "rerun"]

QueueCause: TypeAlias = Literal["starting", "resetting", "in use", "asking"]
"""Why a test waited for a stack; the name of its ``queue`` spans."""

GapName: TypeAlias = Literal["starting", "collection", "unrecorded", "between", "closing", "ending"]


@dataclass(frozen=True, slots=True)
class Span:
    """A period of time that was spent on one thing.

    Attributes:
        phase: what kind of thing.
        name: the fixture, service, `QueueCause` or holder of a lease.
        began_s: when it began.
        seconds: its duration, without the spans inside it.
        step: ``setup`` or ``teardown`` of a fixture, otherwise empty.
        shared: whether other tests used it as well (the start of a stack, a fixture with a wider
            scope); shared time is not charged to the test during which it passed.
        certain: whether it was measured; False: it is an estimate.
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
        began_s: when its setup began.
        wall_s: from then to the end of its teardown, without shared time.
        outcome: how it ended.
        lane: how it used a stack.
        stack: the project of the copy that it leased, or an empty string.
        spans: how its time was spent, in order; everything unnamed is one `other` span.
        message: the first line of its failure; empty if it did not fail.
        audited: whether it was looked at by itself (``--dockwright-audit``).
        traces: what it left, if it was.
        logs: what its services logged about errors before it failed, such as ``db: ERROR: ...``.
    """

    __test__ = False  # pytest would collect it for its name

    nodeid: str
    worker: str
    began_s: float
    wall_s: float
    outcome: Outcome
    lane: Lane = "none"
    stack: str = ""
    spans: tuple[Span, ...] = ()
    message: str = ""
    audited: bool = False
    traces: tuple[Trace, ...] = ()
    logs: tuple[str, ...] = ()

    @property
    def elapsed_s(self) -> float:
        """From the start of its setup to the end of its teardown, with shared time."""
        return self.wall_s + sum(span.seconds for span in self.spans if span.shared)


@dataclass(frozen=True, slots=True)
class Gap:
    """Time of a worker in which it ran no test.

    Attributes:
        name: what it did instead; ``between`` is the sum of all gaps between tests.
        began_s: when the (first) gap began.
        seconds: its duration, or their sum.
    """

    name: GapName
    began_s: float
    seconds: float


@dataclass(frozen=True, slots=True)
class WorkerRecord:
    """One process that ran tests.

    Attributes:
        name: ``main``, or xdist's id such as ``gw0``.
        gaps: the times when it ran no test.
        cpu_s: processor time of the process.
        children_cpu_s: processor time of its child processes that have ended.
        peak_memory_bytes: peak memory of the process itself; None: unknown.
        read_bytes: read from storage; None: unknown.
        written_bytes: written to storage; None: unknown.
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
    """What one container or native process of a stack used; None: unknown.

    Attributes:
        unit: the name of the service or process.
        id: the container's id, or the pid.
        cpu_s: processor time.
        peak_memory_bytes: highest memory sample, without reclaimable page cache.
        read_bytes: read from storage.
        written_bytes: written to storage.
        received_bytes: from the network.
        sent_bytes: to the network.
        log_bytes: size of its log.
        image: the id of the container's image; empty: unknown, or a native process.
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
    image: str = ""


@dataclass(frozen=True, slots=True)
class StackRecord:
    """One copy of a stack.

    Attributes:
        project: its Compose project name.
        name: the declared stack's name.
        spans: its ``start``, the ``wait`` for each service, each ``lease`` (by holder), each
            ``reset`` and its ``cleanup``.
        units: resources used by its containers and processes.
    """

    project: str
    name: str
    spans: tuple[Span, ...] = ()
    units: tuple[UnitRecord, ...] = ()


@dataclass(frozen=True, slots=True)
class Sample:
    """What a container or process had used by one moment; None: unknown.

    Attributes:
        at_s: the moment.
        subject: ``PROJECT/SERVICE``, or the name of a worker (with its child processes).
        cpu_s: processor time until then.
        memory_bytes: memory at that moment, without reclaimable page cache.
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
    """Something that several tests used.

    Attributes:
        phase: ``fixture``, or ``start`` for the start of a stack.
        name: the name of the fixture or the declared stack.
        lane: the worker, or the project of the copy.
        seconds: its duration, setup and teardown together.
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
    """The tested source; `dirty`: with uncommitted changes (None: unknown)."""

    revision: str = ""
    branch: str = ""
    dirty: bool | None = None


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine of a run; runs on different machines are not compared."""

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
        id: unique; ids sort by time.
        began_s: when the run began, in seconds since the epoch.
        wall_s: its duration, until the record was made.
        exit_code: pytest's exit code.
        git: the tested source.
        machine: where it ran.
        settings: dockwright's settings that are not default, as strings.
        workers: the processes that ran tests.
        tests: in the order in which they ended.
        stacks: the copies of the stacks.
        samples: ordered by time.
        shared: what several tests used.
        engine_calls: most expensive kind first.
        counts: how often something happened: ``started``, ``resets``, ``replaced``, ``leases``.
        notes: further information for the user.
        problems: what could not be cleaned up.
        predicted_s: how long it was expected to take, from earlier runs; 0: unknown.
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
    predicted_s: float = 0.0

    def to_json(self) -> dict[str, Json]:
        """Return it as JSON values."""
        return encoded(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Json]) -> RunRecord:
        """Return the record that `to_json` of this version, or an older one, describes.

        Raises:
            ValueError: `values` are not a run.
        """
        return decoded(cls, values)
