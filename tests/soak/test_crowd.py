"""Many runs on one engine: no cross-talk, nothing left, nothing that grows."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from dockwright.compose import LoadOptions
from dockwright.engine import Engine
from dockwright.pool import PoolClient, PoolOptions
from dockwright.settings import Settings
from tests._support.sample import FULL
from tests._support.soak_suite import Suite
from tests.pool.conftest import exclusively, shared
from tests.soak.conftest import rounds

pytestmark = [pytest.mark.engine, pytest.mark.timeout(7200 if FULL else 300)]


def test_two_checkouts_run_at_once_and_each_removes_only_its_own(
    engine: Engine, scratch: str, tmp_path: Path, report: Callable[[str], None]
) -> None:
    suites = []
    for name in ("left", "right"):
        (tmp_path / name).mkdir()
        suites.append(Suite.write(tmp_path / name / "checkout", scratch, tmp_path / name))
    count = rounds(1, 20)
    with ThreadPoolExecutor(2) as threads:
        for _ in range(count):
            for code, output in threads.map(Suite.run, suites):
                assert code == 0, output
            assert [suite.left(engine) for suite in suites] == [[], []]
    report(f"two checkouts at once, {count} times: all passed, nothing left")


@pytest.fixture
def second_user(engine: Engine) -> Iterator[pwd.struct_passwd]:
    """Another user of this machine who may use the engine; exists during the test only."""
    tools = ("useradd", "userdel", "setpriv")
    if os.getuid() != 0 or not all(shutil.which(tool) for tool in tools):
        pytest.skip(f"needs root and {', '.join(tools)}")
    name = f"dwtest{os.getpid()}"
    command = ["useradd", "--create-home"]
    if engine.endpoint.url.startswith("unix://"):
        group = Path(engine.endpoint.url.removeprefix("unix://")).stat().st_gid
        command += ["--groups", str(group)]
    subprocess.run([*command, name], check=True)
    try:
        yield pwd.getpwnam(name)
    finally:
        subprocess.run(["userdel", "--remove", name], check=True, stderr=subprocess.DEVNULL)


def run_as(suite: Suite, user: pwd.struct_passwd) -> Suite:
    """Let a suite belong to a user, and run as that user."""
    place = suite.root.parent
    for path in [place, *place.rglob("*")]:
        os.chown(path, user.pw_uid, user.pw_gid)
    prefix = (
        *("setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--init-groups"),
        # This interpreter may lie where only root can read.
        *("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"),
    )
    who = {"HOME": user.pw_dir, "USER": user.pw_name, "LOGNAME": user.pw_name}
    return replace(suite, prefix=prefix, environ={**suite.environ, **who})


def test_two_users_run_at_once_on_one_engine(
    engine: Engine,
    scratch: str,
    tmp_path: Path,
    second_user: pwd.struct_passwd,
    report: Callable[[str], None],
) -> None:
    suites = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        suites.append(Suite.write(tmp_path / name / "checkout", scratch, tmp_path / name))
    suites[1] = run_as(suites[1], second_user)
    count = rounds(1, 20)
    with ThreadPoolExecutor(2) as threads:
        for _ in range(count):
            for code, output in threads.map(Suite.run, suites):
                assert code == 0, output
            assert [suite.left(engine) for suite in suites] == [[], []]
    report(f"two users at once, {count} times: all passed, nothing left")


def test_runs_of_one_project_at_once_do_not_meet(
    suite: Suite, engine: Engine, report: Callable[[str], None]
) -> None:
    count = rounds(3, 20)
    with ThreadPoolExecutor(count) as threads:
        runs = [threads.submit(suite.run, timeout_s=900.0) for _ in range(count)]
    for code, output in (run.result() for run in runs):
        assert code == 0, output
    assert suite.left(engine) == []
    assert suite.brokers() == []
    report(f"{count} runs of one project at once: all passed, nothing left")


def test_workers_share_one_pool_in_any_order(
    suite: Suite, engine: Engine, report: Callable[[str], None]
) -> None:
    count = rounds(1, 50)
    for number in range(count):
        code, output = suite.run("-n", "4", f"--randomly-seed={number}")
        assert code == 0, output
        assert suite.left(engine) == []
        assert suite.brokers() == []
    report(f"four workers, shuffled, {count} times: all passed, nothing left")


def test_a_thousand_leases_leave_memory_and_engine_as_they_were(
    engine: Engine,
    scratch: str,
    suite: Suite,
    monkeypatch: pytest.MonkeyPatch,
    report: Callable[[str], None],
) -> None:
    for name in ("XDG_RUNTIME_DIR", "XDG_STATE_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, suite.environ[name])
    file = suite.root / "light.yaml"
    file.write_text(
        f"services: {{box: {{image: '{scratch}', command: [sleep, '3600'],"
        " x-dockwright: {reset: none}}}"
    )
    client = PoolClient(
        PoolOptions(
            Settings(suite.root, cache_baselines=False), lambda: engine, engine.endpoint.url
        )
    )
    try:
        client.declare("light", LoadOptions(files=(file,)))
        lease_once(client, rounds(50, 100))
        (broker,) = suite.brokers()
        before, objects = broker.memory_info().rss, suite.left(engine)
        count = rounds(150, 1000)
        lease_once(client, count)
        grown = (broker.memory_info().rss - before) / count
        assert len(suite.left(engine)) <= len(objects) + 2  # a spare copy may have come
    finally:
        client.close()
    assert suite.left(engine) == []
    report(f"{count} leases: the broker grew by {grown:.0f} bytes a lease")
    assert grown < 4096


_MANY = """
import json
import pathlib

