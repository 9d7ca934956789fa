"""What containers and processes use is read cheaply, and agrees with what the engine says."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import psutil
import pytest

from dockwright.engine import Engine
from dockwright.recording import RunningCopy, Sampler
from dockwright.recording.gauges import (
    ControlGroups,
    GoneError,
    Reading,
    _from_engine,
    container_gauge,
    process_gauge,
)
from dockwright.wait import Continue, Outcome, Ready, until
from tests._support.owned import Owned

BUSY = "echo some words; head -c 20000000 /dev/zero > /tmp/zeros; while :; do sleep 0.1; done"


@pytest.fixture
def container(owned: Owned, scratch: str) -> str:
    return owned.run(scratch, "sh", "-c", BUSY)


@pytest.mark.engine
def test_control_groups_agree_with_the_engine(engine: Engine, container: str) -> None:
    gauge = container_gauge(engine, container)
    if not isinstance(getattr(gauge, "__self__", None), ControlGroups):
        pytest.skip("the control groups of this engine's containers cannot be read here")
    before, told, after = gauge(), _from_engine(engine.stats(container)), gauge()
    assert (before.cpu_s or 0) <= (told.cpu_s or 0) <= (after.cpu_s or 0)
    assert after.memory_bytes == pytest.approx(told.memory_bytes, abs=8 << 20)
    assert after.received_bytes is None or after.received_bytes >= (told.received_bytes or 0)
    assert after.log_bytes is None or after.log_bytes >= len("some words")


@pytest.mark.engine
def test_a_container_that_has_ended_is_gone(engine: Engine, container: str) -> None:
    gauge = container_gauge(engine, container)
    engine.remove_container(container)
    with pytest.raises(GoneError):
        gauge()


@pytest.mark.engine
def test_without_control_groups_the_engine_is_asked(engine: Engine, container: str) -> None:
    reading = _from_engine(engine.stats(container))
    assert (reading.cpu_s or 0) > 0
    assert (reading.memory_bytes or 0) > 0
    engine.kill_container(container)
    until(lambda: _ended(engine, container), subject="the container", timeout_s=20)
    with pytest.raises(GoneError):
        _from_engine(engine.stats(container))


def _ended(engine: Engine, container: str) -> Outcome:
    running = engine.inspect_container(container)["State"]["Running"]
    return Continue("it runs") if running else Ready()


def test_a_process_is_sampled_with_its_children() -> None:
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]])"
    busy = "x = bytearray(60_000_000); print('up', flush=True); import sys; sys.stdin.read()"
    parent = subprocess.Popen(
        [sys.executable, "-c", code, busy], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"up\n"
        reading = process_gauge(parent.pid)()
        alone = psutil.Process(parent.pid).memory_info().rss
        assert (reading.memory_bytes or 0) > 60_000_000 + alone
    finally:
        parent.communicate(timeout=30)
    with pytest.raises(GoneError):
        process_gauge(parent.pid)()


class Machine:
    """A sampler on readings that a test gives."""

    def __init__(self) -> None:
        self.copies = [RunningCopy("p", {"db": "c1"})]
        self.sampler = Sampler(lambda: self.copies, lambda: None, clock=lambda: 5.0)
        self.reading = Reading()
        self.gone = False

    def gauge(self) -> Reading:
        if self.gone:
            raise GoneError
        return self.reading

    def look(self, **used: float) -> None:
        """Have the copy sampled when it has used so much."""
        self.reading = Reading(**used)  # type: ignore[arg-type]  # fields by name
        self.sampler.look(self.copies[0])


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    found = Machine()
    monkeypatch.setattr(found.sampler, "_gauge", lambda subject: found.gauge)
    found.sampler._lanes["main"] = 0  # somebody wants samples; the thread stays off
    yield found
    found.sampler.close()


def test_units_keep_the_peak_and_the_latest_sums(machine: Machine) -> None:
    machine.look(cpu_s=1.0, memory_bytes=50, read_bytes=1)
    machine.look(cpu_s=2.0, memory_bytes=90, read_bytes=2)
    machine.look(cpu_s=3.0, memory_bytes=10, read_bytes=4)
    samples, units = machine.sampler.drain()
    assert [(each.subject, each.at_s, each.cpu_s) for each in samples] == [
        ("p/db", 5.0, 1.0),
        ("p/db", 5.0, 2.0),
        ("p/db", 5.0, 3.0),
    ]
    (unit,) = units["p"]
    assert (unit.unit, unit.id, unit.cpu_s, unit.peak_memory_bytes) == ("db", "c1", 3.0, 90)
    assert (unit.read_bytes, unit.sent_bytes) == (4, None)
    assert machine.sampler.drain() == ((), {})


def test_a_restarted_container_keeps_its_sums(machine: Machine) -> None:
    machine.look(cpu_s=4.0)
    machine.look(cpu_s=1.0)
    machine.look(cpu_s=1.5)
    _, units = machine.sampler.drain()
    assert units["p"][0].cpu_s == 5.5


def test_ended_containers_are_not_sampled(machine: Machine) -> None:
    machine.look(cpu_s=1.0)
    machine.gone = True
    machine.look()
    samples, units = machine.sampler.drain()
    assert len(samples) == 1
    assert units["p"][0].cpu_s == 1.0


def test_without_recording_nothing_is_sampled(machine: Machine) -> None:
    machine.sampler.unwatch(0)
    machine.look(cpu_s=1.0)
    assert machine.sampler.drain() == ((), {})


def test_samples_are_bounded(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dockwright.recording.sampler._MOST_SAMPLES", 100)
    for number in range(1000):
        machine.look(cpu_s=float(number))
    samples, units = machine.sampler.drain()
    assert len(samples) <= 100
    assert units["p"][0].cpu_s == 999.0


def test_a_process_that_tests_is_sampled_in_the_background() -> None:
    sampler = Sampler(list, lambda: None)
    try:
        sampler.watch("gw0", os.getpid())
        seen: list[str] = []

        def look() -> Outcome:
            seen.extend(each.subject for each in sampler.drain()[0])
            return Ready() if seen else Continue("no sample yet")

        until(look, subject="a sample", timeout_s=20)
        assert set(seen) == {"gw0"}
    finally:
        sampler.close()
