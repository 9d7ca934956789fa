"""The public surface is what ``expected.toml`` says: a change of it is a decision, not an accident.

A name that is gone breaks somebody's suite or script. Add a new one to ``expected.toml`` in the
commit that makes it.
"""

from __future__ import annotations

import difflib
import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from dockwright.compose import LoadOptions, load
from tests._support.project import LIMIT_S, Project, plain_service
from tests._support.surface import SURFACE

HERE = Path(__file__).parent
EXPECTED = tomllib.loads((HERE / "expected.toml").read_text("utf-8"))

COMMANDS = (
    ("doctor",),
    ("cache ls",),
    ("runs ls",),
    ("plan",),
    ("pool warm", "--for", "5m"),
    ("pool ls",),
    ("pool stats",),
    ("clean", "--dry-run"),
    ("pool drain",),
    ("stack check",),
    ("stack update", "--no-pull"),
    ("stack status",),
    ("stack update", "--dry-run", "--no-pull"),
    ("stack backup", "--output", "backup.tar.zst"),
    ("stack restore", "backup.tar.zst", "--force"),
)


def assert_same(section: str, found: list[str]) -> None:
    expected = EXPECTED[section]["lines"]
    changes = difflib.unified_diff(
        sorted(expected), sorted(found), "expected.toml", "the code", n=0, lineterm=""
    )
    output = "\n".join(line for line in changes if not line.startswith("@@"))
    assert not output, f"the public surface changed ([{section}] of expected.toml):\n{output}"


@pytest.mark.parametrize("section", SURFACE)
def test_the_public_surface_has_not_changed(section: str) -> None:
    assert_same(section, SURFACE[section]())


def test_every_section_is_compared() -> None:
    assert {*EXPECTED} == {*SURFACE, "json"}


def test_a_compose_file_may_use_every_key_of_x_dockwright() -> None:
    spec = load(LoadOptions(files=(HERE / "every_key.yaml",), environ={}))
    database, worker = spec.services["database"], spec.processes["worker"]
    assert (database.reset, database.durable) == ("postgres", True)
    assert database.ready == {"log": "ready to accept connections"}
    assert database.options == {"databases": ["shop"]}
    assert worker.command == ("python", "-m", "worker")
    assert (worker.stateless, worker.stop_signal, worker.stop_grace_s) == (True, "SIGINT", 5.0)


@pytest.mark.engine
def test_json_output_of_commands_keeps_its_keys(project: Project) -> None:
    volumes = "volumes: {data: {}}"
    project.write(
        plain_service("web", "exec tail -f /dev/null", ["volumes: ['data:/data']"]), volumes
    )
    (project.directory / "test_it.py").write_text("def test_it(stack): pass\n")
    suite = [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", "--dockwright-record=on"]
    environ = dict(project.environ)
    subprocess.run(suite, cwd=project.directory, env=environ, timeout=LIMIT_S, check=True)
    lines: list[str] = []
    for name, *arguments in COMMANDS:
        printed = project.run(*name.split(), *arguments, "--json").out
        lines += [f"{name}: {keys}" for keys in _keys(json.loads(printed))]
    project.done("stack", "uninstall", "--all", "--force")
    assert project.left() == []
    assert_same("json", list(dict.fromkeys(lines)))


def _keys(document: object, depth: int = 2) -> Iterator[str]:
    """Name the keys of a document, two levels deep: what is below is described elsewhere."""
    if isinstance(document, list):
        for each in document[:1]:
            yield from (f"[].{keys}" for keys in _keys(each, depth))
    elif isinstance(document, dict) and depth:
        for key, value in document.items():
            yield key
            if isinstance(value, list):
                yield from (f"{key}{keys}" for keys in _keys(value, depth - 1))
