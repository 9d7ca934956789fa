"""Ctrl-C that lets work under way clean up after itself."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import TypeVar

from dockwright.cli._output import note

T = TypeVar("T")

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def interruptible(work: Callable[[], T], cancel: Callable[[], None], *, doing: str) -> T:
    """Run `work` in a thread of its own; on Ctrl-C cancel it, and wait until it has cleaned up.

    Args:
        work: what to do; it ends soon, and leaves nothing half done, after `cancel`.
        cancel: called in the main thread.
        doing: told when interrupted: ``taking back what was started``.

    Raises:
        KeyboardInterrupt: it was interrupted; `work` has ended by then.
        ExceptionGroup: it was interrupted, and cleaning up failed as well.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="dockwright-cli") as pool:
        future = pool.submit(work)
        try:
            return future.result()
        except KeyboardInterrupt:
            with _ignored():
                note(f"interrupted: {doing} ...")
                cancel()
                wait([future])
            failure = future.exception()
            if isinstance(failure, ExceptionGroup):
                raise failure from None
            raise


@contextmanager
def _ignored() -> Iterator[None]:
    """Let no second Ctrl-C interrupt the cleaning up; every call in there has a timeout."""
    previous = {number: signal.signal(number, signal.SIG_IGN) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
