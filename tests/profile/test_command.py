"""``dockwright profile``: the suite runs as it would without, and its time is told."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from dockwright.cli.errors import run
from tests._support.profiled import PYTEST, Profiled
from tests._support.project import COMMAND, LIMIT_S

SUITE = """
import asyncio, subprocess, sys, threading, time
from concurrent.futures import ThreadPoolExecutor

import pytest

@pytest.fixture(scope="module")
def shared():
    time.sleep(0.2)
    yield
    time.sleep(0.1)

@pytest.fixture
def own(shared):
    time.sleep(0.05)

def settle():
    time.sleep(0.15)

def test_fixtures(own):
    settle()

def test_fails():
    print("seen")
    assert 1 == 2

def test_commands():
    subprocess.run(["sleep", "0.2"], check=True)
    subprocess.run("true && sleep 0.1", shell=True, check=True)

def test_python():
    subprocess.run([sys.executable, "-c", "import time; time.sleep(0.25)"], check=True)

def test_coroutines():
    async def several():
        await asyncio.gather(asyncio.sleep(0.1), asyncio.sleep(0.2))
        process = await asyncio.create_subprocess_exec("sleep", "0.1")
        await process.wait()
    asyncio.run(several())

def test_command_with_a_limit():
    subprocess.run(["sleep", "0.3"], check=True, timeout=20)

def test_polls():
    until = time.monotonic() + 0.25
    while time.monotonic() < until:
        time.sleep(0.1)

def test_threads():
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(time.sleep, [0.2, 0.2]))

def test_event():
    threading.Event().wait(0.15)
"""


def _timeless(text: str) -> str:
    return re.sub(r"in \d+\.\d+s", "", text)


def test_a_profiled_suite_behaves_the_same_and_each_wait_is_listed(profiled: Profiled) -> None:
    profiled.write(SUITE)
    plain = subprocess.run(
        [*PYTEST, "-q", "-rA"], capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    seen = profiled.pytest("-rA")

    assert seen.code == plain.returncode == 1
    assert _timeless(seen.out).startswith(_timeless(plain.stdout) + "\nProfile of: ")

    sleeps = {
        "in shared": 0.3,
        "in own": 0.05,
        "in settle": 0.15,
        "in test_commands": 0.3,
        "in test_command_with_a_limit": 0.3,
        "<string>:1": 0.25,
        "in several": 0.1,
        "in test_coroutines": 0.2,  # tasks of their own: nobody else called them
        "in test_threads": 0.2,
        "in test_event": 0.15,
    }
    for place, seconds in sleeps.items():
        assert seconds - 0.02 <= seen.at(place, "sleep") <= seconds + 0.5, place
    limited = [each for each in seen.profile["sites"] if "with_a_limit" in each["site"]]
    assert [(each["what"], each["count"]) for each in limited] == [("sleep 0.3", 1)]
    assert seen.cause("awaited") + seen.cause("polling") == pytest.approx(0.3, abs=0.1)


def test_every_second_is_counted_once(profiled: Profiled) -> None:
    profiled.write(SUITE)
    seen = profiled.pytest("-p", "xdist", "-n", "2")
    profile = seen.profile

    assert profile["lanes"] == 2
    assert sum(each["seconds"] for each in profile["causes"]) == pytest.approx(
        2 * profile["wall_s"], rel=1e-6
    )
    assert len(profile["tests"]) == 9
    tests = {each["test"].partition("::")[2]: each for each in profile["tests"]}
    assert tests["test_python"]["causes"]["sleep"] >= 0.25
    for each in tests.values():
        phases = each["setup_s"] + each["call_s"] + each["teardown_s"]
        assert phases <= each["seconds"] + 1e-6  # between them pytest makes its reports
        assert sum(each["causes"].values()) == pytest.approx(each["seconds"], rel=1e-6)
    assert "2 parallel processes" in seen.out


KILLED = """
import os, signal, time

def test_before():
    time.sleep(0.1)

def test_dies():
    time.sleep(0.1)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_suite_is_reported_as_far_as_it_got(profiled: Profiled) -> None:
    profiled.write(KILLED)
    seen = profiled.pytest()

    assert seen.code == 128 + signal.SIGKILL
    tests = {each["test"] for each in seen.profile["tests"]}
    assert tests == {"test_it.py::test_before", "test_it.py::test_dies"}
    assert seen.cause("sleep") == pytest.approx(0.2, abs=0.1)


INTERRUPTED = """
import pathlib, time

def test_long():
    time.sleep(0.1)
    pathlib.Path("ready").touch()
    time.sleep(60)
"""


