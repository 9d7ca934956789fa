"""What a test changes about its own process is seen, and what it changes back is not."""

from __future__ import annotations

import http.client
import locale
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from multiprocessing import resource_tracker
from pathlib import Path

import pytest

from dockwright.audit import EngineRequests, ProcessState
from dockwright.audit.process import EngineRequest


def changes(begin: ProcessState, end: ProcessState, after: ProcessState) -> list[str]:
    """Return the changes in words."""
    return [str(each) for each in begin.changes(end, after)]


def test_changes_of_environment_and_working_directory_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLD", "1")
    monkeypatch.setenv("GONE", "1")
    begin = ProcessState.take()
    with monkeypatch.context() as patch:
        patch.setenv("NEW", "1")
        patch.setenv("OLD", "2")
        patch.delenv("GONE")
        patch.chdir(tmp_path)
        end = ProcessState.take()
    assert changes(begin, end, end) == [
        "environment variable GONE (removed)",
        "environment variable NEW (added)",
        "environment variable OLD (changed)",
        f"working directory {tmp_path} (changed)",
    ]
    assert changes(begin, end, ProcessState.take()) == []
    assert changes(begin, begin, end) == []  # what fixtures change is theirs


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the umask cannot be read")
def test_what_applies_to_all_code_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    begin = ProcessState.take()
    with monkeypatch.context() as patch:
        patch.syspath_prepend("/nowhere")
        old = signal.signal(signal.SIGUSR1, signal.SIG_IGN)
        mask, limit = os.umask(0o70), sys.getrecursionlimit()
        sys.setrecursionlimit(limit + 1)
        socket.setdefaulttimeout(5)
        other = {"C", "C.UTF-8"} - {locale.setlocale(locale.LC_CTYPE)}
        locale.setlocale(locale.LC_ALL, other.pop())
        end = ProcessState.take()
    try:
        assert changes(begin, end, end) == [
            "signal handler SIGUSR1 (changed)",
            "umask (changed)",
            "locale (changed)",
            "sys.path (changed)",
            "recursion limit (changed)",
            "default timeout of sockets (changed)",
        ]
    finally:
        locale.setlocale(locale.LC_ALL, str(begin.settings["locale", ""]))
        socket.setdefaulttimeout(None)
        sys.setrecursionlimit(limit)
        os.umask(mask)
        signal.signal(signal.SIGUSR1, old)
    assert changes(begin, end, ProcessState.take()) == []


def test_threads_that_still_run_are_perhaps_a_leak() -> None:
    ending, begin = threading.Event(), ProcessState.take()
    thread = threading.Thread(target=ending.wait, name="poller")
    thread.start()
    end = ProcessState.take()
    try:
        [found] = begin.left_threads(end)
        assert (str(found), found.certain) == ("thread poller (left running)", False)
    finally:
        ending.set()
        thread.join()
    assert begin.left_threads(end) == []


def test_temporary_files_that_were_left(tmp_path: Path) -> None:
    requests = EngineRequests()
    with tempfile.TemporaryDirectory(), tempfile.NamedTemporaryFile():
        pass
    tempfile.mkdtemp(dir=tmp_path)  # pytest removes it
    directory = tempfile.mkdtemp()
    number, file = tempfile.mkstemp(dir=directory)
    os.close(number)
    assert list(map(str, requests.temporary())) == [
        f"temporary directory {directory} (left behind)",
        f"temporary file {file} (left behind)",
    ]
    tempfile.mkstemp(dir=directory)
    assert requests.temporary(besides=directory) == []
    shutil.rmtree(directory)


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process that outlives the parent that a test started it with."""
    command = [sys.executable, "-c", "import time; print(flush=True); time.sleep(60)"]
    environ = {**os.environ, "PYTEST_CURRENT_TEST": "test_it.py::test_a (call)"}
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        with suppress(ProcessLookupError):
            process.kill()


def test_processes_that_python_keeps_do_not_count() -> None:
    begin = ProcessState.take()
    resource_tracker.ensure_running()
    assert begin.left_running(ProcessState.take(), "test_it.py::test_a") == []


def test_processes_that_a_test_left_are_found(sleeper: subprocess.Popen[bytes]) -> None:
    after = ProcessState.take()
    begin = replace(after, pids=after.pids - {sleeper.pid})
    [found] = begin.left_running(after, "test_it.py::test_a")
    assert (found.kind, found.detail) == ("process", "left running")
    assert found.name.startswith(f"{sys.executable} -c import time")
    assert after.left_running(after, "test_it.py::test_a") == []


@pytest.fixture
def client() -> Iterator[http.client.HTTPConnection]:
    """A client whose server never answers."""
    here, there = socket.socketpair()
    with here, there:
        connection = http.client.HTTPConnection("engine")
        connection.sock = here
        yield connection


def test_requests_to_an_engine_are_noted(client: http.client.HTTPConnection) -> None:
    requests = EngineRequests()
    for path, body in (
        ("/v1.41/containers/create?platform=&name=box", b"{}"),
        ("/v1.41/containers/create", b"{}"),
        ("/networks/create", b'{"Name": "net", "Driver": "bridge"}'),
        ("/v1.41/volumes/create", b'{"Name":"data"}'),
        ("/v1.41/containers/box/start", b""),
    ):
        client.request("POST", path, body)
        client._HTTPConnection__state = "Idle"  # type: ignore[attr-defined]
    assert requests.take() == [
        EngineRequest("container", "box"),
        EngineRequest("container"),
        EngineRequest("network", "net"),
        EngineRequest("volume", "data"),
    ]
    subprocess.run([sys.executable, "-c", ""], check=True)
    assert requests.take() == []
    with suppress(OSError):
        subprocess.run(["docker", "version"], check=False, capture_output=True)
    assert requests.take() == [EngineRequest()]
