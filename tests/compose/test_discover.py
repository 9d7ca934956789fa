"""Which Compose files a directory has, and the name of its project."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dockwright.compose import LoadOptions, discover, load
from dockwright.errors import ComposeError

TEXT = "services: {a: {image: x}}\n"


def write(directory: Path, *names: str) -> list[Path]:
    for name in names:
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_text(TEXT)
    return [directory / name for name in names]


@pytest.mark.parametrize(
    "name", ["compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"]
)
def test_every_standard_file_name_is_found(name: str, tmp_path: Path) -> None:
    files = write(tmp_path, name)

    assert discover(tmp_path, {}) == tuple(files)


def test_compose_yaml_comes_first(tmp_path: Path) -> None:
    write(tmp_path, "docker-compose.yml", "compose.yaml", "compose.yml")

    assert discover(tmp_path, {}) == (tmp_path / "compose.yaml",)


def test_parents_are_searched(tmp_path: Path) -> None:
    files = write(tmp_path, "compose.yaml")
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)

    assert discover(inner, {}) == tuple(files)


def test_the_override_file_follows(tmp_path: Path) -> None:
    files = write(tmp_path, "compose.yaml", "compose.override.yml")
    write(tmp_path, "compose.override.yaml", "docker-compose.override.yml")

    assert discover(tmp_path, {}) == tuple(files)


def test_compose_file_takes_precedence_over_searching(tmp_path: Path) -> None:
    write(tmp_path, "compose.yaml")
    files = write(tmp_path, "one.yaml", "sub/two.yaml")

    assert discover(tmp_path, {"COMPOSE_FILE": "one.yaml:sub/two.yaml"}) == tuple(files)


def test_the_separator_can_be_chosen(tmp_path: Path) -> None:
    files = write(tmp_path, "one.yaml", "two.yaml")
    environ = {"COMPOSE_FILE": "one.yaml,two.yaml", "COMPOSE_PATH_SEPARATOR": ","}

    assert discover(tmp_path, environ) == tuple(files)


def test_a_file_in_compose_file_must_exist(tmp_path: Path) -> None:
    with pytest.raises(ComposeError, match="COMPOSE_FILE names it"):
        discover(tmp_path, {"COMPOSE_FILE": "none.yaml"})


@pytest.mark.parametrize("listed", ["", "compose.yaml:"])
def test_compose_file_must_not_have_an_empty_part(listed: str, tmp_path: Path) -> None:
    write(tmp_path, "compose.yaml")

    with pytest.raises(ComposeError, match="COMPOSE_FILE is empty, or has an empty part"):
        load(LoadOptions(start=tmp_path, environ={"COMPOSE_FILE": listed}))


def test_paths_in_the_compose_file_of_a_parent_dotenv_start_here(tmp_path: Path) -> None:
    write(tmp_path, "compose.yaml", "other.yaml", "here/other.yaml")
    (tmp_path / ".env").write_text("COMPOSE_FILE=other.yaml\n")

    spec = load(LoadOptions(start=tmp_path / "here", environ={}))

    assert spec.files == (tmp_path / "here" / "other.yaml",)


def test_a_dotenv_here_is_not_read_if_the_compose_file_is_in_a_parent(tmp_path: Path) -> None:
    files = write(tmp_path, "compose.yaml")
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / ".env").write_text("COMPOSE_FILE=missing.yaml\n")

    assert load(LoadOptions(start=tmp_path / "here", environ={})).files == tuple(files)


@pytest.mark.parametrize(
    ("directory", "name"), [("My.App_1", "myapp_1"), ("__x", "x"), ("a b", "ab"), ("-A-", "a-")]
)
def test_the_directory_names_the_project(directory: str, name: str, tmp_path: Path) -> None:
    write(tmp_path, f"{directory}/compose.yaml")

    assert load(LoadOptions(start=tmp_path / directory, environ={})).name == name


@pytest.mark.parametrize("directory", ["テスト", "Ω", "___", "..."])
def test_a_directory_without_an_ascii_letter_still_names_the_project(
    directory: str, tmp_path: Path
) -> None:
    write(tmp_path, f"{directory}/compose.yaml", f"x/{directory}/compose.yaml", "Я/compose.yaml")

    name = load(LoadOptions(start=tmp_path / directory, environ={})).name

    assert re.fullmatch("project-[0-9a-f]{8}", name)
    assert load(LoadOptions(start=tmp_path / "x" / directory, environ={})).name == name
    assert load(LoadOptions(start=tmp_path / "Я", environ={})).name != name


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("../compose.yaml", "shop"),
        ("../../deploy/compose.yaml", "deploy"),
        ("{root}/shop/tests/../compose.yaml", "shop"),
        ("../link/../compose.yaml", "shop"),  # as in Compose, not the parent of the link's target
        ("../link.yaml", "shop"),
        ("./compose.yaml", "tests"),
    ],
)
def test_a_path_is_resolved_before_a_project_is_named_after_it(
    written: str, name: str, tmp_path: Path
) -> None:
    write(tmp_path, "shop/compose.yaml", "shop/tests/compose.yaml", "deploy/compose.yaml")
    (tmp_path / "deploy" / "sub").mkdir()
    (tmp_path / "shop" / "link").symlink_to(tmp_path / "deploy" / "sub")
    (tmp_path / "shop" / "link.yaml").symlink_to(tmp_path / "deploy" / "compose.yaml")
    start = tmp_path / "shop" / "tests"
    written = written.format(root=tmp_path)
    directory = tmp_path / name if name != "tests" else start

    named = load(LoadOptions(files=(Path(written),), start=start, environ={}))
    listed = load(LoadOptions(start=start, environ={"COMPOSE_FILE": f"{written}:../compose.yaml"}))

    for spec in (named, listed):
        assert (spec.name, spec.working_dir) == (name, directory)
        assert not any(".." in file.parts for file in spec.files)


def test_a_project_directory_is_resolved_as_well(tmp_path: Path) -> None:
    write(tmp_path, "shop/compose.yaml")
    (tmp_path / "shop" / "tests").mkdir()
    given = tmp_path / "shop" / "tests" / ".."

    assert load(LoadOptions(working_dir=given, start=tmp_path, environ={})).name == "shop"


def test_the_most_specific_name_takes_precedence(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text(f"name: in-file\n{TEXT}")
    environ = {"COMPOSE_PROJECT_NAME": "in-environment"}

    assert load(LoadOptions(start=tmp_path, environ={})).name == "in-file"
    assert load(LoadOptions(start=tmp_path, environ=environ)).name == "in-environment"
    given = LoadOptions(start=tmp_path, environ=environ, project_name="given")
    assert load(given).name == "given"
