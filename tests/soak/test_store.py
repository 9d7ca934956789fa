"""Writers of the store of runs are killed at random: it opens, and no finished run is lost."""

from __future__ import annotations

import secrets
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dockwright.recording import RunStore
from tests._support.sample import FULL
from tests.soak.conftest import rounds

pytestmark = pytest.mark.timeout(1800 if FULL else 120)

WRITERS = 8
KILLS = rounds(10, 100)


def test_no_finished_run_is_lost(tmp_path: Path, report: Callable[[str], None]) -> None:
    file, acknowledged = tmp_path / "runs.sqlite3", tmp_path / "acknowledged"
    seed = secrets.randbelow(1 << 30)
    herd = subprocess.run(
        [
            *(
                sys.executable,
                "-m",
                "tests._support.recording.writers",
                str(file),
                str(acknowledged),
            ),
            *(str(WRITERS), str(KILLS), str(seed)),
        ],
        capture_output=True,
        text=True,
        timeout=900 if FULL else 100,
        check=True,
    )
    assert herd.stdout.split() == ["0"], herd.stderr
    finished = acknowledged.read_text().split()
    kept = {run.id for run in RunStore(file).runs()}
    assert set(finished) <= kept
    assert list(tmp_path.glob("*.damaged-*")) == []
    store = RunStore(file)
    assert all(
        len(store.load(run).tests) == 200 for run in finished[:: max(1, len(finished) // 50)]
    )
    report(f"{WRITERS} writers, {KILLS} killed: {len(finished)} finished runs, none lost")
