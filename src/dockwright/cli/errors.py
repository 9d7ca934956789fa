"""The one place where a command's failure becomes a message on standard error and an exit code."""

from __future__ import annotations

import errno
import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TextIO, TypeAlias, TypeVar

import click

from dockwright.cli.app import dockwright
from dockwright.cli.output import colours_wanted, note
from dockwright.errors import DockwrightError
from dockwright.untrusted import printable

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


def install_signal_handlers() -> None:
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


class OutputLostError(DockwrightError):
    """Standard output could not be written."""


def reopen_closed_streams() -> None:
    """Open standard streams that the caller has closed, so that no other file gets their numbers.

    What is written to them is lost, as the caller wants it.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, _opened(number, mode))


def _opened(number: int, mode: str) -> object:
    try:
        os.fstat(number)
    except OSError:
        null = os.open(os.devnull, os.O_RDWR)
        if null != number:  # a lower one is closed too
            os.dup2(null, number)
            os.close(null)
    return open(number, mode, encoding="utf-8", closefd=False)


def flush_output() -> None:
    """Write what is buffered for standard output and standard error.

    Raises:
        OutputLostError: standard output cannot be written; a reader that wanted no more is no
            reason. That standard error cannot be written can be told nowhere.
    """
    failure = _flushed(sys.stdout)
    _flushed(sys.stderr)
    if failure is not None and failure.errno != errno.EPIPE:
        raise OutputLostError(f"standard output: {failure.strerror}") from failure


def _flushed(stream: TextIO) -> OSError | None:
    try:
        stream.flush()
    except OSError as failure:
        # What is left in the buffer would be tried again at the end, with a traceback.
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
        return failure
    return None


_log = logging.getLogger(__name__)

_FAILED = 1

_NO_RIGHT = (
    "see whose it is; XDG_STATE_HOME, DOCKWRIGHT_CONFIG_DIR and DOCKWRIGHT_CACHE_DIR name other "
    "places"
)
_REMEDIES: Mapping[int, str] = {
    errno.ENOSPC: "free some space, where standard output goes or where dockwright keeps its files",
    errno.EDQUOT: "free some space there",
    errno.EACCES: _NO_RIGHT,
    errno.EPERM: _NO_RIGHT,
    errno.EROFS: _NO_RIGHT,
    errno.ENOTDIR: "a file is in the way: move it elsewhere",
    errno.EEXIST: "a file is in the way: move it elsewhere",
    errno.ENAMETOOLONG: "choose a shorter name",
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command line and leave the process with its exit code.

    0: done. 1: it failed. 2: it was called wrongly, or a file is wrong. 130: Ctrl-C.

    Args:
        arguments: what follows ``dockwright``; default: the process's own arguments.
    """
    reopen_closed_streams()
    install_signal_handlers()
    sys.exit(written(run(arguments)))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run a command line; tell on standard error why it failed; return the exit code."""
    try:
        # Where a command ends early (--help, --version), click returns the exit code itself.
        result = dockwright.main(arguments, prog_name="dockwright", standalone_mode=False)
    except click.ClickException as failure:
        return _misused(failure)
    except (click.Abort, KeyboardInterrupt) as stop:
        return _stopped(stop)
    except (DockwrightError, ExceptionGroup, OSError) as failure:
        return _failed(failure)
    except Exception as bug:  # noqa: BLE001 - the last line: nobody should be shown a traceback
        _log.info("unexpected", exc_info=bug)
        _tell(
            f"this is a bug in dockwright: {type(bug).__name__}: {bug}\n"
            "  hint: please report it with what `dockwright -v ...` prints",
        )
        return _FAILED
    return result if isinstance(result, int) else 0


def written(code: int) -> int:
    """Return the exit code once all output is written; another one where that cannot be."""
    try:
        flush_output()
    except OutputLostError as failure:
        if code == 0:
            _tell(str(failure))
        return code or _FAILED
    return code


def _stopped(stop: BaseException) -> int:
    cause = stop if isinstance(stop, KeyboardInterrupt) else stop.__cause__
    if isinstance(cause, SignalledError):
        _tell(f"ended by {cause}")
        return cause.exit_code
    _tell("interrupted")
    return INTERRUPTED


def _failed(failure: Exception) -> int:
    leaves = list(_leaves(failure))
    for leaf in leaves:
        _tell(_words_of_system(leaf) if isinstance(leaf, OSError) else str(leaf))
    codes = {leaf.exit_code if isinstance(leaf, DockwrightError) else _FAILED for leaf in leaves}
    return min(codes)


def _leaves(failure: BaseException) -> Iterator[BaseException]:
    if isinstance(failure, BaseExceptionGroup):
        for part in failure.exceptions:
            yield from _leaves(part)
    else:
        yield failure


def _words_of_system(failure: OSError) -> str:
    place = failure.filename or ("writing" if failure.errno == errno.ENOSPC else "")
    words = ": ".join(str(part) for part in (place, failure.strerror or failure) if part)
    hint = _REMEDIES.get(failure.errno or 0)
    return f"{words}\n  hint: {hint}" if hint else words


def _misused(failure: click.ClickException) -> int:
    if type(failure).__name__ == "NoArgsIsHelpError":  # click 8.2 and later
        with suppress(OSError):  # as in `_tell`
            failure.show()
        return failure.exit_code
    words, context = failure.format_message(), getattr(failure, "ctx", None)
    _tell(f"{words}\n  hint: see '{context.command_path} --help'" if context else words)
    return failure.exit_code


def _tell(text: str) -> None:
    word = click.style("error", fg="red", bold=True) if colours_wanted(sys.stderr) else "error"
    with suppress(OSError):  # a full disk at the other end; the exit code tells
        click.echo(f"{word}: {printable(text)}", err=True)
