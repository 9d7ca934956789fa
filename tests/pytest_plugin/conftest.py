"""Fixtures of the tests of the whole plugin."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests._support.suite import Suite, clean_environment

if TYPE_CHECKING:
    from dockwright.engine import Engine


@pytest.fixture
def bare(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A suite for what ends before any engine is used."""
    clean_environment(monkeypatch, pytester.path / "state")
    monkeypatch.delenv("DOCKWRIGHT_WAIT_FOR_REMOVAL")
    return pytester


@pytest.fixture
def suite(
    pytester: pytest.Pytester,
    engine: Engine,
    scratch: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Iterator[Suite]:
    """A suite with the tiny stack, on the real engine; what it leaves is removed."""
    clean_environment(monkeypatch, tmp_path / "state")
    found = Suite(pytester, engine)
    found.compose()
    yield found
    found.remove()
