"""Calls in parallel, with one deadline for all, and closing what they left open."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from types import TracebackType
from typing import Self, TypeAlias, TypeVar

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


Unwanted: TypeAlias = Callable[[], bool]
"""Returns True if the result is no longer wanted; called from another thread."""

_ASKED_EVERY_S = 0.1


@contextmanager
def expiring(timeout_s: float, end: Callable[[], object]) -> Iterator[threading.Event]:
    """Call `end` if the block takes longer than `timeout_s` seconds.

    Yields:
        An event that is set when it did.
    """
    expired = threading.Event()

    def expire() -> None:
        expired.set()
        end()

    timer = threading.Timer(timeout_s, expire)
    timer.daemon = True
    timer.start()
    try:
        yield expired
    finally:
        timer.cancel()


@contextmanager
def ending(unwanted: Unwanted | None, end: Callable[[], object]) -> Iterator[None]:
    """Call `end` if the block becomes `unwanted`; None: it never does."""
    if unwanted is None:
        yield
        return
    done = threading.Event()

    def watch() -> None:
        while not done.wait(_ASKED_EVERY_S):
            if unwanted():
                end()
                return

    watcher = threading.Thread(target=watch, name="dockwright-ending", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()


class Closing(ABC):
    """A context manager that hands out itself, and closes itself at the end."""

    @abstractmethod
    def close(self) -> None:
        """End it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
