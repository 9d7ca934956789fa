"""Runs the command to be profiled as it is: same terminal, same exit code, the probe beside it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import IO

from dockwright.errors import UsageError
from dockwright.profile.analysis import Finished
from dockwright.profile.inside.dockwright_probe import DIRECTORY_VARIABLE

INSIDE = Path(__file__).parent / "inside"
"""What the profiled processes have in front of their path."""

_FORWARDED = (signal.SIGTERM, signal.SIGHUP)
_TURN_S = 1.0
_CANNOT_RUN = "is there a virtual environment that is not active, or a typing error?"


def run_command(
    command: Sequence[str], records: Path, *, stdout: IO[str] | None = None
) -> Finished:
    """Run `command` to its end, with the probe in each Python process of it.

    Ctrl-C reaches the command as it would without us, through its terminal or process group; it
    does not end the profile. SIGTERM and SIGHUP are handed on.

    Args:
        command: its words.
        records: an empty directory that the probe writes to.
        stdout: where its standard output goes; None: where ours goes.

    Raises:
        UsageError: there is no such command, or it cannot be run.
    """
    began_s = time.monotonic()
    with _Signals() as signals:
        try:
            process = subprocess.Popen(
                command, env=profiled_environment(os.environ, records), stdout=stdout
            )
        except (FileNotFoundError, PermissionError) as failure:
            raise UsageError(
                f"{command[0]!r} cannot be run: {failure.strerror}", hint=_CANNOT_RUN
            ) from failure
        with signals.forwarded_to(process):
            code = _ended(process)
    return Finished(
        command=tuple(command),
        exit_code=code if code >= 0 else 128 - code,
        began_s=began_s,
        ended_s=time.monotonic(),
        interrupted=signals.interrupted,
    )


def profiled_environment(environ: Mapping[str, str], records: Path) -> dict[str, str]:
    """Return the environment of a command whose Python processes load the probe."""
    path = os.pathsep.join(part for part in (str(INSIDE), environ.get("PYTHONPATH")) if part)
    # What is run from within a test of another run is no part of that test.
    kept = {key: text for key, text in environ.items() if key != "PYTEST_CURRENT_TEST"}
    return {**kept, "PYTHONPATH": path, DIRECTORY_VARIABLE: str(records)}


def _ended(process: subprocess.Popen[bytes]) -> int:
    while True:
        try:
            return process.wait(_TURN_S)
        except subprocess.TimeoutExpired:
            continue  # in turns: Python runs its signal handlers between them


class _Signals:
    """What signals do while a command runs: they are its concern, not ours."""

    def __init__(self) -> None:
        self.interrupted = False
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> _Signals:
        self._before = {
            number: signal.signal(number, self._handle) for number in (signal.SIGINT, *_FORWARDED)
        }
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextmanager
    def forwarded_to(self, process: subprocess.Popen[bytes]) -> Iterator[None]:
        """Hand signals on to `process`."""
        self._process = process
        yield
        self._process = None

    def _handle(self, number: int, frame: FrameType | None) -> None:
        del frame
        if number == signal.SIGINT:
            self.interrupted = True
        elif self._process is not None:
            self._process.send_signal(number)
