"""The optimum of a small instance, by trying every order on every worker and every copy.

It shares no code with the planner: tests are placed by the time at which they begin, and each
begins as early as its worker and its copy allow. One of these schedules is optimal, because
starting a test earlier never makes another one later.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from dockwright.schedule import Block, Resources, Test


@dataclass(frozen=True, slots=True)
class _Copy:
    stack: str
    clean_s: float
    free_s: float


@dataclass(frozen=True, slots=True)
class _Worker:
    free_s: float = 0.0
    rest: tuple[Test, ...] = ()
    held: int = -1


@dataclass(frozen=True, slots=True)
class _State:
    workers: tuple[_Worker, ...]
    copies: tuple[_Copy, ...]
    blocks: tuple[Block, ...]
    began_s: float = 0.0


def optimum(blocks: Sequence[Block], resources: Resources, known_s: float) -> float:
    """Return the shortest wall time.

    Args:
        blocks: what has to run.
        resources: what they run on.
        known_s: the wall time of a schedule that exists.
    """
    copies = tuple(
        _Copy(name, stack.ready_s(number), stack.ready_s(number))
        for name, stack in resources.stacks.items()
        for number in range(stack.copies)
    )
    workers = (_Worker(),) * resources.workers
    return _search(_State(workers, copies, tuple(blocks)), resources, known_s)


def _search(state: _State, resources: Resources, best_s: float) -> float:
    if not state.blocks and not any(worker.rest for worker in state.workers):
        return min(best_s, max(worker.free_s for worker in state.workers))
    for following in _steps(state, resources):
        if max(worker.free_s for worker in following.workers) < best_s:
            best_s = _search(following, resources, best_s)
    return best_s


def _steps(state: _State, resources: Resources) -> Iterator[_State]:
    seen = set()
    for number, worker in enumerate(state.workers):
        if worker in seen:
            continue  # it would be the same schedule with other names
        seen.add(worker)
        if worker.rest:
            yield from _begun(state, number, worker.rest, resources)
            continue
        for chosen, block in enumerate(state.blocks):
            if block not in state.blocks[:chosen]:
                others = state.blocks[:chosen] + state.blocks[chosen + 1 :]
                yield from _begun(replace(state, blocks=others), number, block.tests, resources)


def _begun(
    state: _State, number: int, tests: tuple[Test, ...], resources: Resources
) -> Iterator[_State]:
    test, worker = tests[0], state.workers[number]
    more = any(later.lease == test.lease for later in tests[1:]) and bool(test.lease)
    if not test.stack:
        yield from _placed(state, number, _Worker(worker.free_s, tests, worker.held))
        return
    seen = set()
    for index, copy in enumerate(state.copies):
        if copy.stack != test.stack or (test.lease and worker.held not in (-1, index)):
            continue
        if copy in seen and worker.held == -1:
            continue
        seen.add(copy)
        ready_s = copy.free_s if test.exclusive else copy.clean_s
        start = worker.free_s if worker.held == index else max(worker.free_s, ready_s)
        end = start + test.seconds
        if not test.exclusive:
            leased = replace(copy, free_s=max(copy.free_s, end))
        elif more:
            leased = replace(copy, clean_s=float("inf"), free_s=float("inf"))
        else:
            until = end + resources.stack(test.stack).reset_s
            leased = replace(copy, clean_s=until, free_s=until)
        if start == float("inf"):
            continue
        copies = (*state.copies[:index], leased, *state.copies[index + 1 :])
        held = index if more else -1
        yield from _placed(replace(state, copies=copies), number, _Worker(start, tests, held))


def _placed(state: _State, number: int, at: _Worker) -> Iterator[_State]:
    if at.free_s < state.began_s - 1e-12:
        return  # the same schedule is found in the order of its starts
    after = _Worker(at.free_s + at.rest[0].seconds, at.rest[1:], at.held)
    workers = (*state.workers[:number], after, *state.workers[number + 1 :])
    yield replace(state, workers=workers, began_s=at.free_s)
