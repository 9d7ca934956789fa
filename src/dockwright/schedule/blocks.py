"""Blocks: which tests have to stay together in one worker, and in which order they run there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from dockwright.errors import UsageError
from dockwright.schedule.model import Block, Test, seconds_of

_PART_OF_SHARE = 0.5
"""Tests that only prefer one worker are cut into pieces of this part of a worker's share: smaller
pieces would set their fixtures up more often, larger ones could not be balanced."""


def blocks_of(tests: Sequence[Test], *, workers: int = 1) -> list[Block]:
    """Divide tests into blocks; the blocks, and the tests in them, keep the given order.

    Dependencies come first: a test is moved behind the tests that it depends on. Names in `after`
    that are not among the tests are ignored.

    Args:
        tests: in the order in which they were collected.
        workers: among how many processes (or machines) the blocks will be divided.

    Raises:
        UsageError: tests depend on each other in a circle; the message names them.
    """
    groups = _Groups(len(tests))
    numbers = {test.name: number for number, test in enumerate(tests)}
    first: dict[str, int] = {}
    for number, test in enumerate(tests):
        keys = [f"together {key}" for key in test.together]
        keys += [f"lease {test.lease}"] if test.lease else []
        for key in keys:
            groups.join(number, first.setdefault(key, number))
        for name in test.after:
            if name in numbers:
                groups.join(number, numbers[name])
    members: dict[int, list[Test]] = {}
    for number, test in enumerate(tests):
        members.setdefault(groups.of(number), []).append(test)
    blocks = [Block(tuple(in_order(each))) for each in members.values()]
    return list(_gathered(blocks, _PART_OF_SHARE * seconds_of(blocks) / max(1, workers), workers))


def in_order(tests: Sequence[Test]) -> list[Test]:
    """Return tests in the given order, each after those that it depends on.

    Raises:
        UsageError: tests depend on each other in a circle; the message names them.
    """
    if not any(test.after for test in tests):
        return list(tests)
    by_name = {test.name: test for test in tests}
    found: dict[str, Test] = {}
    for test in tests:
        _add(test, by_name, found)
    return list(found.values())


def _add(test: Test, by_name: Mapping[str, Test], found: dict[str, Test]) -> None:
    """Add a test behind what it depends on; without recursion, because chains may be long."""
    path = [(test, iter(test.after))]
    under_way = {test.name: None}
    while path:
        current, others = path[-1]
        name = next((each for each in others if each in by_name and each not in found), None)
        if name is None:
            path.pop()
            under_way.pop(current.name)
            found.setdefault(current.name, current)
        elif name in under_way:
            names = list(under_way)
            raise _circle(names[names.index(name) :])
        else:
            under_way[name] = None
            path.append((by_name[name], iter(by_name[name].after)))


def _circle(names: Sequence[str]) -> UsageError:
    start = min(range(len(names)), key=names.__getitem__)
    names = [*names[start:], *names[: start + 1]]
    return UsageError(
        f"tests depend on each other in a circle: {' -> '.join(names)}",
        hint="each arrow means 'runs after'; remove one of these dependencies",
    )


def _gathered(blocks: Sequence[Block], limit_s: float, workers: int) -> Iterator[Block]:
    """Join blocks whose first tests prefer the same worker, up to a limit for each."""
    waiting: dict[str, list[Block]] = {}
    places: list[tuple[str, Block | None]] = []
    for block in blocks:
        key = block.tests[0].prefers
        if not key:
            places.append(("", block))
            continue
        if key not in waiting:
            waiting[key] = []
            places.append((key, None))
        waiting[key].append(block)
    for key, single in places:
        if single is not None:
            yield single
        else:
            yield from _pieces(waiting[key], limit_s if workers > 1 else float("inf"))


def _pieces(blocks: Iterable[Block], limit_s: float) -> Iterator[Block]:
    piece: list[Test] = []
    seconds = 0.0
    for block in blocks:
        if piece and seconds + block.seconds > limit_s:
            yield Block(tuple(piece))
            piece, seconds = [], 0.0
        piece += block.tests
        seconds += block.seconds
    yield Block(tuple(piece))


class _Groups:
    """Sets of numbers that are joined step by step (union-find)."""

    def __init__(self, count: int) -> None:
        self._parent = list(range(count))

    def of(self, number: int) -> int:
        """Return the number that stands for the set."""
        while self._parent[number] != number:
            self._parent[number] = self._parent[self._parent[number]]
            number = self._parent[number]
        return number

    def join(self, one: int, other: int) -> None:
        """Join two sets; the lower number stands for both."""
        low, high = sorted((self.of(one), self.of(other)))
        self._parent[high] = low
