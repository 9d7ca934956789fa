"""The probe in processes of all kinds: it changes nothing, and loses at most the last record."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from dockwright.engine import Engine
from dockwright.profile.analysis.records import Process, read_processes
from dockwright.profile.command import profiled_environment

LIMIT_S = 60


def run_python(
    script: str,
    records: Path,
    *options: str,
    path: str = "",
    code: int = 0,
    arguments: Sequence[str] = (),
) -> tuple[str, list[Process]]:
    """Run a script with the probe; return what it prints, and what was recorded."""
    records.mkdir(exist_ok=True)
    environ = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(
        [sys.executable, *options, "-c", script, *arguments],
        env=profiled_environment(environ, records),
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert (done.returncode, done.stderr) == (code, "")
    return done.stdout, read_processes(records)


def kinds(process: Process) -> list[str]:
    return [span.kind for span in process.spans]


UNCHANGED = """
import asyncio, inspect, pickle, subprocess, sys, threading, time, warnings
warnings.simplefilter("error")
assert pickle.loads(pickle.dumps(time.sleep)) is time.sleep
assert asyncio.iscoroutinefunction(asyncio.sleep) and inspect.iscoroutinefunction(asyncio.sleep)
assert asyncio.run(asyncio.sleep(0.01, result=7)) == 7
assert subprocess.check_output("echo 1", shell=True) == b"1\\n"
assert not threading.Event().wait(0.01)
assert inspect.signature(subprocess.Popen).parameters["shell"]
for wrong in (lambda: time.sleep(), lambda: time.sleep("1"), lambda: time.sleep(secs=1)):
    try:
        wrong()
    except TypeError:
        continue
    raise AssertionError
try:
    time.sleep(-1)
except ValueError as error:
    assert "non-negative" in str(error)
try:
    subprocess.run(["no-such-command"])
except FileNotFoundError:
    pass
from importlib import resources
assert resources.files("docker.api").joinpath("client.py").is_file()
import docker.api.client
assert "class APIClient" in inspect.getsource(docker.api.client.APIClient)
assert not [each for each in sys.path if "inside" in each], sys.path
print("as ever")
"""


def test_nothing_is_changed(tmp_path: Path) -> None:
    out, (process, *_) = run_python(UNCHANGED, tmp_path / "records")
    assert out == "as ever\n"
    assert {"async-sleep", "spawn", "thread"} <= set(kinds(process))


PIPES = """
import io, subprocess, sys, time
LOOP = "import time\\nfor n in '123': time.sleep(0.1); print(n, flush=True)"
SLOW = [sys.executable, "-I", "-c", LOOP]
BOTH = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}

def lines(child):
    return [line for line in child.stdout]

def whole(child):
    return child.stdout.read()

def single(child):
    return child.stdout.readline() + child.stdout.readline() + child.stdout.readline()

for read in (lines, whole, single):
    for options in ({}, {"text": True}, {"bufsize": 0}, {"bufsize": 1, "encoding": "utf-8"}):
        with subprocess.Popen(SLOW, **BOTH, **options) as child:
            began = time.monotonic()
            found = read(child)
            waited = time.monotonic() - began
            empty = child.stderr.read()
            text = "text" in options or "encoding" in options
            expected = "1\\n2\\n3\\n" if text else b"1\\n2\\n3\\n"
            assert (expected[:0].join(found) if read is lines else found) == expected
            assert empty == expected[:0]
            assert isinstance(child.stdout, io.TextIOWrapper) == text
            print(child.pid, waited)
"""


def test_reading_a_childs_pipe_is_waiting_for_the_child(tmp_path: Path) -> None:
    out, processes = run_python(PIPES, tmp_path / "records")
    (process,) = [each for each in processes if not each.parent or len(each.spans) > 20]
    for line in out.splitlines():
        pid, waited_s = line.split()
        spans = [
            span
            for span in process.spans
            if span.kind == "wait"
            and span.detail["pid"] == int(pid)
            and span.frames[0].function in ("lines", "<listcomp>", "whole", "single")
        ]
        assert sum(span.seconds for span in spans) == pytest.approx(float(waited_s), rel=0.05)


def test_an_existing_sitecustomize_still_runs(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.from_theirs = __file__\n")
    script = "import sys, sitecustomize; print(sys.from_theirs, sitecustomize.__file__)"
    out, _ = run_python(script, tmp_path / "records", path=str(tmp_path))
    assert out == "{0} {0}\n".format(tmp_path / "sitecustomize.py")


def test_isolated_python_runs_without_the_probe(tmp_path: Path) -> None:
    out, processes = run_python("print(1)", tmp_path / "records", "-I")
    assert (out, processes) == ("1\n", [])


REPLACED = """
import os, sys, time
real = {id(time.monotonic): lambda: 1e9}
real.update((id(getattr(os, name)), None) for name in ("open", "write", "close", "getpid"))
for module in list(sys.modules.values()):
    for name, value in list(vars(module).items()):
        if id(value) in real:
            setattr(module, name, real[id(value)])
