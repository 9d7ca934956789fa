"""Made-up runs: a small one, and one of any size whose times add up as real ones do."""

from __future__ import annotations

import random

from dockwright.recording import (
    EngineCalls,
    Gap,
    Git,
    Machine,
    Outcome,
    PastTest,
    RunRecord,
    Sample,
    SharedCost,
    Span,
    StackRecord,
    TestRecord,
    UnitRecord,
    WorkerRecord,
)

HOSTILE = "test_it[</script><img src=x onerror=alert(1)>&amp;]"
SERVICES = ("db", "cache", "web")


def run_of(tests: int = 40, workers: int = 2, stacks: int = 2) -> RunRecord:
    """A run in which each worker uses a stack of its own, exclusively, one test after the other."""
    dice = random.Random(7)
    lanes = [f"gw{number}" for number in range(workers)]
    at = dict.fromkeys(lanes, 1.5)
    made: list[TestRecord] = []
    spans: dict[int, list[Span]] = {number: _boot() for number in range(stacks)}
    for number in range(tests):
        lane, stack = lanes[number % workers], number % stacks
        test = _test(number, lane, stack, at[lane], dice)
        made.append(test)
        at[lane] += test.elapsed_s + 0.001
        spans[stack].append(Span("lease", test.nodeid, test.began_s, test.wall_s))
        spans[stack].append(Span("reset", "", at[lane], 0.03))
        spans[stack].append(Span("reset", "web: recreate", at[lane], 0.03))
    wall_s = max(at.values()) + 0.6
    return RunRecord(
        id="20260131-101500-0a1b2c",
        began_s=1769854500.25,
        wall_s=wall_s,
        exit_code=1,
        git=Git("0123456789abcdef", "main", dirty=True),
        machine=Machine("a cpu", 2, 8 << 30, "docker 20.10.24", "6.1", "Linux", "3.11.2"),
        settings={"max_stacks": "2"},
        workers=tuple(_worker(lane, made, wall_s) for lane in lanes),
        tests=tuple(made),
        stacks=tuple(_stack(number, spans[number]) for number in spans),
        samples=tuple(_samples(lanes, stacks, wall_s, dice)),
        shared=(SharedCost("fixture", "client", "gw0", 0.2, tests),),
        engine_calls=(EngineCalls("start container", 6, 1.2), EngineCalls("inspect", 40, 0.2)),
        counts={"started": stacks, "leases": tests, "resets": tests},
        notes=("the stacks stay for the next run",),
    )


def past_of(run: RunRecord, runs: int = 8) -> list[PastTest]:
    """What the same tests did before, the latest run first."""
    return [
        PastTest(
            test.nodeid,
            f"r{number:02}",
            run.began_s - 3600 * number,
            "failed" if (number + place) % 17 == 0 else "passed",
            test.wall_s * (1 + (number * 7 + place) % 5 / 10),
            0.0,
            test.lane,
        )
        for number in range(1, runs + 1)
        for place, test in enumerate(run.tests)
    ]


def _boot() -> list[Span]:
    waits = [Span("wait", name, 0.5, 0.3 + 0.2 * at) for at, name in enumerate(SERVICES)]
    return [Span("start", "", 0.3, 1.1), *waits]


def _test(number: int, lane: str, stack: int, began_s: float, dice: random.Random) -> TestRecord:
    name = HOSTILE if number == 3 else f"test_{dice.choice(('order', 'stock', 'login'))}_{number}"
    outcome: Outcome = "failed" if number % 19 == 3 else "skipped" if number % 23 == 5 else "passed"
    parts = [
        ("queue", "resetting" if number > 4 else "starting", "", number <= 1),
        ("fixture", "db", "setup", False),
        ("call", "", "", False),
        ("other", "", "", False),
        ("fixture", "db", "teardown", False),
    ]
    spans: list[Span] = []
    at = began_s
    for phase, cause, step, shared in parts:
        seconds = dice.lognormvariate(-4, 1) * (3 if phase == "call" else 0.4)
        spans.append(Span(phase, cause, at, seconds, step, shared))  # type: ignore[arg-type]  # texts of parts
        at += seconds
    return TestRecord(
        f"tests/area_{number % 40}/test_part_{number // 25}.py::{name}",
        lane,
        began_s,
        sum(span.seconds for span in spans if not span.shared),
        outcome,
        "stateful" if number % 3 else "stateless",
        f"dw-shop-{stack}",
        tuple(spans),
    )


def _worker(lane: str, tests: list[TestRecord], wall_s: float) -> WorkerRecord:
    mine = [test for test in tests if test.worker == lane]
    end = mine[-1].began_s + mine[-1].elapsed_s
    between_s = end - 1.5 - sum(test.elapsed_s for test in mine)
    gaps = (
        Gap("starting", 0.0, 0.5),
        Gap("collection", 0.5, 1.0),
        Gap("between", 1.5, between_s),
        Gap("closing", end, wall_s - end),
    )
    return WorkerRecord(lane, gaps, 1.5, 0.25, 90 << 20)


def _stack(number: int, spans: list[Span]) -> StackRecord:
    units = tuple(
        UnitRecord(name, f"{name}{number}", 0.5, (20 + 30 * at) << 20, 10, 2048, 30, 40, 5000)
        for at, name in enumerate(SERVICES)
    )
    end = spans[-1].began_s + 0.1
    return StackRecord(
        f"dw-shop-{number}", "default", (*spans, Span("cleanup", "", end, 0.3)), units
    )


def _samples(lanes: list[str], stacks: int, wall_s: float, dice: random.Random) -> list[Sample]:
    subjects = [*lanes, *(f"dw-shop-{n}/{name}" for n in range(stacks) for name in SERVICES)]
    used = dict.fromkeys(subjects, 0.0)
    step_s = max(0.2, wall_s / 600)
    found = []
    for tick in range(int(wall_s / step_s)):
        for place, subject in enumerate(subjects):
            used[subject] += dice.random() * step_s * 0.6
            memory = int((30 + 12 * place + 4 * dice.random()) * 2**20)
            found.append(Sample(tick * step_s, subject, round(used[subject], 3), memory))
    return found
