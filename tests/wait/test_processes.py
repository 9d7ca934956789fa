"""Processes on this host: by pid, object and name; zombies, the caller itself, a restart."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from dockwright.wait import (
    Cadence,
    ProcessExited,
    Target,
    WaitOptions,
    poll_for_process_exit,
    wait_for,
    watchers,
)
from dockwright.wait.processes import find_processes

EVENTS_ONLY = WaitOptions(cadence=Cadence(first_s=30, ceiling_s=30))

Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start Python processes that sleep until they are ended; their arguments bear a name."""
    started: list[subprocess.Popen[bytes]] = []

    def run(*arguments: str, code: str = "import time; time.sleep(600)") -> subprocess.Popen[bytes]:
        process = subprocess.Popen([sys.executable, "-c", code, *arguments])
        started.append(process)
        while arguments and arguments[0] not in psutil.Process(process.pid).cmdline():
            pass  # a program that has just begun has no arguments yet
        return process

    yield run
    for process in started:
        process.kill()
        process.wait()


@pytest.mark.parametrize("form", ["pid", "popen", "psutil"])
def test_an_end_is_noticed_by_the_event(start: Start, form: str) -> None:
    popen = start()
    process = {"pid": popen.pid, "popen": popen, "psutil": psutil.Process(popen.pid)}[form]
    threading.Timer(0.1, popen.kill).start()
    report = wait_for(Target(), ProcessExited(process), timeout_s=20, options=EVENTS_ONLY)  # type: ignore[arg-type]  # one of three
    assert report.elapsed_s < 10


def test_polling_is_enough_where_nothing_is_reported(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    for source in ("_open_pidfd", "_open_kqueue"):
        monkeypatch.setattr(watchers, source, lambda _: None, raising=False)
    popen = start()
    threading.Timer(0.1, popen.kill).start()
    assert poll_for_process_exit(popen.pid, timeout=10)


def test_a_child_that_was_not_reaped_counts_as_ended(start: Start) -> None:
    popen = start(code="")
    assert poll_for_process_exit(popen.pid, timeout=10)
    assert psutil.Process(popen.pid).status() == psutil.STATUS_ZOMBIE


def test_a_popen_is_reaped(start: Start) -> None:
    popen = start(code="raise SystemExit(3)")
    assert poll_for_process_exit(popen, timeout=10)
    assert popen.returncode == 3


def test_a_process_that_still_runs_gives_false(start: Start) -> None:
    assert not poll_for_process_exit(start(), timeout=0.05)


def test_an_unused_pid_counts_as_ended(start: Start) -> None:
    popen = start(code="")
    popen.wait()
    assert poll_for_process_exit(popen.pid, timeout=0)


def test_all_processes_of_a_name_have_to_end(start: Start) -> None:
    name = f"dwtest-{uuid.uuid4().hex}"
    first, second = start(name), start(name)
    first.kill()
    assert not poll_for_process_exit(name, timeout=0.2)
    threading.Timer(0.1, second.kill).start()
    assert poll_for_process_exit(name, timeout=10)


def test_a_process_that_takes_the_place_of_another_is_awaited_too(start: Start) -> None:
    name = f"dwtest-{uuid.uuid4().hex}"
    first = start(name)
    with ThreadPoolExecutor() as threads:
        waiting = threads.submit(poll_for_process_exit, name, timeout=60)
        second = start(name)
        first.kill()
        first.wait()
        with pytest.raises(TimeoutError):
            waiting.result(timeout=0.3)
        second.kill()
        assert waiting.result(timeout=60)


def test_a_whole_process_name_is_enough(start: Start) -> None:
    popen = start()
    name = psutil.Process(popen.pid).name()
    assert popen.pid in {process.pid for process in find_processes(name)}


def test_a_name_never_means_the_caller_or_its_ancestors() -> None:
    name = f"dwtest-{uuid.uuid4().hex}"
    code = f"from dockwright import poll_for_process_exit as p; print(p({name!r}, timeout=0))"
    # The shell, whose command line holds the name as well, is the caller's parent.
    shell = subprocess.run(
        ["sh", "-c", f'"{sys.executable}" -c "$0"; exit', code],
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert shell.stdout == b"True\n"


@pytest.mark.parametrize(
    ("process", "error", "message"),
    [
        (0, ValueError, "a pid is a positive number, not 0"),
        (-5, ValueError, "a pid is a positive number, not -5"),
        (True, TypeError, "a process is a pid, a name, a subprocess.Popen or a psutil.Process"),
        (None, TypeError, "not NoneType"),
        (1.5, TypeError, "not float"),
        (" ", ValueError, "a process's name must not be empty"),
    ],
)
def test_an_invalid_process_is_refused(
    process: object, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        poll_for_process_exit(process, timeout=0)  # type: ignore[arg-type]  # meant


def test_the_callers_own_end_cannot_be_awaited() -> None:
    with pytest.raises(ValueError, match="is the caller itself"):
        poll_for_process_exit(os.getpid(), timeout=0)
