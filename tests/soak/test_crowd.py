"""Many runs on one engine: no cross-talk, nothing left, nothing that grows."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from dockwright.compose import LoadOptions
from dockwright.engine import Engine
from dockwright.pool import PoolClient, PoolOptions
from tests.pool.conftest import exclusively, shared
from tests.soak.conftest import FULL, rounds
from tests.soak.suite import Suite

pytestmark = [pytest.mark.engine, pytest.mark.timeout(7200 if FULL else 300)]


def test_two_checkouts_run_at_once_and_each_removes_only_its_own(
    engine: Engine, scratch: str, tmp_path: Path, tell: Callable[[str], None]
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
    tell(f"two checkouts at once, {count} times: all passed, nothing left")


# Another user, who may yet reach the engine's socket and this interpreter like the first one.
AS_NOBODY = (
    *("setpriv", "--reuid", "65534", "--clear-groups"),
    *("--inh-caps", "+dac_override", "--ambient-caps", "+dac_override"),
)


@pytest.mark.skipif(
    os.getuid() != 0 or shutil.which("setpriv") is None,
    reason="needs root and setpriv to run as another user too",
)
def test_two_users_run_at_once_on_one_engine(
    engine: Engine, scratch: str, tmp_path: Path, tell: Callable[[str], None]
) -> None:
    suites = []
    for name in ("root", "nobody"):
        (tmp_path / name).mkdir()
        suites.append(Suite.write(tmp_path / name / "checkout", scratch, tmp_path / name))
    for path in [tmp_path / "nobody", *(tmp_path / "nobody").rglob("*")]:
        os.chown(path, 65534, 65534)
    suites[1] = replace(suites[1], prefix=AS_NOBODY)
    count = rounds(1, 20)
    with ThreadPoolExecutor(2) as threads:
        for _ in range(count):
            for code, output in threads.map(Suite.run, suites):
                assert code == 0, output
            assert [suite.left(engine) for suite in suites] == [[], []]
    tell(f"two users at once, {count} times: all passed, nothing left")


def test_workers_share_one_pool_in_any_order(
    suite: Suite, engine: Engine, tell: Callable[[str], None]
) -> None:
    count = rounds(1, 50)
    for number in range(count):
        code, output = suite.run("-n", "4", f"--randomly-seed={number}")
        assert code == 0, output
        assert suite.left(engine) == []
        assert suite.brokers() == []
    tell(f"four workers, shuffled, {count} times: all passed, nothing left")


def test_a_thousand_leases_leave_memory_and_engine_as_they_were(
    engine: Engine,
    scratch: str,
    suite: Suite,
    monkeypatch: pytest.MonkeyPatch,
    tell: Callable[[str], None],
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
            root=suite.root,
            engine=lambda: engine,
            engine_url=engine.endpoint.url,
            engine_setting="",
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
    tell(f"{count} leases: the broker grew by {grown:.0f} bytes a lease")
    assert grown < 4096


def lease_once(client: PoolClient, count: int) -> None:
    """Take and give back `count` leases, half of them exclusive."""
    for number in range(count):
        require = exclusively if number % 2 else shared
        lease = client.acquire(require(f"lease {number}", "light"), timeout_s=60)
        client.release(lease)
