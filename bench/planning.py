"""The planner alone: time and memory for a very large suite on very many workers."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

from bench.bench import Bench
from bench.plugin_cost import clean_environment
from bench.results import Row, value

_NAME = "planner"
_TITLE = "plan for 10,000 tests on 1,000 workers and 4 engines"
_PROGRAM = """
import json, random, resource, time
from dockwright.schedule import Choice, Costs, StackCost, Test, forecast

numbers = random.Random(1)
kinds = [("", False), ("db", False), ("db", True)]
bodies_s = [min(4.0, numbers.lognormvariate(-2.5, 1.5)) for _ in range(10_000)]
tests = [
    Test(f"tests/test_{number // 50}.py::test_{number}", seconds, *kinds[number % 3])
    for number, seconds in enumerate(bodies_s)
]
costs = Costs(stacks={"db": StackCost(2.0, 0.05, 200 << 20)})
began = time.process_time()
found = forecast(tests, costs, Choice(1_000, engines=4, limit=64))
seconds = time.process_time() - began
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps([seconds, peak, found.wall_s / found.bound_s]))
"""


def measure(bench: Bench) -> Iterator[Row]:
    """Make the same plan several times, each in a process of its own."""
    rounds = bench.rounds(3)
    bench.say(f"{rounds} times: {_TITLE}")
    measured = [_planned() for _ in range(rounds)]
    seconds, memory, ratio = ([each[number] for each in measured] for number in range(3))
    yield value(_NAME, f"CPU time of the {_TITLE}", "s", seconds, at_most=5)
    yield value(_NAME, f"memory of the {_TITLE}", "MB", memory, at_most=500)
    yield value(_NAME, f"wall time over the lower bound in the {_TITLE}", "x", ratio, at_most=1.05)


def _planned() -> list[float]:
    found = subprocess.run(
        [sys.executable, "-c", _PROGRAM],
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    result: list[float] = json.loads(found.stdout)
    return result
