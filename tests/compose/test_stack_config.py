"""``dockwright stack config`` on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from dockwright.cli.app import dockwright
from dockwright.errors import ComposeError, UnknownServiceError

TEXT = """\
services:
  web: {image: w, depends_on: [db], develop: {watch: [{path: ., action: rebuild}]}}
  db: {image: d, volumes: [data:/d]}
  built: {build: ., profiles: [extra]}
volumes: {data: , unused: }
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "shop"
    directory.mkdir()
    (directory / "compose.yaml").write_text(TEXT)
    for name in ("COMPOSE_FILE", "COMPOSE_PROJECT_NAME", "COMPOSE_PROFILES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(directory)
    return directory


def run(*arguments: str) -> Result:
    return CliRunner().invoke(dockwright, ["stack", "config", *arguments], catch_exceptions=False)


def test_yaml_is_the_default(project: Path) -> None:
    result = run()

    assert result.stdout.startswith("name: shop\nservices:\n  db:\n    image: d\n")
    assert result.exit_code == 0


def test_json_on_request(project: Path) -> None:
    document = json.loads(run("--format", "json", "--profile", "extra").stdout)

    assert list(document["services"]) == ["built", "db", "web"]
    assert document["volumes"] == {"data": {"name": "shop_data"}}


def test_warnings_go_to_standard_error(project: Path) -> None:
    result = run("--services")

    assert result.stderr == (
        f"warning: {project / 'compose.yaml'}:2: services.web.develop: "
        "is not used: nothing is watched or rebuilt during tests\n"
    )
    assert result.stdout == "db\nweb\n"


@pytest.mark.parametrize(
    ("options", "printed"),
    [
        (["--services"], "db\nweb\n"),
        (["--services", "--profile", "*"], "built\ndb\nweb\n"),
        (["--volumes"], "data\n"),
        (["--images", "--profile", "extra"], "shop-built\nd\nw\n"),
        (["--images", "--profile", "extra", "-p", "other"], "other-built\nd\nw\n"),
        (["--profiles"], "extra\n"),
        (["-q"], ""),
    ],
)
def test_parts_of_the_project(options: list[str], printed: str, project: Path) -> None:
    assert run(*options).stdout == printed


def test_hashes_of_chosen_services(project: Path) -> None:
    lines = run("--hash", "web,db").stdout.splitlines()

    assert [line.split()[0] for line in lines] == ["db", "web"]
    assert all(len(line.split()[1]) == 64 for line in lines)
    with pytest.raises(UnknownServiceError, match="the project has no service 'nope'"):
        run("--hash", "nope")


def test_output_to_a_file(project: Path) -> None:
    result = run("--format", "json", "-o", "out.json")

    assert result.stdout == ""
    assert json.loads((project / "out.json").read_text())["name"] == "shop"


def test_files_and_variables_are_chosen(project: Path) -> None:
    (project / "over.yaml").write_text("services: {web: {image: 'w:${TAG}'}}")
    (project / "tag.env").write_text("TAG=7")

    result = run("-f", "compose.yaml", "-f", "over.yaml", "--env-file", "tag.env", "--images")

    assert result.stdout == "d\nw:7\n"


def test_a_wrong_file_is_an_error_with_its_place(project: Path) -> None:
    (project / "compose.yaml").write_text("services: {web: {imagee: x}}")

    with pytest.raises(ComposeError, match=r"compose\.yaml:1: services\.web: unknown key 'imagee'"):
        run()


def test_the_help_has_examples(project: Path) -> None:
    assert "dockwright stack config -q && echo valid" in run("--help").stdout
