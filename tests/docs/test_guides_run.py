"""The guides are true: their suites pass with the real frameworks, on a real engine."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from dockwright._files import locked
from tests._support.docs.pages import DOCS, ROOT, Page
from tests._support.docs.runner import Runner

GUIDES = [Page(path) for path in sorted((DOCS / "guides").glob("*.md"))]


@pytest.fixture
def frameworks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the commands of a page find the frameworks; see ``scripts/ensure-guides``."""
    with locked(ROOT / ".venv" / "guides.lock", create=True):
        done = subprocess.run(
            [ROOT / "scripts" / "ensure-guides"], check=True, stdout=subprocess.PIPE, text=True
        )
    monkeypatch.setenv("PYTHONPATH", done.stdout.strip())


@pytest.mark.engine
@pytest.mark.timeout(400)
@pytest.mark.soak(sample=1)
@pytest.mark.usefixtures("frameworks")
@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.path.stem)
def test_a_guide_does_what_it_says(page: Page, runner: Runner) -> None:
    assert runner.run(page) > 0


def test_there_are_guides() -> None:
    assert len(GUIDES) >= 5


def test_the_script_explains_itself() -> None:
    script = Path(ROOT / "scripts" / "ensure-guides")
    done = subprocess.run([script, "--help"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("usage: scripts/ensure-guides [--help]\n")
    assert subprocess.run([script, "--wrong"], capture_output=True, check=False).returncode == 2
