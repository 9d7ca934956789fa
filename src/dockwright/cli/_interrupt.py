"""Ctrl-C, and signals that end the process: work under way cleans up after itself."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from types import FrameType
from typing import TypeAlias, TypeVar

import click

from dockwright.cli._output import note

T = TypeVar("T")
_Handler: TypeAlias = Callable[[int, FrameType | None], object]

INTERRUPTED = 128 + signal.SIGINT
"""The exit code after Ctrl-C."""

_TURN_S = 0.2
_ENDING = (signal.SIGTERM, signal.SIGHUP)
_ALL = (signal.SIGINT, *_ENDING)


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
        try:
            with _postponed():
                future = pool.submit(work)
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
    with _handled(signal.SIG_IGN):
        yield


@contextmanager
def _postponed() -> Iterator[None]:
    """Have a signal arrive afterwards: in mid-start of a thread the pool would forget that."""
    arrived: list[int] = []
    with _handled(lambda number, _: arrived.append(number)):
        yield
    for number in arrived:
        signal.raise_signal(number)


@contextmanager
def _handled(
    handler: Callable[[int, FrameType | None], object] | signal.Handlers,
) -> Iterator[None]:
    previous = {number: signal.signal(number, handler) for number in _ALL}
    try:
        yield
    finally:
        for number, before in previous.items():
            signal.signal(number, before)
