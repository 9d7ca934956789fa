"""The one place where a command's failure becomes a message on standard error and an exit code."""

from __future__ import annotations

import errno
import logging
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress

import click

from dockwright.cli._interrupt import INTERRUPTED, SignalledError, heed_signals
from dockwright.cli._output import colours_wanted
from dockwright.cli._streams import OutputLostError, flush_output, have_streams
from dockwright.cli.app import dockwright
from dockwright.errors import DockwrightError
from dockwright.untrusted import printable

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
    have_streams()
    heed_signals()
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
