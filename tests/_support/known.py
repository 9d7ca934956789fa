"""A suite whose results are reused, run by pytest in a process of its own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests._support.forking import ForkingPytest
from tests._support.project import LEAN

_LINE = re.compile(r"^(\S+::.*?) (REUSED|PASSED|FAILED|ERROR|SKIPPED|XFAIL)\b", re.MULTILINE)
_LIMIT_S = 100


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run did.

    Attributes:
        ran: the tests that ran, by their names.
        reused: the tests whose results were reused.
        exit_code: of pytest.
        text: what it printed.
    """

    ran: frozenset[str]
    reused: frozenset[str]
    exit_code: int
    text: str


@dataclass(slots=True)
class KnownSuite:
    """A directory with tests, and where its results are saved.

    Attributes:
        path: the suite's root directory.
        place: where results and state are.
        environ: variables of every run.
        python: runs pytest.
        forking: runs it without starting Python each time; None: each run is a new process.
    """

    path: Path
    place: Path
    environ: dict[str, str] = field(default_factory=dict)
    python: Path = Path(sys.executable)
    forking: ForkingPytest | None = None

    def write(self, files: Mapping[str, str]) -> None:
        """Write files, or remove those whose text is empty but for a dash."""
        for name, text in files.items():
            file = self.path / name
            if text == "-":
                file.unlink()
                continue
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(textwrap.dedent(text).lstrip("\n"))

    def replace(self, name: str, old: str, new: str) -> None:
        """Replace a text in a file."""
        before = (self.path / name).read_text()
        assert old in before, (name, old)
        (self.path / name).write_text(before.replace(old, new))

    def run(
        self, *arguments: str, mode: str = "use", environ: Mapping[str, str] | None = None
    ) -> Outcome:
        """Run the tests, in the order of the files."""
        options = ("-p", "no:randomly", "-v", "--color=no", f"--dockwright-results={mode}")
        if self.forking is not None:
            exit_code, text = self.forking.run([*options, *arguments], self.path)
        else:
            exit_code, text = self._run([*options, *arguments], environ or {})
        found = {"REUSED": set[str](), "ran": set[str]()}
        for test, word in _LINE.findall(text):
            found["REUSED" if word == "REUSED" else "ran"].add(test.rpartition("::")[2])
        ran, reused = frozenset(found["ran"]), frozenset(found["REUSED"])
        return Outcome(ran, reused, exit_code, text)

    def _run(self, arguments: Sequence[str], environ: Mapping[str, str]) -> tuple[int, str]:
        done = subprocess.run(
            [str(self.python), "-m", "pytest", *arguments],
            cwd=self.path,
            env={**self.variables(), **environ},
            capture_output=True,
            text=True,
            timeout=_LIMIT_S,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    def variables(self) -> dict[str, str]:
        """Return the environment of every run."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("DOCKWRIGHT_", "COMPOSE_", "PYTEST_", "COV_")) and name != "CI"
        }
        return {
            **kept,
            "COLUMNS": "200",
            "DOCKWRIGHT_CACHE_DIR": str(self.place / "cache"),
            "DOCKWRIGHT_WAIT_FOR_REMOVAL": "1",
            "PYTEST_ADDOPTS": LEAN,
            "XDG_STATE_HOME": str(self.place / "state"),
            **self.environ,
        }

    def copy_results(self, name: str) -> None:
        """Keep the saved results under a name."""
        shutil.copytree(self.place / "cache" / "results", self.place / name)

    def restore_results(self, name: str) -> None:
        """Bring back the results that were kept under a name."""
        shutil.rmtree(self.place / "cache" / "results")
        shutil.copytree(self.place / name, self.place / "cache" / "results")
