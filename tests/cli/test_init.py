"""``dockwright init`` finds what a project has, and writes lines of settings only."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from dockwright.cli.errors import run

COMPOSE = """
services:
  db:
    image: postgres:15
    ports: ["5435:5432"]
  web: {image: example/web, ports: ["8000"]}
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project of an application with a Compose file in a directory of its own."""
    root = tmp_path / "project"
    write(root / "deploy/compose.yaml", COMPOSE)
    settings = '[project]\nname = "shop"\n\n[tool.pytest.ini_options]\naddopts = "-q"\n'
    write(root / "pyproject.toml", settings)
    monkeypatch.chdir(root)
    return root


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def test_the_settings_are_added_and_nothing_else_is_changed(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (project / "pyproject.toml").read_text()
    write(project / "tests/test_db.py", 'URL = "postgresql://localhost:5435/shop"\n')
    assert run(["init"]) == 0
    text = (project / "pyproject.toml").read_text()
    options = tomllib.loads(text)["tool"]["pytest"]["ini_options"]
    assert options == {
        "addopts": "-q",
        "dockwright_compose": "deploy/compose.yaml",
        "dockwright_ports": "declared",
    }
    assert [line for line in text.splitlines() if "dockwright" not in line] == before.splitlines()
    out, err = capsys.readouterr()
    assert "project deploy: db, web" in out
    assert "used in tests/test_db.py" in out
    assert "wrote pyproject.toml" in err
    assert "next 1: run pytest" in err
    assert run(["init"]) == 0  # a second time nothing is missing
    assert (project / "pyproject.toml").read_text() == text


def test_check_writes_nothing(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(project / "conftest.py", "def docker_compose_file(): ...\n")
    write(project / "tests/conftest.py", "def stack(): ...\n")
    write(project / "manage.py", "")
    write(project / "shop/settings.py", "DATABASES = {}\n")
    write(project / ".github/workflows/ci.yml", "run: docker compose up -d\n")
    before = {file: file.read_bytes() for file in project.rglob("*") if file.is_file()}
    assert run(["init", "--check", "--json"]) == 0
    assert {file: file.read_bytes() for file in project.rglob("*") if file.is_file()} == before
    found = json.loads(capsys.readouterr().out)
    assert found["settings"] == {
        "dockwright_compose": "deploy/compose.yaml",
        "dockwright_compat": "pytest-docker",
    }
    assert [(each["name"], each["status"]) for each in found["findings"]] == [
        ("compose file", "ok"),
        ("pytest-docker", "warn"),
        ("a fixture named stack", "warn"),
        ("Django", "warn"),
        ("CI", "warn"),
    ]
    assert found["written"] == []


def test_a_new_project_gets_a_file_of_settings_and_a_first_test(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "pyproject.toml").unlink()
    write(project / "setup.py", "")
    assert run(["init", "--test"]) == 0
    expected = "[pytest]\ndockwright_compose = deploy/compose.yaml\n"
    assert (project / "pytest.ini").read_text() == expected
    assert "def test_the_stack_runs(stack):" in (project / "tests/test_stack.py").read_text()
    assert "wrote tests/test_stack.py" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param(None, "no Compose file", id="none"),
        pytest.param("services: [", "compose.yaml", id="broken"),
    ],
)
def test_settings_that_would_not_work_are_errors_and_nothing_is_written(
    project: Path, capsys: pytest.CaptureFixture[str], text: str | None, said: str
) -> None:
    file = project / "deploy/compose.yaml"
    if text is None:
        file.unlink()
    else:
        file.write_text(text)
    before = (project / "pyproject.toml").read_text()
    assert run(["init"]) == 1
    out, err = capsys.readouterr()
    assert said in out + err
    assert (project / "pyproject.toml").read_text() == before