def test_ctrl_c_ends_the_suite_but_the_report_is_written(profiled: Profiled) -> None:
    profiled.write(INTERRUPTED)
    with subprocess.Popen(
        [*COMMAND, "profile", "--", *PYTEST, "-q"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        while not (profiled.directory / "ready").exists():
            assert process.poll() is None
            threading.Event().wait(0.02)  # nothing tells when a file appears
        os.killpg(process.pid, signal.SIGINT)
        out, _ = process.communicate(timeout=LIMIT_S)

    assert process.returncode == 2  # pytest's own
    assert "KeyboardInterrupt" in out
    assert "Interrupted: the profile covers the time until then." in out
    assert "time.sleep\n                      test_it.py:5 in test_long" in out


def test_signals_are_forwarded(profiled: Profiled) -> None:
    script = "touch ready; exec sleep 60"
    with subprocess.Popen(
        [*COMMAND, "profile", "--", "sh", "-c", script], stdout=subprocess.PIPE, text=True
    ) as process:
        while not (profiled.directory / "ready").exists():
            assert process.poll() is None
            threading.Event().wait(0.02)  # nothing tells when a file appears
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 128 + signal.SIGTERM
    assert "exit code 143" in out


def test_secrets_are_not_shown(profiled: Profiled, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APP_PASSWORD", "hunter2-hunter2")
    profiled.write("import pytest\n@pytest.mark.parametrize('x', ['hunter2-hunter2'])\n"
                   "def test_it(x): __import__('time').sleep(0.02)\n")  # fmt: skip
    seen = profiled.pytest("--override-ini=x=postgres://me:s3cr3t-s3cr3t@host/db")
    told = seen.out.partition("Profile of: ")[2] + json.dumps(seen.profile)
    assert "test_it[***]" in told
    assert "hunter2-hunter2" not in told
    assert "s3cr3t-s3cr3t" not in told


def test_equal_advice_is_grouped_and_fits_the_terminal(
    profiled: Profiled, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    profiled.write("""
import time, pytest

@pytest.fixture(scope="module")
def shared():
    time.sleep(0.1)
    yield
    time.sleep(0.1)

def test_a(shared):
    time.sleep(0.2)

def test_b(shared):
    pass
""")
    seen = profiled.pytest()
    assert "  shared (module), set up 1 x\n" in seen.out
    assert " s  all 2 tests\n" in seen.out
    advice = seen.out.partition("What to change")[2].splitlines()
    assert re.fullmatch(r"  1\. saves at most 0\.4\d s: fixed sleeps at 3 call sites", advice[1])
    assert max(map(len, advice)) <= 60


def test_a_profile_without_tests_says_why(profiled: Profiled) -> None:
    seen = profiled.run("sh", "-c", f"{sys.executable} -c pass; env -i {sys.executable} -m pytest")
    assert "No test was observed." in seen.out


def test_json_on_standard_output_is_not_mixed(profiled: Profiled) -> None:
    code = run(["profile", "--json", "-", "--", sys.executable, "-c", "print('its own')"])
    out, err = profiled.capture.readouterr()

    assert code == 0
    assert json.loads(out)["command"] == f"{sys.executable} -c print('its own')"
    assert err == "its own\n"


def test_a_report_in_a_file_is_not_printed(profiled: Profiled, tmp_path: Path) -> None:
    report = tmp_path / "report.txt"
    code = run(["profile", "--output", str(report), "--", "sh", "-c", "echo hello; exit 7"])
    out, _ = profiled.capture.readouterr()

    assert code == 7
    assert out == "hello\n"
    assert "No Python process could be observed" in report.read_text()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "Missing argument 'COMMAND...'"),
        (("--", "no-such-command"), "cannot run 'no-such-command': No such file or directory"),
        (("--json", "no/such/directory/file", "--", "true"), "no such directory"),
        (("--rows", "0", "--", "true"), "0 is not in the range x>=1"),
    ],
)
def test_usage_errors_have_text_and_exit_code(
    profiled: Profiled, arguments: tuple[str, ...], told: str
) -> None:
    assert run(["profile", *arguments]) == 2
    assert told in profiled.capture.readouterr().err


STATISTICS = """
import os, pathlib, time, docker

def test_statistics():
    client = docker.from_env()
    container = client.containers.run("IMAGE", "sleep 60", detach=True)
    more = {"one_shot": True} if os.environ.get("FOLLOWED") else {}
    try:
        began = time.monotonic()
        for _ in range(3):
            assert container.stats(stream=False, **more)["memory_stats"]
        pathlib.Path("took").write_text(str(time.monotonic() - began))
    finally:
        container.remove(force=True)
"""


@pytest.mark.engine
@pytest.mark.soak
def test_single_statistics_samples_save_what_the_advice_says(
    profiled: Profiled, scratch: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    profiled.write(STATISTICS.replace("IMAGE", scratch))
    took = profiled.directory / "took"
    before = profiled.pytest()
    took_s = float(took.read_text())
    advised_s = before.saves("a statistics call that waits for a second sample at test_it.py")
    monkeypatch.setenv("FOLLOWED", "1")
    after = profiled.pytest()
    assert (before.code, after.code) == (0, 0)
    assert after.cause("statistics") == 0
    saved_s = took_s - float(took.read_text())
    # When the engine's next sample is due is chance, and others may ask for samples as well.
    assert advised_s * 0.4 <= saved_s <= advised_s * 1.4
