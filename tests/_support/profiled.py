"""Somebody's suite in a directory, profiled by the real command in this process."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from dockwright.cli.errors import run

PYTEST = (sys.executable, "-m", "pytest")


@dataclass(frozen=True, slots=True)
class Seen:
    """What came of a profiled command."""

    code: int
    out: str
    err: str
    profile: dict[str, Any]

    def cause(self, name: str) -> float:
        """Return the seconds of a cause."""
        return self._total("causes", cause=name)

    def at(self, place: str, cause: str) -> float:
        """Return the seconds of a cause at call sites whose name holds `place`."""
        return float(
            sum(
                each["seconds"]
                for each in self.profile["sites"]
                if each["cause"] == cause and place in each["site"]
            )
        )

    def saves(self, words: str) -> float:
        """Return what the advice saves whose title holds `words`."""
        return float(
            sum(each["saves_s"] for each in self.profile["advice"] if words in each["title"])
        )

    def _total(self, table: str, **wanted: str) -> float:
        return float(
            sum(
                each["seconds"]
                for each in self.profile[table]
                if all(each[key] == value for key, value in wanted.items())
            )
        )


@dataclass(frozen=True, slots=True)
class Profiled:
    """A suite.

    Attributes:
        directory: where it is, and commands run.
        capture: what they print.
    """

    directory: Path
    capture: pytest.CaptureFixture[str]

    def write(self, text: str, file: str = "test_it.py") -> None:
        """Write one of its files."""
        (self.directory / file).write_text(text)

    def run(self, *command: str) -> Seen:
        """Profile a command."""
        report = self.directory.parent / "profile.json"
        code = run(["profile", "--json", str(report), "--", *command])
        out, err = self.capture.readouterr()
        return Seen(code, out, err, json.loads(report.read_text()) if report.exists() else {})

    def pytest(self, *arguments: str) -> Seen:
        """Profile pytest."""
        return self.run(*PYTEST, "-q", *arguments)
