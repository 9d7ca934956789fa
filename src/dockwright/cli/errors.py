"""How commands end: errors become messages and exit codes, and signals cancel work in order."""

from __future__ import annotations

import errno
import io
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
    """A signal that ends the process arrived; the command cleans up as after Ctrl-C."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_code = 128 + number


def install_signal_handlers() -> None:
    """Raise `SignalledError` in the main thread for signals that would end the process at once."""
    for number in _ENDING:
        if signal.getsignal(number) is signal.SIG_DFL:  # else: nohup, or a caller's own
            signal.signal(number, _raise_signalled)


def _raise_signalled(number: int, frame: FrameType | None) -> None:
    del frame
    raise SignalledError(number)


def interruptible(work: Callable[[], T], cancel: Callable[[], None], *, doing: str) -> T:
    """Run `work` in another thread; on Ctrl-C cancel it and wait until it has cleaned up.

    Args:
        work: what to do; after `cancel` it ends soon and leaves nothing half done.
        cancel: called in the main thread.
        doing: printed after Ctrl-C, such as ``removing what was started``.

    Raises:
        KeyboardInterrupt: Ctrl-C was pressed; `work` has ended.
        ExceptionGroup: Ctrl-C was pressed, and cleaning up failed.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="dockwright-cli") as pool:
        try:
            with _postponed():
                future = pool.submit(work)
            # Wait in short turns: a signal that arrives just before a wait does not end it.
            while not wait([future], timeout=_TURN_S).done:
                pass
            return future.result()
        except KeyboardInterrupt:
            with _ignored():
                cancel()
                note(f"interrupted: {doing} ...")
                wait([future])
            failure = future.exception()
            if isinstance(failure, ExceptionGroup):
                raise failure from None
            raise


@contextmanager
def until_ctrl_c(exit_code: int = INTERRUPTED) -> Iterator[None]:
    """Exit quietly on Ctrl-C: for commands that would otherwise run forever."""
    try:
        yield
    except SignalledError:
        raise
    except KeyboardInterrupt:
        raise click.exceptions.Exit(exit_code) from None


@contextmanager
def _ignored() -> Iterator[None]:
    """Ignore signals while cleaning up; every call inside has a timeout."""
    with _handled(signal.SIG_IGN):
        yield