import psutil
import pytest


def broker(config):
    for process in psutil.process_iter(["cmdline"]):
        line = process.info["cmdline"] or []
        if "dockwright.pool.broker" in line and str(config.rootpath) in line:
            with process.oneshot():
                return [process.memory_info().rss, process.num_fds(), process.num_threads()]


@pytest.mark.stateful
@pytest.mark.parametrize("number", range({count}))
def test_changes(stack, number, pytestconfig):
    assert stack.exec("db", ["redis-cli", "set", "key", str(number), "NX"]).stdout == "OK\\n"
    if number in ({first}, {count} - 1):
        file = pathlib.Path(f"broker-{{number}}.json")
        file.write_text(json.dumps(broker(pytestconfig)))
"""


def test_many_stateful_tests_leave_the_broker_as_it_was(
    suite: Suite, engine: Engine, report: Callable[[str], None]
) -> None:
    count, first = rounds(60, 2000), rounds(20, 200)
    (suite.root / "compose.yaml").write_text(
        "name: many\n"
        "services: {db: {image: 'redis:7', healthcheck: {test: [CMD, redis-cli, ping]}}}\n"
    )
    (suite.root / "test_crash.py").write_text(_MANY.format(count=count, first=first))
    code, output = suite.run("-p", "no:randomly", "-n", "0", timeout_s=5400.0)
    assert code == 0, output
    assert suite.left(engine) == []
    before, after = (
        json.loads((suite.root / f"broker-{number}.json").read_text())
        for number in (first, count - 1)
    )
    report(
        f"{count} stateful tests in one run: the broker's memory {before[0] / 1e6:.1f} MB at test "
        f"{first}, {after[0] / 1e6:.1f} MB at the last; descriptors {before[1]} and {after[1]}; "
        f"threads {before[2]} and {after[2]}"
    )
    assert (after[0] - before[0]) / (count - first) < 8192
    assert after[1] <= before[1] + 8
    assert after[2] <= before[2] + 8


def lease_once(client: PoolClient, count: int) -> None:
    """Take and give back `count` leases, half of them exclusive."""
    for number in range(count):
        require = exclusively if number % 2 else shared
        lease = client.acquire(require(f"lease {number}", "light"), timeout_s=60)
        client.release(lease)
