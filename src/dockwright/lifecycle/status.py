"""What a long-lived stack looks like: state, health, ports, and what it uses of the machine."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

from dockwright.engine import parallel
from dockwright.errors import EngineError
from dockwright.lifecycle.health import Health, health_of
from dockwright.measure.gauges import (
    Gauge,
    GoneError,
    Reading,
    container_gauge,
    process_gauge,
)
from dockwright.stack import Stack, UnitStatus, statuses

_SPAN_S = 0.25
"""How far apart two readings of a processor's use are, at least: some clocks tick every 10 ms."""


@dataclass(frozen=True, slots=True)
class UnitLook:
    """One service or native process, as it was seen at one moment.

    Attributes:
        unit: its state, ports and uptime.
        health: whether it serves.
        cpu_percent: of one processor, since the look before; None: it does not run, or nobody can
            tell.
        memory_bytes: without the page cache that could be given back; None as above.
    """

    unit: UnitStatus
    health: Health
    cpu_percent: float | None = None
    memory_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class _Used:
    gauge: Gauge
    reading: Reading
    at_s: float


class Looker:
    """Looks at a stack, once or again and again: the use of a processor needs two readings.

    Args:
        clock: tells the time, in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._used: dict[str, _Used] = {}

    def look(self, stack: Stack) -> list[UnitLook]:
        """Return what every unit of an attached stack looks like now, in start order."""
        units = statuses(stack)
        running = {key: unit for unit in units if (key := _key(stack, unit)) is not None}
        before = {key: used for key, used in self._used.items() if key in running}
        first = self._readings(stack, {k: u for k, u in running.items() if k not in before})
        # Health is asked for between the two readings, so that the wait costs nothing.
        healths = parallel.run([partial(health_of, stack, unit) for unit in units])
        if first:
            began = max(used.at_s for used in first.values())
            # Nothing happens that could be waited for: a rate needs time to pass.
            threading.Event().wait(max(0.0, began + _SPAN_S - self._clock()))
        before |= first
        self._used = _batched({key: partial(self._again, used) for key, used in before.items()})
        return [
            UnitLook(unit, health, *self._use(_key(stack, unit), before))
            for unit, health in zip(units, healths, strict=True)
        ]

    def _readings(self, stack: Stack, units: Mapping[str, UnitStatus]) -> dict[str, _Used]:
        return _batched({key: partial(self._first, stack, unit) for key, unit in units.items()})

    def _first(self, stack: Stack, unit: UnitStatus) -> _Used | None:
        try:
            if unit.kind == "process":
                gauge = process_gauge(int(unit.identifier))
            else:
                gauge = container_gauge(stack.engine, stack.containers[unit.name])
            return self._read(gauge)
        except (GoneError, EngineError):
            return None

    def _again(self, used: _Used) -> _Used | None:
        try:
            return self._read(used.gauge)
        except (GoneError, EngineError):
            return None

    def _read(self, gauge: Gauge) -> _Used:
        reading = gauge()
        return _Used(gauge, reading, self._clock())

    def _use(self, key: str | None, before: Mapping[str, _Used]) -> tuple[float | None, int | None]:
        now, then = self._used.get(key or ""), before.get(key or "")
        if now is None or then is None:
            return None, None
        span_s, memory = now.at_s - then.at_s, now.reading.memory_bytes
        if now.reading.cpu_s is None or then.reading.cpu_s is None or span_s <= 0:
            return None, memory
        return max(0.0, now.reading.cpu_s - then.reading.cpu_s) / span_s * 100, memory


def _batched(tasks: Mapping[str, Callable[[], _Used | None]]) -> dict[str, _Used]:
    """Run tasks at the same time; return what they gave, without those that gave nothing."""
    results = parallel.run(list(tasks.values()))
    return {key: each for key, each in zip(tasks, results, strict=True) if each is not None}


def _key(stack: Stack, unit: UnitStatus) -> str | None:
    """Return what tells this life of a unit from another one; None where it does not run."""
    if unit.state != "running":
        return None
    return unit.identifier if unit.kind == "process" else stack.containers[unit.name]
