"""dockwright prints every project of the corpus as the real tool does."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner, Result

from dockwright.cli.app import dockwright
from tests._support.compose.reference import Case, cases, document, reference_tool, run_reference

every_case = pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
needs_tool = pytest.mark.skipif(
    reference_tool() is None, reason="no Compose 2.26 here: scripts/ensure-compose fetches it"
)


def run_config(case: Case, monkeypatch: pytest.MonkeyPatch, *options: str) -> Result:
    monkeypatch.chdir(case.directory)
    for name in ("COMPOSE_FILE", "COMPOSE_PROJECT_NAME", "COMPOSE_PROFILES"):
        monkeypatch.delenv(name, raising=False)
    result = CliRunner(env=dict(case.environment)).invoke(
        dockwright, ["stack", "config", *case.arguments, *options], catch_exceptions=False
    )
    assert result.exit_code == 0, result.stderr
    return result


@every_case
def test_the_json_form_equals_the_recorded_one(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    result = run_config(case, monkeypatch, "--format", "json")

    assert document(result.stdout) == json.loads(case.golden.read_text())


@needs_tool
@every_case
def test_the_recorded_form_is_what_compose_prints(case: Case) -> None:
    assert document(run_reference(case, "--format", "json")) == json.loads(case.golden.read_text())


@needs_tool
@every_case
def test_the_yaml_form_equals_the_text_of_compose(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run_config(case, monkeypatch).stdout == run_reference(case)


@needs_tool
@every_case
def test_services_and_hashes_equal_those_of_compose(
    case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run_config(case, monkeypatch, "--hash", "*").stdout == run_reference(case, "--hash=*")
    ours = run_config(case, monkeypatch, "--services").stdout.split()
    assert sorted(ours) == sorted(run_reference(case, "--services").split())
