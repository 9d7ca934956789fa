"""A disk without room and a home that is read-only: a run passes, or it says why it cannot."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from dockwright.engine import Engine
from tests._support.sample import FULL
from tests._support.soak_suite import Suite

pytestmark = [
    pytest.mark.engine,
    pytest.mark.timeout(1800 if FULL else 300),
    pytest.mark.skipif(os.getuid() != 0, reason="needs root to mount a small file system"),
]

MARKS = ("INTERNALERROR", "Traceback", "Errno")


@contextmanager
def mounted(directory: Path, options: str) -> Iterator[Path]:
    """Mount a file system in memory on a directory."""
    directory.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", options, "dockwright-test", str(directory)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this machine lets nobody mount a file system")
    try:
        yield directory
    finally:
        subprocess.run(["umount", "--lazy", str(directory)], check=True)


def fill(directory: Path) -> None:
    """Leave no room at all on a file system."""
    with (directory / "filler").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            return


@pytest.mark.parametrize("variable", ["XDG_CACHE_HOME", "XDG_STATE_HOME"])
def test_a_full_disk_is_reported_and_nothing_is_left(
    suite: Suite, engine: Engine, tmp_path: Path, variable: str, report: Callable[[str], None]
) -> None:
    with mounted(tmp_path / "full", "size=64k") as full:
        fill(full)
        narrow = replace(suite, environ={**suite.environ, variable: str(full)})
        code, output = narrow.run("--dockwright-record=on")
    assert_said(code, output, "No space left on device")
    assert suite.left(engine) == []
    assert suite.brokers() == []
    report(f"{variable} on a full disk: exit status {code}, nothing left")


def test_a_read_only_home_is_reported_and_nothing_is_left(
    suite: Suite, engine: Engine, tmp_path: Path, report: Callable[[str], None]
) -> None:
    with mounted(tmp_path / "home", "ro") as home:
        environ = {name: text for name, text in suite.environ.items() if "XDG" not in name}
        code, output = replace(suite, environ={**environ, "HOME": str(home)}).run()
    assert_said(code, output, "Read-only file system")
    assert suite.left(engine) == []
    assert suite.brokers() == []
    report(f"a read-only home: exit status {code}, nothing left")


def assert_said(code: int, output: str, reason: str) -> None:
    """Check that a run passed, or failed with the reason and without a traceback."""
    assert code == 0 or (code == 1 and reason in output), output
    assert [mark for mark in MARKS if mark in output] == [], output
