"""Standard streams that are closed or full: a command says so, and never with a traceback."""

from __future__ import annotations

import errno
import os
import sys
from typing import TextIO

from dockwright.errors import DockwrightError


class OutputLostError(DockwrightError):
    """Standard output could not be written."""


def have_streams() -> None:
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
