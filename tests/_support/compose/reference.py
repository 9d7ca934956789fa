"""The corpus of Compose projects, and what the real tool makes of each.

``python -m tests._support.compose.reference`` rewrites the expected results with the real tool.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).parents[3]
CORPUS = _ROOT / "tests" / "compose" / "corpus"
_PLACEHOLDER = "/CORPUS"
_HOME = "/home/tester"


@dataclass(frozen=True)
class Case:
    """One project of the corpus.

    Attributes:
        directory: its directory; commands run there.
        arguments: the options before ``config`` (``case.toml``).
        environment: the whole environment of the command.
    """

    directory: Path
    arguments: tuple[str, ...]
    environment: Mapping[str, str]

    @property
    def name(self) -> str:
        return self.directory.name

    @property
    def golden(self) -> Path:
        """What the real tool printed, with the corpus's directory replaced."""
        return self.directory / "expected.json"


def cases() -> list[Case]:
    """Return every project of the corpus."""
    return [_case(directory) for directory in sorted(CORPUS.iterdir()) if directory.is_dir()]


def _case(directory: Path) -> Case:
    file = directory / "case.toml"
    options = tomllib.loads(file.read_text()) if file.exists() else {}
    environment = {"HOME": _HOME, "PATH": os.environ["PATH"], **options.get("environment", {})}
    return Case(directory, tuple(options.get("arguments", ())), environment)


def document(text: str) -> Any:
    """Return a printed project with the place of the corpus taken out."""
    return json.loads(text.replace(str(CORPUS), _PLACEHOLDER))


@cache
def reference_tool() -> tuple[str, ...] | None:
    """Return the command of a Compose v2 that is here already, or None; fetches nothing."""
    fetched = _ROOT / ".cache/compose/unpacked/usr/libexec/docker/cli-plugins/docker-compose"
    for command in (("docker", "compose"), ("docker-compose",), (str(fetched),)):
        try:
            version = subprocess.run(
                [*command, "version", "--short"], capture_output=True, text=True, timeout=30
            )
        except OSError:
            continue
        if version.returncode == 0 and version.stdout.strip().lstrip("v").startswith("2.26"):
            return command
    return None


def ask_reference(case: Case, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the real tool's ``config`` with some options."""
    tool = reference_tool()
    assert tool, "no Compose v2 here"
    command = [*tool, *case.arguments, "config", *options]
    return subprocess.run(
        command,
        cwd=case.directory,
        env=dict(case.environment),
        capture_output=True,
        text=True,
        timeout=60,
    )


def run_reference(case: Case, *options: str) -> str:
    """Return what the real tool prints for ``config`` with some options."""
    done = ask_reference(case, *options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def main() -> int:
    """Write ``expected.json`` for every project; return an exit code."""
    if not reference_tool():
        print("no Compose 2.26 here; run scripts/ensure-compose", file=sys.stderr)
        return 1
    for case in cases():
        expected = document(run_reference(case, "--format", "json"))
        case.golden.write_text(json.dumps(expected, indent=1, ensure_ascii=False) + "\n")
    print(f"{len(cases())} expected results written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
