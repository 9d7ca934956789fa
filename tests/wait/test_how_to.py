"""The page about waiting: its examples run as they stand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dockwright.model import Json
from tests._support.owned import Owned

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "wait-for-things.md"


@pytest.mark.engine
def test_the_examples_run(owned: Owned, scratch: str, capsys: pytest.CaptureFixture[str]) -> None:
    healthcheck: Json = {"Test": ["CMD", "true"]}
    container = owned.run(
        scratch,
        "sh",
        "-c",
        "echo started; sleep 600",
        Healthcheck=healthcheck,
        HostConfig={"NetworkMode": "none"},
    )
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    names = {"container": container, "__name__": "__main__"}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec", dont_inherit=True), names)
    assert len(blocks) >= 6
    shown = capsys.readouterr().out
    assert "for web to log 'never written'; last seen: no line matched, the last is 'star" in shown
    assert "is running, health starting\n  last log lines:\n    started\n" in shown
    assert "cancelled the wait for web to log 'never written' after " in shown