time.sleep(0.05)
"""


def test_a_suite_may_freeze_time_and_remove_the_disk(tmp_path: Path) -> None:
    """As freezegun and pyfakefs do: in every module, whatever it is."""
    _, (process,) = run_python(REPLACED, tmp_path / "records")
    (sleep,) = process.spans
    assert 0.04 < sleep.seconds < 5


BY_HAND = """
import http.client, socket, sys
class Engine(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(sys.argv[1])
for path in ("/version", "/events?since=1&until=2"):
    connection = Engine("localhost")
    connection.request("GET", path)
    assert connection.getresponse().read() or "until" in path
    connection.close()
import docker
client = docker.DockerClient("unix://" + sys.argv[1], version="1.41")
client.api.version(api_version=False)
client.close()
"""


@pytest.mark.engine
def test_each_request_to_the_engine_is_recorded_once(engine: Engine, tmp_path: Path) -> None:
    scheme, _, socket = engine.endpoint.url.partition("://")
    if scheme != "unix":
        pytest.skip("the engine has no socket here")
    _, (process,) = run_python(BY_HAND, tmp_path / "records", arguments=[socket])
    calls = [span.detail for span in process.spans if span.kind == "engine"]
    asked = {each["call"]: (each["path"], each["status"]) for each in calls if "call" in each}
    assert list(asked.values()) == [("/version", 200), ("/events?since=1&until=2", 200)]
    assert [each["path"] for each in calls if "call" not in each] == ["/version"]


JOINED = """
import multiprocessing, time
process = multiprocessing.get_context("fork").Process(target=time.sleep, args=[0.02])
process.start()
process.join()
process.close()
try:
    process.join()
except ValueError as error:
    assert "closed" in str(error)
"""


def test_joining_a_process_counts_as_waiting(tmp_path: Path) -> None:
    _, (parent, child) = run_python(JOINED, tmp_path / "records")
    assert [span.detail["pid"] for span in parent.spans if span.kind == "wait"] == [child.pid]
    assert kinds(child) == ["sleep"]


FORKED = """
import os, signal, time
child = os.fork()
if not child:
    time.sleep(0.02)
    time.sleep(0.03)
    os.kill(os.getpid(), signal.SIGKILL)
os.waitpid(child, 0)
for number in range(3, 30):
    try:
        os.fstat(number)
    except OSError:
        continue
    raise AssertionError(number)
os.closerange(3, 100)
time.sleep(0.01)
"""


def test_a_fork_writes_its_own_file_and_a_kill_loses_no_finished_record(tmp_path: Path) -> None:
    records = tmp_path / "records"
    _, (parent, child) = run_python(FORKED, records)
    assert kinds(parent) == ["sleep"]
    assert kinds(child) == ["sleep", "sleep"]
    assert child.parent == parent.pid

    (file,) = records.glob(f"{child.pid}-*")
    file.write_bytes(file.read_bytes()[:-7])
    assert [kinds(each) for each in read_processes(records)] == [["sleep"], ["sleep"]]


def test_a_removed_record_directory_does_not_disturb_the_suite(tmp_path: Path) -> None:
    script = (
        "import os, shutil, time\n"
        "shutil.rmtree(os.environ['DOCKWRIGHT_PROFILE_DIR']); time.sleep(0.01); print('on')"
    )
    records = tmp_path / "records"
    environ = profiled_environment(os.environ, records)
    records.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", script], env=environ, capture_output=True, text=True, timeout=LIMIT_S
    )
    assert (done.stdout, done.stderr, done.returncode) == ("on\n", "", 0)


def test_the_probe_costs_little(tmp_path: Path) -> None:
    """One record of a span, measured by CPU time, which other processes do not lengthen."""
    script = (
        "import time\nfrom dockwright_probe import log\n"
        "began = time.process_time()\n"
        "for _ in range(2000): log.LOG.span('sleep', log.clock() - 1, log.frames(1))\n"
        "print((time.process_time() - began) / 2000)"
    )
    out, _ = run_python(script, tmp_path / "records")
    assert float(out) < 0.0005


def test_a_run_inside_a_test_does_not_count_as_that_test(tmp_path: Path) -> None:
    assert "PYTEST_CURRENT_TEST" in os.environ
    assert "PYTEST_CURRENT_TEST" not in profiled_environment(os.environ, tmp_path)
