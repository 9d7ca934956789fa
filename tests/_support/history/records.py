"""Stores with made-up runs of one suite, in which something became slower."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dockwright.recording import (
    Git,
    Machine,
    RunRecord,
    RunStore,
    SharedCost,
    Span,
    StackRecord,
    StoreOptions,
    TestRecord,
    UnitRecord,
)

MACHINE = Machine("a cpu", 2, 8 << 30, "docker 20.10.24", "6.1", "Linux", "3.11.2")
_BEGAN_S = 1.8e9


@dataclass(frozen=True)
class Suite:
    """What a run takes; each time varies by a few percent.

    Attributes:
        call_s: the bodies of the tests, by the number of the test.
        fixture_s: the fixture ``basket`` of the first test.
        shared_s: the fixture ``catalogue``, which all tests share.
        ready_s: how long each service takes to become ready.
        image: of the service ``db``.
        machine: by how much everything is multiplied.
        branch: of the source.
    """

    call_s: Mapping[int, float] = field(
        default_factory=lambda: {number: 0.5 + number / 10 for number in range(12)}
    )
    fixture_s: float = 0.2
    shared_s: float = 0.8
    ready_s: Mapping[str, float] = field(default_factory=lambda: {"db": 1.2, "web": 0.4})
    image: str = "sha256:" + "a" * 64
    machine: float = 1.0
    branch: str = "main"

    def run(self, number: int) -> RunRecord:
        dice = random.Random(number)

        def varied(seconds: float) -> float:
            return seconds * self.machine * dice.lognormvariate(0.0, 0.02)

        tests = tuple(self._test(at, call_s, varied) for at, call_s in self.call_s.items())
        return RunRecord(
            f"20270115-{number:06}-abcdef",
            _BEGAN_S + 3600 * number,
            varied(30.0),
            0,
            Git(f"{number:04x}" + "0" * 36, self.branch, dirty=False),
            MACHINE,
            tests=tests,
            stacks=(self._stack(varied),),
            shared=(SharedCost("fixture", "catalogue", "main", varied(self.shared_s), 12),),
        )

    def _test(self, at: int, call_s: float, varied: Callable[[float], float]) -> TestRecord:
        spans = [Span("call", "", 1.0 * at, varied(call_s))]
        if at == 0:
            spans.insert(0, Span("fixture", "basket", 0.0, varied(self.fixture_s), "setup"))
        wall_s = sum(span.seconds for span in spans)
        name = f"test_shop.py::test_{at}"
        return TestRecord(
            name, "main", 1.0 * at, wall_s, "passed", "stateful", "dw-1", tuple(spans)
        )

    def _stack(self, varied: Callable[[float], float]) -> StackRecord:
        waits = [Span("wait", name, 0.2, varied(s)) for name, s in self.ready_s.items()]
        start = Span("start", "", 0.0, 0.3 + max(span.seconds for span in waits))
        units = (UnitRecord("db", "c1", varied(2.0), 80_000_000, image=self.image),)
        return StackRecord("dw-1", "default", (start, *waits), units)


def store_with(file: Path, *parts: tuple[Suite, int]) -> RunStore:
    """Return a store with so many runs of each suite, one after the other."""
    suites: Sequence[Suite] = [suite for suite, runs in parts for _ in range(runs)]
    store = RunStore(file, StoreOptions(keep_days=0, keep_runs=0))
    store.add(*(suite.run(number) for number, suite in enumerate(suites)))
    return store
