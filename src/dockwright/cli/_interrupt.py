"""Ctrl-C, and signals that end the process: work under way cleans up after itself."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from types import FrameType
from typing import TypeVar

import click

from dockwright.cli._output import note

T = TypeVar("T")

INTERRUPTED = 128 + signal.SIGINT
"""The exit code after Ctrl-C."""

_TURN_S = 0.2
_ENDING = (signal.SIGTERM, signal.SIGHUP)


class SignalledError(KeyboardInterrupt):
    """A signal that ends the process arrived: what is under way cleans up as after Ctrl-C."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_code = 128 + number


def heed_signals() -> None:
    """Raise `SignalledError` in the main thread where a signal would end the process at once."""
    for number in _ENDING:
        if signal.getsignal(number) is signal.SIG_DFL:  # else: nohup, or a caller's own
            signal.signal(number, _raise_signalled)


def _raise_signalled(number: int, frame: FrameType | None) -> None:
    del frame
    raise SignalledError(number)


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
            # In turns: a signal that arrives just before a wait does not end that wait.
            while not wait([future], timeout=_TURN_S).done:
                pass
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
def until_ctrl_c(exit_code: int = INTERRUPTED) -> Iterator[None]:
    """Let Ctrl-C be the ordinary end of what would go on for ever: nothing is said about it."""
    try:
        yield
    except SignalledError:
        raise
    except KeyboardInterrupt:
        raise click.exceptions.Exit(exit_code) from None


@contextmanager
def _ignored() -> Iterator[None]:
    """Let no second Ctrl-C interrupt the cleaning up; every call in there has a timeout."""
    previous = {
        number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, *_ENDING)
    }
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
