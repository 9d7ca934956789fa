"""Where the real tool and dockwright make something else of a generated project.

``python -m tests._support.compose.differences FIRST LAST`` compares the projects of these seeds,
and prints each difference with a project that is as small as it can be.
"""

from __future__ import annotations

import contextlib
import difflib
import json
import os
import sys
import tempfile
import traceback
from pathlib import Path

import pytest
from click.testing import CliRunner

from dockwright.cli.app import dockwright
from dockwright.errors import DockwrightError
from tests._support.compose.grammar import Generated, generate, render
from tests._support.compose.reference import Case, ask_reference
from tests._support.compose.shrinking import shrink

FORMS = (("--format", "json"), (), ("--hash=*",), ("--volumes",), ("--images",), ("--profiles",))
_REFUSED = "refused: "
_MISTAKES = ("cannot override", "#extensions", "error calling MarshalJSON")
"""What Compose says where it refuses by mistake (docs/reference/compose-support.md)."""


def difference(made: Generated, forms: int = len(FORMS)) -> str | None:
    """Return what differs, or None.

    Args:
        made: the project.
        forms: how many forms of output are compared, of the most telling first.
    """
    with tempfile.TemporaryDirectory() as scratch:
        directory = Path(scratch, "shop")
        made.write(directory)
        environment = {"HOME": "/home/tester", "PATH": os.environ["PATH"], **made.environment}
        return differing(Case(directory, made.arguments, environment), forms)


def differing(case: Case, forms: int = len(FORMS)) -> str | None:
    """Return what differs of one project in a directory, or None."""
    for options in FORMS[:forms]:
        theirs, ours = _theirs(case, options), _ours(case, options)
        refused = theirs.startswith(_REFUSED)
        if refused and (ours.startswith(_REFUSED) or any(said in theirs for said in _MISTAKES)):
            return None
        if theirs != ours and theirs == _theirs(case, options):  # else Compose itself is not sure
            return f"config {' '.join(options)}\n" + _diff(theirs, ours)
    return None


def _theirs(case: Case, options: tuple[str, ...]) -> str:
    done = ask_reference(case, *options)
    if done.returncode:
        said = [line for line in done.stderr.split("\n") if "level=warning" not in line]
        return f"{_REFUSED}{' '.join(said)[:300]}\n"
    return _comparable(done.stdout, options)


def _ours(case: Case, options: tuple[str, ...]) -> str:
    hidden = dict.fromkeys(os.environ, None)
    runner = CliRunner(env={**hidden, **case.environment})
    with contextlib.chdir(case.directory):
        try:
            result = runner.invoke(
                dockwright, ["stack", "config", *case.arguments, *options], catch_exceptions=False
            )
        except DockwrightError as refused:
            return f"{_REFUSED}{refused}\n"
        except Exception:  # noqa: BLE001 - a crash is a difference, to be made small like any
            return f"crashed: {traceback.format_exc(limit=-2)}\n"
    return _comparable(result.stdout, options)


def _comparable(text: str, options: tuple[str, ...]) -> str:
    """Return a text in which only the order that matters in its form is left."""
    if "json" in options:
        return json.dumps(json.loads(text), indent=1, sort_keys=True)
    return "\n".join(sorted(text.split("\n"))) if options else text


def _diff(theirs: str, ours: str) -> str:
    both = theirs.split("\n"), ours.split("\n")
    return "\n".join(difflib.unified_diff(*both, "Compose", "dockwright", n=2, lineterm=""))


def main() -> None:
    """Compare the projects of the seeds that the command line names."""
    first, last = map(int, sys.argv[1:3])
    found = 0
    for seed in range(first, last):
        said = report(seed)
        if said:
            found += 1
            print(said, flush=True)
    print(f"{last - first} projects, {found} differ")


def check(seed: int) -> None:
    """Fail where the project of a seed is read otherwise than by Compose.

    Every fourth one is compared in every form of output, the others as JSON and YAML.
    """
    said = report(seed, forms=len(FORMS) if seed % 4 == 0 else 2)
    if said:
        pytest.fail(said, pytrace=False)


def report(seed: int, forms: int = len(FORMS)) -> str | None:
    """Return a project that is as small as it can be, and what differs, or None."""
    made = generate(seed)
    if not difference(made, forms):
        return None
    forms = 1 if difference(made, 1) else forms
    small = shrink(made, lambda candidate: difference(candidate, forms))
    files = "".join(f"--- {name}\n{render(sections)}" for name, sections in small.files.items())
    return f"=== seed {seed}, options {made.arguments}\n{files}{difference(small, forms)}"


if __name__ == "__main__":
    main()
