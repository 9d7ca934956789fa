"""``dockwright init --from-testcontainers`` writes what the last run started."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from dockwright.cli.app import dockwright
from dockwright.cli.errors import run
from dockwright.compat.container_spec import ContainerRequest
from dockwright.compat.record import StartedContainers
from dockwright.compose import LoadOptions, load


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    made = tmp_path / "suite"
    made.mkdir()
    (made / "pytest.ini").write_text("[pytest]\n")
    return made


def start(root: Path, run: str, image: str, kind: str = "DockerContainer", **more: object) -> None:
    StartedContainers(root, run).add(ContainerRequest(image, {"ports": {"80": None}, **more}), kind)


def test_init_writes_the_containers_of_the_last_run(root: Path) -> None:
    start(root, "before", "old:1")
    network = {"network": "n", "networking_config": {"n": {"Aliases": ["db"]}}}
    start(root, "last", "postgres:15", "PostgresContainer", environment={"A": "$B"}, **network)
    start(root, "last", "app:1")
    start(root, "last", "app:1")
    start(root, "last", "app:1", ports={"80": 8080})
    done = CliRunner().invoke(dockwright, ["init", "--from-testcontainers", "--root", str(root)])
    assert done.exit_code == 0, done.output
    spec = load(LoadOptions(files=(root / "compose.yaml",), environ={}))
    assert set(spec.services) == {"postgres", "app", "app-2"}
    assert spec.services["postgres"].environment == {"A": "$B"}
    assert spec.services["postgres"].networks["default"].aliases == ("db",)
    assert [port.published for port in spec.services["app-2"].ports] == ["8080"]


def test_init_reports_arguments_without_a_compose_key(root: Path) -> None:
    start(root, "last", "app:1", restart_policy={"Name": "always"})
    done = CliRunner().invoke(
        dockwright, ["init", "--from-testcontainers", "--check", "--json", "--root", str(root)]
    )
    document = json.loads(done.output)
    assert document["missing"] == ["app: restart_policy={'Name': 'always'}"]
    assert document["written"] is False
    assert not (root / "compose.yaml").exists()


def test_init_without_a_run_says_what_to_do(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = run(["init", "--from-testcontainers", "--root", str(root)])
    assert code == 2
    assert "has started containers of testcontainers" in capsys.readouterr().err
    start(root, "last", "app:1")
    (root / "compose.yaml").write_text("services: {}\n")
    code = run(["init", "--from-testcontainers", "--root", str(root)])
    assert code == 2
    assert "compose.yaml exists" in capsys.readouterr().err
