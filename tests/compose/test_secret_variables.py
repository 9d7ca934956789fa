"""Which variables a project declares as secret, and what its secrets are made from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dockwright.compose import LoadOptions, load, locate
from dockwright.errors import ComposeError

PROJECT = """
name: shop
services:
  web:
    image: web
    environment: {TOKEN: "${TOKEN:?set it}"}
    secrets: [password]
secrets:
  password: {environment: DB_PASSWORD}
x-dockwright: {secrets: [TOKEN, DB_PASSWORD]}
"""


def options(directory: Path, text: str = PROJECT, **environ: str) -> LoadOptions:
    file = directory / "compose.yaml"
    file.write_text(text)
    return LoadOptions(files=(file,), environ=environ)


def test_secret_variables_are_known_before_the_project_can_be_loaded(tmp_path: Path) -> None:
    place = locate(options(tmp_path))
    assert place.name == "shop"
    assert place.secret_variables() == ("DB_PASSWORD", "TOKEN")
    with pytest.raises(ComposeError, match="set it"):
        load(options(tmp_path))


def test_the_environment_takes_precedence_over_values_and_values_over_env_files(
    tmp_path: Path,
) -> None:
    (tmp_path / ".env").write_text("TOKEN=file\nDB_PASSWORD=file\n")
    values = {"TOKEN": "value", "DB_PASSWORD": "value"}
    spec = load(replace(options(tmp_path, DB_PASSWORD="environ"), values=values))
    assert spec.secrets == ("DB_PASSWORD", "TOKEN")
    assert spec.contents == {"DB_PASSWORD": "environ"}
    assert spec.services["web"].config["environment"] == {"TOKEN": "value"}


def test_a_secret_changes_the_hash_and_is_not_printed(tmp_path: Path) -> None:
    first = load(options(tmp_path, TOKEN="t", DB_PASSWORD="correct horse"))
    second = load(options(tmp_path, TOKEN="t", DB_PASSWORD="battery staple"))
    assert first.content_hash != second.content_hash
    assert "correct horse" not in repr(first)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("['NO-NAME']", "x-dockwright.secrets: 'NO-NAME' is not a valid variable name"),
        ("A", "x-dockwright.secrets: "),
        ("[A, A]", "x-dockwright.secrets"),
    ],
)
def test_invalid_names_are_refused(tmp_path: Path, text: str, message: str) -> None:
    project = f"services: {{web: {{image: web}}}}\nx-dockwright: {{secrets: {text}}}\n"
    with pytest.raises(ComposeError) as failure:
        load(options(tmp_path, project))
    assert message in str(failure.value)
