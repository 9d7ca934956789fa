"""A suite that cannot run beside itself: fixed ports, names and directories, pkill and prune.

Each file has five tests that build on each other; most of their time is waiting. One fails and one
is skipped, so that equal outcomes are more than "all passed".
"""

from __future__ import annotations

from pathlib import Path

IMAGE = "dockwright-test/scratch:1"

_TOOL = '''
"""The tool under test: keeps its project in ~/.tool, its services on fixed ports and names."""

import pathlib, shutil, socket, subprocess, sys, time

PROJECT = pathlib.Path.home() / ".tool"
NAMES = ("tool-web", "tool-db")
PORTS = {"tool-web": 8080, "tool-db": 5432}
IMAGE = "IMAGE_NAME"
PAUSE_S = PAUSE


def sh(*words):
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def pause(times):
    time.sleep(PAUSE_S * times)


def clean():
    subprocess.run(["pkill", "-f", "tool-watcher"])
    subprocess.run(["docker", "rm", "-f", *NAMES], capture_output=True)
    shutil.rmtree(PROJECT, ignore_errors=True)
    sh("docker", "system", "prune", "-f")


def install():
    PROJECT.mkdir()  # fails if another suite has one
    (PROJECT / "state").write_text("installed")
    for name, port in PORTS.items():
        sh("docker", "run", "-d", "--name", name, "-p", f"{port}:{port}", IMAGE,
           "sh", "-c", "while :; do sleep 0.2; done")
    subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)  # tool-watcher"],
                     stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def running():
    return sorted(sh("docker", "ps", "--format", "{{.Names}}").split())


def watchers():
    return subprocess.run(["pgrep", "-fc", "time.sleep.600"], capture_output=True, text=True).stdout


def serves(port):
    with socket.create_connection(("127.0.0.1", port), timeout=5):
        return True
'''

_TESTS = """
import pytest, tool


def test_install():
    tool.clean()
    tool.install()
    tool.pause(NUMBER % 4 + 1)
    assert tool.running() == ["tool-db", "tool-web"]
    assert tool.watchers().strip() == "1"


def test_ports():
    tool.pause(2)
    assert tool.serves(8080) and tool.serves(5432)


def test_restart():
    tool.sh("docker", "restart", "-t", "0", "tool-db")
    tool.pause(3)
    assert tool.serves(5432)
    assert (tool.PROJECT / "state").read_text() == "installed"


def test_known_bug():
    tool.pause(1)
    if NUMBER % 2:
        pytest.skip("not here")
    assert tool.running() == []


def test_uninstall():
    tool.clean()
    tool.pause(1)
    assert not tool.PROJECT.exists() and tool.running() == []
"""


def write_suite(directory: Path, *, files: int, pause_s: float, image: str = IMAGE) -> None:
    """Write the suite.

    Args:
        directory: where; made if it does not exist.
        files: how many files of five tests.
        pause_s: a test waits for this long, up to four times.
        image: of its services; has a shell.
    """
    directory.mkdir(exist_ok=True)
    (directory / "pytest.ini").write_text("[pytest]\naddopts = -p no:cacheprovider\n")
    tool = _TOOL.replace("IMAGE_NAME", image).replace("PAUSE\n", f"{pause_s}\n")
    (directory / "tool.py").write_text(tool)
    for number in range(files):
        text = _TESTS.replace("NUMBER", str(number))
        (directory / f"test_{number:02}.py").write_text(text)
