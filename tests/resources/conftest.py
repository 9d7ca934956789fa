"""A project directory and a state directory of each test's own."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Journals of other tests and runs are not seen."""
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "dockwright"


def workspaces(state: Path) -> list[str]:
    """Name what is left in the state directory."""
    return sorted(path.name for path in (state / "sessions").glob("*"))
