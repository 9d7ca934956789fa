"""Runs pages in a directory of their own, and removes what they leave on the engine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dockwright.engine import Engine
from dockwright.paths import project_hash
from dockwright.pool import RetainedStacks, remove, survey
from tests._support.docs.pages import Command
from tests._support.docs.runner import Runner

IMAGES = ("postgres:15", "redis:7", "busybox:1")


@pytest.fixture
def runner(engine: Engine, tmp_path: Path) -> Iterator[Runner]:
    missing = [image for image in IMAGES if not engine.has_image(image)]
    if missing:
        pytest.skip(f"the pages need {', '.join(missing)}: run scripts/ensure-images")
    directory, home = tmp_path / "notes", tmp_path / "home"
    directory.mkdir()
    home.mkdir()
    made = Runner(directory, home)
    yield made
    made.execute(Command("dockwright pool drain", (), 0, 0), "after the page")
    _remove_all_of(engine, directory)


def _remove_all_of(engine: Engine, directory: Path) -> None:
    # Whoever owns it: a page that fails half way may leave a stack that was to be uninstalled.
    kept = RetainedStacks(directory / "none")
    doomed = [
        each for each in survey(engine, kept) if each.ownership.project == project_hash(directory)
    ]
    remove(engine, doomed, kept)
