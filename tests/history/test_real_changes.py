"""A change is planted in a real suite: runs on real containers show which part became slower."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from dockwright.cli.errors import run as command
from dockwright.engine import Engine
from dockwright.history import Change, compare
from dockwright.history.measures import measures_of
from dockwright.history.statistics import scale
from dockwright.paths import project_hash
from dockwright.pool import RetainedStacks, remove, survey
from tests._support.recording.recorded import Recorded
from tests._support.sample import FULL
from tests._support.suite import clean_environment

BEFORE, AFTER = (15, 3) if FULL else (1, 1)
"""Runs of either kind. From one run each, `compare` shows what differs without a confidence."""

SLOWER_S = 0.3 if FULL else 1.5
"""By how much something becomes slower: a single run on a busy machine may differ by 0.3 s. Where
even the runs before the change differ by as much, it is eight times their spread."""

COMPOSE = """
services:
  db:
    image: redis:7
    healthcheck: {test: [CMD, redis-cli, ping], interval: 10s}
    ports: ["6379"]
  web:
    image: busybox:1
    command: [sh, /web.sh]
    volumes: ["./web.sh:/web.sh:ro"]
    healthcheck: {test: [CMD, test, -e, /ready], interval: 10s}
  job:
    build: ./job
    healthcheck: {test: [CMD, test, -e, /ready], interval: 10s}
"""
SERVICE = "sleep 0.4; touch /ready; trap 'exit 0' TERM; while :; do sleep 0.1; done\n"
IMAGE = "FROM busybox:1\nCMD sleep 0.4; touch /ready; while :; do sleep 0.1; done\n"
QUERY = "return redis.call('DBSIZE')\n"
SLOW_QUERY = """
local function us() local now = redis.call('TIME'); return now[1] * 1000000 + now[2] end
local begin = us()
while us() - begin < MICROSECONDS do end
return redis.call('DBSIZE')
"""
SUITE = """
    import time
    from pathlib import Path

    import pytest
    import redis

    pytestmark = pytest.mark.stateless

    @pytest.fixture
    def client(stack):
        address = stack.address("db", 6379)
        return redis.Redis(address.host, address.port)

    @pytest.fixture
    def basket():
        time.sleep(float(Path("fixture").read_text()))

    def test_query(client):
        time.sleep(0.1)
        assert client.eval(Path("query.lua").read_text(), 0) == 0

    def test_basket(client, basket):
        assert client.ping()

    @pytest.mark.parametrize("number", range(6))
    def test_others(client, number):
        time.sleep(0.1)
"""


FILES = {
    "compose.yaml": COMPOSE,
    "web.sh": SERVICE,
    "job/Dockerfile": IMAGE,
    "query.lua": QUERY,
    "fixture": "0.1",
    "test_it.py": textwrap.dedent(SUITE),
}


@dataclass(frozen=True)
class Shop:
    """The suite, and the branch that its runs belong to."""

    recorded: Recorded

    def write(self, name: str, text: str) -> None:
        file = self.recorded.pytester.path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)

    def run(self, branch: str, times: int) -> None:
        git = self.recorded.pytester.path / ".git" / "HEAD"
        git.write_text(f"ref: refs/heads/{branch}\n")
        for _ in range(times):
            self.recorded.run("--dockwright-record=on").assert_outcomes(passed=8)

    def spread_s(self, what: str) -> float:
        """Return how much the recorded runs differ in something."""
        store = self.recorded.store
        values = [
            value
            for run in store.runs()
            for measure, value in measures_of(store.load(run.id)).items()
            if str(measure) == what
        ]
        return scale(values)

    def changes(self) -> dict[str, Change]:
        result = compare(self.recorded.store, "main", "changed")
        return {str(each.measure): each for each in result.changes}


@pytest.fixture
def shop(
    pytester: pytest.Pytester, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Shop]:
    clean_environment(monkeypatch, pytester.path / "state")
    pytester.run("git", "init", "-q")
    made = Shop(Recorded.of(pytester, monkeypatch))
    for name, text in FILES.items():
        made.write(name, text)
    yield made
    kept = RetainedStacks(Path("nothing is kept here"))
    own = project_hash(pytester.path)
    remove(engine, [each for each in survey(engine, kept) if each.ownership.project == own], kept)
    assert command(["clean", "--images"]) == 0  # those that were built


def _entrypoint(shop: Shop, slower_s: float) -> None:
    shop.write("web.sh", SERVICE.replace("0.4", f"{0.4 + slower_s:.1f}"))


def _image(shop: Shop, slower_s: float) -> None:
    shop.write("job/Dockerfile", IMAGE.replace("0.4", f"{0.4 + slower_s:.1f}"))


def _query(shop: Shop, slower_s: float) -> None:
    shop.write("query.lua", SLOW_QUERY.replace("MICROSECONDS", f"{slower_s * 1e6:.0f}"))


def _fixture(shop: Shop, slower_s: float) -> None:
    shop.write("fixture", f"{0.1 + slower_s:.1f}")


@pytest.mark.engine
@pytest.mark.timeout(900)
@pytest.mark.soak(sample=1)
@pytest.mark.parametrize(
    ("plant", "what", "part"),
    [
        (_entrypoint, "waiting until web is ready", r"web becomes ready [\d.]+ m?s later"),
        (
            _image,
            "waiting until job is ready",
            r"job becomes ready [\d.]+ m?s later; "
            r"the image of job changed from [0-9a-f]{12} to [0-9a-f]{12}",
        ),
        (_query, "the test test_it.py::test_query", r"the test's own body takes [\d.]+ m?s longer"),
        (_fixture, "the test test_it.py::test_basket", r"fixture basket takes [\d.]+ m?s longer"),
    ],
    ids=["entrypoint", "image", "query", "fixture"],
)
def test_the_part_that_became_slower_is_named(
    shop: Shop, plant: Callable[[Shop, float], None], what: str, part: str
) -> None:
    shop.run("main", BEFORE)
    slower_s = max(SLOWER_S, round(8 * shop.spread_s(what), 1))
    plant(shop, slower_s)
    shop.run("changed", AFTER)
    changes = shop.changes()
    assert what in changes, list(changes)
    found = changes[what]
    assert found.after - found.before == pytest.approx(slower_s, rel=0.6)
    assert re.fullmatch(part, found.part), found.part
    if FULL:
        assert found.q is not None