@contextmanager
def _postponed() -> Iterator[None]:
    """Deliver signals after the block: one in the middle of a thread's start would lose it."""
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
    """Reopen standard streams that the caller closed, so that no other file gets their numbers.

    What is written to them is lost, as the caller wants.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, _opened(number, mode))


class _Lenient(io.TextIOWrapper):
    """Standard error, whose reader may go at any time: what cannot be written is lost.

    The work goes on, and a signal still ends it in order.
    """

    def write(self, text: str) -> int:
        with suppress(OSError):
            super().write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            super().flush()


def _lenient(stream: TextIO) -> TextIO:
    target = open(stream.fileno(), "wb", closefd=False)  # noqa: SIM115 - open as long as we run
    return _Lenient(target, stream.encoding, stream.errors, line_buffering=True)


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
    """Flush standard output and standard error.

    Raises:
        OutputLostError: standard output cannot be written. Not raised if its reader closed the
            pipe.
    """
    failure = _flushed(sys.stdout)
    sys.stderr.flush()
    if failure is not None and failure.errno != errno.EPIPE:
        raise OutputLostError(f"standard output: {failure.strerror}") from failure


def _flushed(stream: TextIO) -> OSError | None:
    try:
        stream.flush()
    except OSError as failure:
        # Python would try to write the rest of the buffer again at exit, with a traceback.
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
        return failure
    return None


_log = logging.getLogger(__name__)

_FAILED = 1

_NOT_PERMITTED = (
    "check its owner and permissions; to use other directories, set XDG_STATE_HOME, "
    "DOCKWRIGHT_CONFIG_DIR or DOCKWRIGHT_CACHE_DIR"
)
_REMEDIES: Mapping[int, str] = {
    errno.ENOSPC: "free some space where standard output goes, or where dockwright keeps its files",
    errno.EDQUOT: "free some space there",
    errno.EACCES: _NOT_PERMITTED,
    errno.EPERM: _NOT_PERMITTED,
    errno.EROFS: _NOT_PERMITTED,
    errno.ENOTDIR: "a file is in the way: move it elsewhere",
    errno.EEXIST: "a file is in the way: move it elsewhere",
    errno.ENAMETOOLONG: "choose a shorter name",
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command line and exit with its code.

    0: done. 1: failed. 2: wrong usage or an invalid file. 130: Ctrl-C.

    Args:
        arguments: what follows ``dockwright``; default: the arguments of the process.
    """
    reopen_closed_streams()
    sys.stderr = _lenient(sys.stderr)
    install_signal_handlers()
    sys.exit(written(run(arguments)))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run a command line, print why it failed, and return the exit code."""
    try:
        # If a command ends early (--help, --version), click returns the exit code itself.
        result = dockwright.main(arguments, prog_name="dockwright", standalone_mode=False)
    except click.ClickException as failure:
        return _misused(failure, sys.argv[1:] if arguments is None else arguments)
    except (click.Abort, KeyboardInterrupt) as stop:
        return _stopped(stop)
    except (DockwrightError, ExceptionGroup, OSError) as failure:
        return _failed(failure)
    except Exception as bug:  # noqa: BLE001 - the last resort: users should not see a traceback
        _log.info("unexpected", exc_info=bug)
        _print_error(
            f"this is a bug in dockwright: {type(bug).__name__}: {bug}\n"
            "  hint: please report it, with the output of `dockwright -v ...`",
        )
        return _FAILED
    return result if isinstance(result, int) else 0


def written(code: int) -> int:
    """Flush all output; return `code`, or 1 instead of 0 if that fails."""
    try:
        flush_output()
    except OutputLostError as failure:
        if code == 0:
            _print_error(str(failure))
        return code or _FAILED
    return code


def _stopped(stop: BaseException) -> int:
    cause = stop if isinstance(stop, KeyboardInterrupt) else stop.__cause__
    if isinstance(cause, SignalledError):
        _print_error(f"stopped by {cause}")
        return cause.exit_code
    _print_error("interrupted")
    return INTERRUPTED


def _failed(failure: Exception) -> int:
    leaves = list(_leaves(failure))
    for leaf in leaves:
        _print_error(_system_error(leaf) if isinstance(leaf, OSError) else str(leaf))
    codes = {leaf.exit_code if isinstance(leaf, DockwrightError) else _FAILED for leaf in leaves}
    return min(codes)


def _leaves(failure: BaseException) -> Iterator[BaseException]:
    if isinstance(failure, BaseExceptionGroup):
        for part in failure.exceptions:
            yield from _leaves(part)
    else:
        yield failure


def _system_error(failure: OSError) -> str:
    place = failure.filename or ("writing" if failure.errno == errno.ENOSPC else "")
    words = ": ".join(str(part) for part in (place, failure.strerror or failure) if part)
    hint = _REMEDIES.get(failure.errno or 0)
    return f"{words}\n  hint: {hint}" if hint else words


def _misused(failure: click.ClickException, arguments: Sequence[str]) -> int:
    if type(failure).__name__ == "NoArgsIsHelpError":  # click 8.2 and later
        failure.show()
        return failure.exit_code
    words, context = failure.format_message(), getattr(failure, "ctx", None)
    for argument in arguments:
        words = words.replace(argument, printable(argument, keep=""))  # on one line
    _print_error(f"{words}\n  hint: see '{context.command_path} --help'" if context else words)
    return failure.exit_code


def _print_error(text: str) -> None:
    word = click.style("error", fg="red", bold=True) if colours_wanted(sys.stderr) else "error"
    click.echo(f"{word}: {printable(text)}", err=True)
