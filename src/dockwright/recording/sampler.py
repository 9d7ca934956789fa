"""Samples, at a bounded rate, what the stacks and the processes that test them use."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from dockwright.engine import Engine
from dockwright.errors import EngineError
from dockwright.recording.gauges import Gauge, GoneError, Reading, container_gauge, process_gauge
from dockwright.recording.record import Sample, UnitRecord

_log = logging.getLogger(__name__)

_EVERY_S = 1.0
_MOST_A_LOOK = 32
"""More subjects than these take turns: a look at 32 containers takes some 10 ms."""

_MOST_SAMPLES = 20_000
"""Beyond them every second one goes, and from then on half as many come."""

_GROWING = ("cpu_s", "read_bytes", "written_bytes", "received_bytes", "sent_bytes")


@dataclass(frozen=True, slots=True)
class RunningCopy:
    """A running copy of a stack that is sampled.

    Attributes:
        project: its project name.
        containers: their ids, by service.
        processes: the pids of its native processes, by name.
        images: the ids of the images, by service.
    """

    project: str
    containers: Mapping[str, str]
    processes: Mapping[str, int] = field(default_factory=dict)
    images: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Subject:
    """What is sampled; `project` is empty for a process that runs tests."""

    project: str
    unit: str
    id: str
    is_process: bool = False
    image: str = ""

    @property
    def name(self) -> str:
        return f"{self.project}/{self.unit}" if self.project else self.unit


@dataclass(slots=True)
class _Known:
    """What was read of a subject so far.

    Attributes:
        gauge: reads it; None: it cannot be read.
        last: the latest reading.
        before: what it had used in earlier lives: a container that starts again counts from zero.
        peak: the most memory seen.
    """

    gauge: Gauge | None
    last: Reading = Reading()  # noqa: RUF009 - it is frozen
    before: dict[str, float] = field(default_factory=dict)
    peak: int | None = None

    def note(self, reading: Reading) -> None:
        for name in _GROWING:
            was, now = getattr(self.last, name), getattr(reading, name)
            if was is not None and (now is None or now < was):
                self.before[name] = self.before.get(name, 0) + was
        if reading.memory_bytes is not None:
            self.peak = max(self.peak or 0, reading.memory_bytes)
        self.last = reading

    def used(self) -> Reading:
        """Return the latest reading with what earlier lives used."""
        more: dict[str, Any] = {  # of each field's own type
            name: (getattr(self.last, name) or 0) + before for name, before in self.before.items()
        }
        return replace(self.last, **more)


class Sampler:
    """Samples everything about once a second, in its own thread, while a run is recorded.

    Args:
        living: returns the copies that exist now.
        engine: on which they are; None as long as there is none.
        clock: returns the time in seconds.
    """

    def __init__(
        self,
        living: Callable[[], Iterable[RunningCopy]],
        engine: Callable[[], Engine | None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._living = living
        self._engine = engine
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[_Subject, _Known] = {}
        self._lanes: dict[str, int] = {}
        self._samples: list[Sample] = []
        self._sampled: set[_Subject] = set()
        self._every_s = _EVERY_S
        self._turn = 0
        self._wake = threading.Event()
        self._ended = False
        self._thread: threading.Thread | None = None

    @property
    def wanted(self) -> bool:
        """Whether a run is being recorded."""
        return bool(self._lanes)

    def watch(self, lane: str, pid: int) -> None:
        """Sample from now on, and with the stacks this process, which runs tests."""
        with self._lock:
            self._lanes[lane] = pid
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._run, name="dockwright-sampler", daemon=True
                )
                self._thread.start()
        self._wake.set()

    def unwatch(self, pid: int) -> None:
        """Forget a process; without one that wants them there are no samples."""
        with self._lock:
            self._lanes = {lane: each for lane, each in self._lanes.items() if each != pid}

    def close(self) -> None:
        """End the thread."""
        self._ended = True
        self._wake.set()

    def look(self, copy: RunningCopy) -> None:
        """Sample one copy now, before its containers are removed."""
        if self.wanted:
            self._read(_subjects_of(copy))

    def drain(self) -> tuple[tuple[Sample, ...], Mapping[str, tuple[UnitRecord, ...]]]:
        """Return the samples since the last call, and what the units of each copy used so far."""
        living = set(self._subjects())
        with self._lock:
            samples, self._samples = self._samples, []
            sampled, self._sampled = self._sampled, set()
            units: dict[str, list[UnitRecord]] = {}
            for subject in sampled:
                if subject.project:
                    units.setdefault(subject.project, []).append(
                        _unit(subject, self._known[subject])
                    )
            self._known = {each: known for each, known in self._known.items() if each in living}
        return tuple(samples), {project: tuple(own) for project, own in units.items()}

    def _run(self) -> None:
        while not self._ended:
            # Wakes up early for `close` and `watch`.
            self._wake.wait(self._every_s if self.wanted else None)
            self._wake.clear()
            if self.wanted and not self._ended:
                self._read(self._next(self._subjects()))

    def _next(self, subjects: list[_Subject]) -> list[_Subject]:
        if len(subjects) <= _MOST_A_LOOK:
            return subjects
        begin = self._turn % len(subjects)
        self._turn = begin + _MOST_A_LOOK
        return [*subjects[begin:], *subjects[:begin]][:_MOST_A_LOOK]

    def _subjects(self) -> list[_Subject]:
        found = [subject for copy in self._living() for subject in _subjects_of(copy)]
        with self._lock:
            lanes = dict(self._lanes)
        return found + [
            _Subject("", lane, str(pid), is_process=True) for lane, pid in lanes.items()
        ]

    def _read(self, subjects: list[_Subject]) -> None:
        for subject in subjects:
            known = self._known.get(subject)
            if known is None:
                known = self._known[subject] = _Known(self._gauge(subject))
            if known.gauge is None:
                continue
            try:
                reading = known.gauge()
            except GoneError:
                # It may come back: a container that was stopped or restarted.
                known.gauge = self._gauge(subject)
            except EngineError as failure:
                _log.debug("no sample of %s: %s", subject.name, failure)
            else:
                self._note(subject, known, reading)

    def _note(self, subject: _Subject, known: _Known, reading: Reading) -> None:
        with self._lock:
            known.note(reading)
            self._sampled.add(subject)
            self._samples.append(_sample(self._clock(), subject, known.used()))
            if len(self._samples) > _MOST_SAMPLES:
                del self._samples[::2]
                self._every_s *= 2

    def _gauge(self, subject: _Subject) -> Gauge | None:
        engine = self._engine()
        try:
            if subject.is_process:
                return process_gauge(int(subject.id))
            return container_gauge(engine, subject.id) if engine is not None else None
        except (GoneError, EngineError):
            return _gone


def _subjects_of(copy: RunningCopy) -> list[_Subject]:
    containers = [
        _Subject(copy.project, name, container, image=copy.images.get(name, ""))
        for name, container in copy.containers.items()
    ]
    processes = [
        _Subject(copy.project, name, str(pid), is_process=True)
        for name, pid in copy.processes.items()
    ]
    return containers + processes


def _gone() -> Reading:
    raise GoneError


def _sample(at: float, subject: _Subject, used: Reading) -> Sample:
    return Sample(
        at,
        subject.name,
        used.cpu_s,
        used.memory_bytes,
        used.read_bytes,
        used.written_bytes,
        used.received_bytes,
        used.sent_bytes,
    )


def _unit(subject: _Subject, known: _Known) -> UnitRecord:
    used = known.used()
    return UnitRecord(
        subject.unit,
        subject.id,
        used.cpu_s,
        known.peak,
        used.read_bytes,
        used.written_bytes,
        used.received_bytes,
        used.sent_bytes,
        used.log_bytes,
        subject.image,
    )
