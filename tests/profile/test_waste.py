"""A suite with known waste on a real engine: each cause is named, and advice saves what it says.

What is known is what the suite notes itself; full amounts in ``make soak``.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from dockwright.engine import Engine
from tests._support.docs.pages import ROOT
from tests._support.owned import leftovers
from tests._support.profiled import Profiled, Seen
from tests._support.sample import FULL

pytestmark = [pytest.mark.engine, pytest.mark.timeout(400 if FULL else 120)]

SUITE = Path(__file__).parent / "wasteful"

# Full: what the issue of the profile asks for, with the engine's default grace.
AMOUNTS = {"SLEEP": "1", "GRACE": "10", "INTERVAL": "10"} if FULL else {
    "SLEEP": "0.2", "GRACE": "1", "INTERVAL": "2",
}  # fmt: skip

SITES = {
    "sleep": ("test_waste.py", "time.sleep(SLEEP_S)", "test_sleeps"),
    "grace": ("conftest.py", "container.stop(", "stubborn"),
    "health": ("conftest.py", "time.sleep(0.05)", "_wait_until_healthy"),
    "client": ("conftest.py", "docker.from_env()", "client"),
    "statistics": ("test_waste.py", "healthy.stats(", "test_waits_for_health"),
    "compose": ("truths.py", "subprocess.run(", "compose"),
    "cleanup": ("truths.py", "subprocess.run(", "compose"),
}
"""Where each cause is, by what stands there."""


def _site(file: str, text: str, function: str) -> str:
    lines = (SUITE / file).read_text().splitlines()
    (number,) = (at for at, line in enumerate(lines, 1) if text in line)
    return f"{file}:{number} in {function}"


@pytest.fixture(scope="session")
def compose_command() -> str:
    """The command of a real Compose; fetched if need be."""
    done = subprocess.run(
        [ROOT / "scripts" / "ensure-compose"], capture_output=True, text=True, timeout=100
    )
    if done.returncode:
        pytest.skip(f"needs Compose: {done.stderr}")
    return done.stdout.strip()


@pytest.fixture
def wasteful(
    profiled: Profiled,
    engine: Engine,
    unique_name: str,
    compose_command: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Iterator[Wasteful]:
    """The wasteful suite; what it leaves is removed."""
    shutil.copytree(
        SUITE,
        profiled.directory,
        dirs_exist_ok=True,
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    monkeypatch.setenv("DOCKER_HOST", engine.endpoint.url)
    values = {**AMOUNTS, "PROJECT": unique_name, "COMPOSE": compose_command}
    for name, value in values.items():
        monkeypatch.setenv(f"WASTEFUL_{name}", value)
    yield Wasteful(profiled, monkeypatch, tmp_path)
    for labels in ({"dockwright-test": unique_name}, {"com.docker.compose.project": unique_name}):
        for container in engine.list_containers(labels):
            engine.remove_container(container["Id"])
        for network in engine.list_networks(labels):
            engine.remove_network(network["Id"])
        assert leftovers(engine, labels) == []


class Wasteful:
    """Runs the wasteful suite, and reads what it knows of itself."""

    def __init__(
        self, profiled: Profiled, monkeypatch: pytest.MonkeyPatch, directory: Path
    ) -> None:
        self._profiled = profiled
        self._monkeypatch = monkeypatch
        self._directory = directory

    def tell(self, text: str) -> None:
        """Print a line that a person sees while the tests run."""
        with self._profiled.capture.disabled():
            print(f"\n  soak: {text}", end="", flush=True)

    def run(self, *followed: str) -> tuple[Seen, Counter[str]]:
        """Profile it, with some advice followed; return what is told, and the truth."""
        truth = self._directory / f"truth-{len(followed)}"
        self._monkeypatch.setenv("WASTEFUL_TRUTH", str(truth))
        self._monkeypatch.setenv("WASTEFUL_FOLLOWED", ",".join(followed))
        chosen = ["-k", "sleeps or stops or health"] if followed and not FULL else []
        seen = self._profiled.pytest(*chosen)
        assert seen.code == 0, seen.out
        known = Counter[str]()
        for line in truth.read_text().splitlines():
            cause, seconds = json.loads(line)
            known[cause] += seconds
        return seen, known


def test_each_cause_is_named_and_advice_saves_what_it_says(
    wasteful: Wasteful,
) -> None:
    seen, known = wasteful.run()
    for cause, place in SITES.items():
        told = seen.at(_site(*place), cause)
        assert told == pytest.approx(seen.cause(cause), rel=0.05), f"{cause} elsewhere as well"
        if cause != "grace":
            assert told == pytest.approx(known[cause], rel=0.05, abs=0.02), cause
    # A busy engine kills later than it should; all of the stop is the most that it can be.
    assert known["grace"] * 0.95 <= seen.cause("grace") <= known["stopping"] * 1.05

    advised = {
        "sleep": seen.saves("a fixed sleep at test_waste.py"),
        "grace": seen.saves("ignores its stop signal"),
        "health": seen.saves("is checked only once in a health check interval"),
    }
    if FULL:  # else the waste is so small that a busy engine's own work may come first
        assert seen.profile["advice"][0]["saves_s"] == max(advised.values())

    after, since = wasteful.run(*advised)
    # Full amounts outweigh how the engine's own speed changes; of a sample, the known waste counts.
    durations = {"sleep": "sleep", "grace": "stopping", "health": "becoming healthy"}
    saved = {
        cause: known[duration if FULL else cause] - since[duration if FULL else cause]
        for cause, duration in durations.items()
    }
    wasteful.tell(
        "profile: "
        + ", ".join(f"{each} {seen.cause(each):.2f} of {known[each]:.2f} s" for each in SITES)
        + "; advised "
        + ", ".join(
            f"{cause} {advised[cause]:.2f} s, saved {saved[cause]:.2f} s" for cause in saved
        )
    )
    assert saved == pytest.approx(advised, rel=0.2)
    assert after.cause("sleep") + after.cause("grace") + after.cause("health") == 0
    if FULL:
        wall_s = seen.profile["wall_s"] - after.profile["wall_s"]
        assert wall_s == pytest.approx(sum(advised.values()), rel=0.2)
