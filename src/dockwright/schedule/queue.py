"""The blocks that are not given to a worker yet, and which one a worker should get next."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeAlias

from dockwright.schedule.copies import AllCopies
from dockwright.schedule.model import Block

_SOON_S = 1e-9

Kind: TypeAlias = tuple[str, bool]
"""What a block leases first: stack and whether exclusively."""


class BlockQueue:
    """Blocks by priority.

    Args:
        blocks: highest priority first.
        patient: whether the first block is always the next one, even if its stack is not free.
    """

    def __init__(self, blocks: Iterable[Block], *, patient: bool = False) -> None:
        self._patient = patient
        self._lines: dict[Kind, deque[tuple[float, Block]]] = {}
        self._count = 0
        self._front = 0.0
        for rank, block in enumerate(blocks):
            self._line(block).append((rank, block))
            self._count += 1

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Block]:
        entries = [entry for line in self._lines.values() for entry in line]
        return (block for _, block in sorted(entries, key=lambda entry: entry[0]))

    def put_back(self, blocks: Sequence[Block]) -> None:
        """Put blocks before all others, for example those of a worker that died."""
        for block in reversed(blocks):
            self._front -= 1
            self._line(block).appendleft((self._front, block))
            self._count += 1

    def take(self, copies: AllCopies, at: float) -> Block:
        """Remove and return the block that a worker should begin at `at`.

        That is the first one that can begin at once; if all have to wait, the one that waits
        shortest.
        """
        best: tuple[float, float] | None = None
        chosen: deque[tuple[float, Block]] | None = None
        for line in self._lines.values():
            if not line:
                continue
            rank, block = line[0]
            wait_s = 0.0 if self._patient else copies.earliest(block.tests[0], at) - at
            key = (wait_s if wait_s > _SOON_S else 0.0, rank)
            if best is None or key < best:
                best, chosen = key, line
        if chosen is None:
            raise IndexError("no block is left")
        self._count -= 1
        return chosen.popleft()[1]

    def _line(self, block: Block) -> deque[tuple[float, Block]]:
        first = block.tests[0]
        kind = (first.stack, first.exclusive and bool(first.stack))
        return self._lines.setdefault(kind, deque())
