"""Does what a page says, in a directory of its own, and compares what comes out."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests._support.docs.pages import Command, File, Page

_TIMEOUT_S = 100.0
_FOREIGN = ("PYTEST_", "DOCKWRIGHT_", "COMPOSE_", "XDG_", "CI", "COLUMNS")


class PageError(AssertionError):
    """A page says what is not so."""


@dataclass(frozen=True, slots=True)
class Runner:
    """Runs pages as a new user would: an empty directory and a home of its own.

    Attributes:
        directory: where the files go and the commands run.
        home: holds caches and state.
    """

    directory: Path
    home: Path

    def run(self, page: Page) -> int:
        """Write the page's files and run its commands; return how many commands there were.

        Raises:
            PageError: a command ends with another exit code, or prints something else.
        """
        if base := page.base():
            for path, text in base.files().items():
                self.write(File(path, text))
        commands = 0
        for step in page.steps():
            if isinstance(step, File):
                self.write(step)
            else:
                self.execute(step, str(page))
                commands += 1
        return commands

    def write(self, file: File) -> None:
        """Write one file, with what it needs above it."""
        target = self.directory / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(file.text, "utf-8")

    def execute(self, command: Command, page: str) -> None:
        """Run one command and compare."""
        code, output = self._shell(command.line)
        where = f"{page}:{command.at}: $ {command.line}\n"
        if code != command.exit_code:
            raise PageError(f"{where}exit code {code}, not {command.exit_code}:\n{output}")
        missing = first_missing(command.shown, output)
        if missing is not None:
            raise PageError(f"{where}does not print {missing!r} (or not in this order):\n{output}")

    def _shell(self, line: str) -> tuple[int, str]:
        process = subprocess.Popen(
            ["bash", "-c", line],
            cwd=self.directory,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            output, _ = process.communicate(timeout=_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, _ = process.communicate()
            raise PageError(f"$ {line}\nstill ran after {_TIMEOUT_S:.0f} s:\n{output}") from None
        return process.returncode, output

    def _environment(self) -> dict[str, str]:
        kept = {key: text for key, text in os.environ.items() if not key.startswith(_FOREIGN)}
        return kept | {
            "HOME": str(self.home),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "COLUMNS": "100",
            "NO_COLOR": "1",
            # Pages are read from the top, and so are their tests run.
            # one of the pages is about pytest-databases
            "PYTEST_ADDOPTS": "-p no:randomly -p no:hypothesispytest",
        }


def first_missing(shown: Sequence[str], output: str) -> str | None:
    """Return the first shown line that the output does not have after the one before; None: all.

    ``...`` in a shown line stands for anything; white space and ruled lines may be of any length.
    """
    rest = iter(output.splitlines())
    for line in shown:
        if line.strip() == "...":
            continue
        pattern = _pattern(line)
        if not any(pattern.fullmatch(_plain(each)) for each in rest):
            return line
    return None


def _pattern(line: str) -> re.Pattern[str]:
    parts = re.split(r" ?\.\.\. ?", _plain(line))
    return re.compile(".*".join(re.escape(part) for part in parts))


def _plain(line: str) -> str:
    return " ".join(re.sub(r"([=_-])\1{3,}", r"\1\1\1", line).split())
