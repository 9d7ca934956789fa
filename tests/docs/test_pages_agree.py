"""What pages say about the code is what the code is: floors, rooms, dependencies, public words."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from dockwright.compose.newer import _KEYS as NEWER
from dockwright.compose.support import _IGNORED, _REFUSED
from tests.docs.pages import DOCS, ROOT


def _project() -> dict[str, Any]:
    with (ROOT / "pyproject.toml").open("rb") as file:
        return tomllib.load(file)


def _text(page: str) -> str:
    return (DOCS / page).read_text("utf-8")


def _fenced(text: str, heading: str) -> str:
    return text.partition(heading)[2].partition("```text\n")[2].partition("```")[0]


def _rooms() -> set[str]:
    package = ROOT / "src" / "dockwright"
    return {path.stem for path in package.iterdir() if _is_room(path)}


def _is_room(path: Path) -> bool:
    return (path / "__init__.py").is_file() or (path.suffix == ".py" and path.stem != "__init__")


def test_the_picture_of_the_house_is_the_contract() -> None:
    contract = _project()["tool"]["importlinter"]["contracts"][0]["layers"]
    there = _rooms()
    floors = [
        {room for room in re.findall(r"dockwright\.(\w+)", floor) if room in there}
        for floor in contract
    ]
    picture = _fenced(_text("explanation/architecture.md"), "## The house").splitlines()
    assert [set(line.split()) for line in picture] == [floor for floor in floors if floor]


def test_every_room_is_explained() -> None:
    table = _text("explanation/architecture.md").partition("| room |")[2]
    explained = {
        name
        for row in table.splitlines()
        if row.startswith("| `")
        for name in re.findall(r"`(\w+)`", row.split("|")[1])
    }
    assert _rooms() - explained == set()


def test_every_dependency_has_its_reason() -> None:
    project = _project()["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    names = {re.split(r"[\[><=;! ]", line)[0] for lines in groups for line in lines} - {
        "dockwright"
    }
    page = _text("explanation/dependencies.md")
    missing = {name for name in names if f"`{name}`" not in page and not name.startswith("types-")}
    assert missing == set()


def test_what_compose_keys_are_not_supported_is_listed() -> None:
    page = _text("reference/compose-support.md")
    paths = [".".join(keys) for keys in (*_IGNORED, *_REFUSED)]
    assert [key for key in (*paths, *NEWER) if f"`{key}`" not in page] == []
