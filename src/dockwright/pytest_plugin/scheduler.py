"""Distributes tests among xdist's workers by the plan of the run; only in xdist's main process."""

from __future__ import annotations

import json
import tempfile
import time
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from xdist.remote import Producer  # type: ignore[import-untyped]
from xdist.scheduler import LoadScheduling  # type: ignore[import-untyped]
from xdist.workermanage import WorkerController  # type: ignore[import-untyped]

from dockwright.pytest_plugin.needs import from_plain
from dockwright.pytest_plugin.planning import (
    NEEDS_FILE,
    available,
    expected_costs,
    forecast,
    keeps_order,
)
from dockwright.pytest_plugin.run import RUN, surviving, usage_errors
from dockwright.schedule import Block, Costs, Placed, Test, blocks_of, plan

_AHEAD_S = 0.03
"""How much work a worker has beside its running test: enough to hide the way to it and back."""

_DIRECTORY = pytest.StashKey[tempfile.TemporaryDirectory[str]]()


@pytest.hookimpl
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> PlannedScheduling:
    """Return the scheduler; fires when xdist begins to distribute."""
    return PlannedScheduling(config, log)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: WorkerController) -> None:
    """Name the file that takes the needs of the tests; fires before each worker starts."""
    with surviving(node.config, "learn what the tests need"):
        stash = node.config.stash
        if _DIRECTORY not in stash:
            stash[_DIRECTORY] = tempfile.TemporaryDirectory(prefix="dockwright-needs-")
        node.workerinput[NEEDS_FILE] = str(Path(stash[_DIRECTORY].name) / "needs.json")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove that file."""
    if _DIRECTORY in config.stash:
        config.stash[_DIRECTORY].cleanup()


class Remaining:
    """The blocks that no worker has yet, in the order of the plan.

    Args:
        blocks: with the time at which the plan begins each.
    """

    def __init__(self, blocks: Iterable[tuple[float, Block]]) -> None:
        ordered = sorted(blocks, key=lambda each: each[0])
        self._began_s = [began_s for began_s, _ in ordered]
        self._blocks: list[Block | None] = [block for _, block in ordered]
        self._first = 0
        self._count = len(ordered)
        self._returned: deque[Block] = deque()

    def __bool__(self) -> bool:
        return bool(self._count or self._returned)

    def put_back(self, blocks: Iterable[Block]) -> None:
        """Put back the blocks of a worker that died; they come first."""
        self._returned.extend(blocks)

    def take(self, later_s: float) -> Block:
        """Remove and return the next block for a worker.

        The worker that is free first gets the first block that is left. Another one leaves to it
        the blocks that the plan begins before that worker itself is free.

        Args:
            later_s: how much later the worker is free than the one that is free first.
        """
        if self._returned:
            return self._returned.popleft()
        while self._blocks[self._first] is None:
            self._first += 1
        since_s = self._began_s[self._first] + later_s
        number = bisect_left(self._began_s, since_s, self._first)
        later = range(number, len(self._blocks))
        earlier = range(number - 1, self._first - 1, -1)
        chosen = next(each for group in (later, earlier) for each in group if self._blocks[each])
        block, self._blocks[chosen] = self._blocks[chosen], None
        self._count -= 1
        if block is None:
            raise IndexError("no block is left")
        return block


class PlannedScheduling(LoadScheduling):  # type: ignore[misc] # xdist has no types
    """xdist's ``load`` scheduling, with blocks in the order of a plan instead of chunks.

    Args:
        config: of the main process.
        log: takes xdist's debug messages.
    """

    collection: list[str] | None
    node2collection: dict[WorkerController, list[str]]
    node2pending: dict[WorkerController, list[int]]

    def __init__(self, config: pytest.Config, log: Producer | None = None) -> None:
        super().__init__(config, log)
        self._remaining = Remaining(())
        self._numbers: dict[str, int] = {}
        self._seconds: list[float] = []
        self._block_of: dict[int, int] = {}
        self._tests: dict[int, Test] = {}
        self._given = 0
        self._expected_s = self._took_s = 0.0
        self._began_s: dict[WorkerController, float] = {}
        """When each worker began the test that it is running."""

    @property
    def tests_finished(self) -> bool:
        """Whether no more is to be sent, so that workers may end with what they have."""
        done = self.collection_is_completed and not self._remaining
        return done and all(len(pending) < 2 for pending in self.node2pending.values())

    @property
    def has_pending(self) -> bool:
        """Whether tests are still to be run."""
        return bool(self._remaining) or any(self.node2pending.values())

    def schedule(self) -> None:
        """Send the first tests when all workers have collected; later, serve new workers."""
        if self.collection is None:
            if not self._check_nodes_have_same_collection():
                return
            self.collection = names = next(iter(self.node2collection.values()))
            self._plan(names)
            for node in self.nodes:  # so that each gets one of those that begin first
                if self._remaining:
                    self._send(node)
        for node in self.nodes:
            self.check_schedule(node)

    def check_schedule(self, node: WorkerController, duration: float = 0) -> None:  # noqa: ARG002
        """Send more tests if a worker has little left; end it if there are none."""
        if node.shutting_down:
            return
        while self._remaining and self._needs_more(node):
            self._send(node)
        if not self._remaining:
            node.shutdown()

    def mark_test_complete(
        self, node: WorkerController, item_index: int, duration: float = 0
    ) -> None:
        """Note that a test has ended, and how long tests take compared with their costs."""
        self._expected_s += self._seconds[item_index]
        self._took_s += duration
        self._began_s[node] = time.monotonic()
        super().mark_test_complete(node, item_index, duration)

    def mark_test_pending(self, item: str) -> None:
        """Run a test again."""
        number = self._numbers[item]
        self._remaining.put_back([Block((self._tests[number],))])
        for node in self.nodes:
            self.check_schedule(node)

    def remove_node(self, node: WorkerController) -> str | None:
        """Remove a worker that has ended or died; return the test that it died in.

        All other tests that it had are sent to others, or to the worker that replaces it.
        """
        pending = self.node2pending.pop(node)
        if not pending:
            return None
        crashed, *others = pending
        self._remaining.put_back(
            Block(tuple(self._tests[number] for number in numbers))
            for _, numbers in groupby(others, key=self._block_of.__getitem__)
        )
        for other in self.nodes:
            self.check_schedule(other)
        return self._tests[crashed].name

    def _plan(self, names: Sequence[str]) -> None:
        settings = self.config.stash[RUN].settings
        costs = Costs()
        with surviving(self.config, "find out what the tests cost"), usage_errors():
            costs = expected_costs(settings)
        tests = self._needs(names, costs)
        self.config.stash[_DIRECTORY].cleanup()  # now, because this process may be killed
        self._seconds = [test.seconds for test in tests]
        self._tests = dict(enumerate(tests))
        self._numbers = {test.name: number for number, test in self._tests.items()}
        workers = len(self.nodes)
        with usage_errors():
            blocks = blocks_of(tests, workers=workers)
        resources = available(settings, costs, tests, workers)
        found = plan(blocks, resources, keep_order=keeps_order(self.config))
        forecast(self.config, costs, found.wall_s)
        placed = {id(each.test): each for worker in found.workers for each in worker}
        self._remaining = Remaining((_start(placed, block), block) for block in blocks)

    def _needs(self, names: Sequence[str], costs: Costs) -> list[Test]:
        """Return the tests with their needs as a worker wrote them, else with their costs alone."""
        found: list[Test] = []
        with suppress(OSError, ValueError, TypeError, KeyError):
            directory = self.config.stash[_DIRECTORY].name
            values: Any = json.loads((Path(directory) / "needs.json").read_text())
            found = from_plain(values, costs)
        if [test.name for test in found] == list(names) and len(set(names)) == len(names):
            return found
        times: Counter[str] = Counter()  # a test may be collected twice
        return [Test(_numbered(name, times), costs.seconds(name)) for name in names]

    def _needs_more(self, node: WorkerController) -> bool:
        pending = self.node2pending[node]
        return len(pending) < 2 or self._left_s(pending[1:]) < _AHEAD_S

    def _left_s(self, numbers: Iterable[int]) -> float:
        """Return how long tests will take, by their costs and by how long others took."""
        pace = self._took_s / self._expected_s if self._expected_s else 1.0
        return pace * sum(self._seconds[number] for number in numbers)

    def _free_in_s(self, node: WorkerController, now_s: float) -> float:
        """Return when a worker will have run everything that it has, counted from now."""
        pending = self.node2pending[node]
        if not pending:
            return 0.0
        running_s = now_s - self._began_s.get(node, now_s)
        return max(0.0, self._left_s(pending[:1]) - running_s) + self._left_s(pending[1:])

    def _send(self, node: WorkerController) -> None:
        now_s = time.monotonic()
        free_s = {each: self._free_in_s(each, now_s) for each in self.nodes}
        block = self._remaining.take(free_s[node] - min(free_s.values()))
        numbers = [self._numbers[test.name] for test in block.tests]
        self._given += 1
        self._block_of.update(dict.fromkeys(numbers, self._given))
        self.node2pending[node].extend(numbers)
        node.send_runtest_some(numbers)


def _start(placed: dict[int, Placed], block: Block) -> float:
    """Return when the plan begins a block, with the wait for its stack."""
    first = placed[id(block.tests[0])]
    return first.began_s - first.waited_s


def _numbered(name: str, times: Counter[str]) -> str:
    times[name] += 1
    return name if times[name] == 1 else f"{name} ({times[name]})"
