"""Many calls at once, of which none is forgotten when another fails."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def run(tasks: Sequence[Callable[[], T]], *, max_parallel: int = 8) -> list[T]:
    """Run all tasks, some at a time, and return their results in the tasks' order.

    Args:
        tasks: what to do; each is run even when another failed.
        max_parallel: how many run at once.

    Raises:
        ExceptionGroup: several failed; a single failure is raised itself.
    """
    if len(tasks) == 1:
        return [tasks[0]()]
    if not tasks:
        return []
    with ThreadPoolExecutor(min(max_parallel, len(tasks)), "dockwright-batch") as pool:
        futures = [pool.submit(task) for task in tasks]
    failures = [error for future in futures if (error := future.exception()) is not None]
    if len(failures) == 1:
        raise failures[0]
    if failures:
        raise BaseExceptionGroup(f"{len(failures)} of {len(tasks)} engine calls failed", failures)
    return [future.result() for future in futures]
