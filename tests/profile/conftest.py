"""Fixtures of the profile's tests: suites that are profiled, and what a profile says of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests._support.profiled import Profiled

collect_ignore = ["wasteful"]  # run by tests, as somebody else's suite


@pytest.fixture
def profiled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Profiled:
    """A directory for a suite that has never heard of dockwright, and the command on it."""
    directory = tmp_path / "suite"
    directory.mkdir()
    monkeypatch.chdir(directory)
    # Plain pytest: the plugins of this environment cost a second a start.
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    (directory / "pytest.ini").write_text("[pytest]\naddopts = -p no:cacheprovider\n")
    return Profiled(directory, capfd)
