"""Pages agree with the code: layers, packages, dependencies, public names."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import dockwright
from dockwright.cli.stack import stack
from dockwright.compose.fields import SERVICE
from dockwright.compose.shapes import AnyOf, ListOf, MapOf, Shape, Struct
from tests._support.docs.pages import DOCS, ROOT, Command, File, Page, Step


def _project() -> dict[str, Any]:
    with (ROOT / "pyproject.toml").open("rb") as file:
        return tomllib.load(file)


def _text(page: str) -> str:
    return (DOCS / page).read_text("utf-8")


def _fenced(text: str, heading: str) -> str:
    return text.partition(heading)[2].partition("```text\n")[2].partition("```")[0]


def _packages() -> set[str]:
    package = ROOT / "src" / "dockwright"
    return {path.stem for path in package.iterdir() if _is_package(path)}


def _is_package(path: Path) -> bool:
    return (path / "__init__.py").is_file() or (path.suffix == ".py" and path.stem != "__init__")


def _steps_of_how_tos() -> list[Step]:
    """Return what `test_pages_run` does for the how-to pages: files written, commands run."""
    pages = [list(Page(path).steps()) for path in sorted((DOCS / "how-to").glob("*.md"))]
    return [
        step for page in pages if any(isinstance(each, Command) for each in page) for step in page
    ]


def _integration_commands() -> list[str]:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    return re.findall(r"^pytest tests/integration/.*$", text, re.MULTILINE)


def test_picture_of_the_packages_matches_the_contract() -> None:
    contract = _project()["tool"]["importlinter"]["contracts"][0]["layers"]
    there = _packages()
    layers = [
        {package for package in re.findall(r"dockwright\.(\w+)", layer) if package in there}
        for layer in contract
    ]
    picture = _fenced(_text("explanation/architecture.md"), "## Packages and layers").splitlines()
    assert [set(line.split()) for line in picture] == [layer for layer in layers if layer]


def test_every_package_is_explained() -> None:
    table = _text("explanation/architecture.md").partition("| package |")[2]
    explained = {
        name
        for row in table.splitlines()
        if row.startswith("| `")
        for name in re.findall(r"`(\w+)`", row.split("|")[1])
    }
    assert _packages() - explained == set()


def test_the_files_that_the_architecture_names_exist() -> None:
    source = ROOT / "src" / "dockwright"
    text = _text("explanation/architecture.md")
    named = re.findall(r"`((?:\w+/)+\w+\.(?:py|js))`(?: \((`[\w.`, ]+`)\))?", text)
    assert len(named) > 40
    for file, names in named:
        content = (source / file).read_text("utf-8")
        for name in re.findall(r"[\w.]+", names):
            assert name.rpartition(".")[2] in content, (file, name)


def test_every_dependency_has_a_documented_reason() -> None:
    whole = _project()
    project = whole["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    groups += whole["dependency-groups"].values()
    names = {re.split(r"[\[><=;! ]", line)[0] for lines in groups for line in lines}
    page = _text("explanation/dependencies.md")
    missing = {name for name in names if f"`{name}`" not in page and not name.startswith("types-")}
    assert missing == set()


def _unsupported(shape: Shape, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the keys that the table of Compose fields marks as unsupported."""
    if shape.support:
        yield path
    if isinstance(shape, AnyOf):
        for option in shape.options:
            yield from _unsupported(option, path)
    elif isinstance(shape, (ListOf, MapOf)):
        yield from _unsupported(shape.entry if isinstance(shape, ListOf) else shape.value, path)
    elif isinstance(shape, Struct):
        for key, field in shape.fields.items():
            yield from _unsupported(field, (*path, key))


def test_unsupported_compose_keys_are_listed() -> None:
    page = _text("reference/compose-support.md")
    paths = [".".join(keys) for keys in _unsupported(SERVICE)]
    assert len(paths) > 25
    assert [path for path in paths if f"`{path}`" not in page] == []


def test_every_command_of_a_stack_is_run_by_a_how_to() -> None:
    lines = [step.line for step in _steps_of_how_tos() if isinstance(step, Command)]
    run = {name for line in lines for name in re.findall(r"dockwright stack ([a-z]+)", line)}
    assert set(stack.commands) - run == set()


def test_every_context_manager_is_run_by_a_how_to() -> None:
    public = {name for name in dockwright.__all__ if hasattr(getattr(dockwright, name), "__exit__")}
    texts = [step.text for step in _steps_of_how_tos() if isinstance(step, File)]
    used = {name for text in texts for name in re.findall(r"\b(\w+)\(", text)}
    assert len(public) == 5
    assert public - used == set()


def test_there_are_four_commands_for_the_integration_suites() -> None:
    assert len(_integration_commands()) == 4


# `make test` runs the suites; here, that each command finds its tests from the repository's root.
@pytest.mark.parametrize("line", _integration_commands())
def test_the_commands_of_the_integration_suites_select_tests(line: str) -> None:
    command = [sys.executable, "-m", *line.split(), "--collect-only", "-q"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"[1-9]\d*(/\d+)? tests collected", done.stdout), done.stdout
