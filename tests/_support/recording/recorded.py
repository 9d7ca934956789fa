"""Runs a suite in a process of its own, and reads what was recorded of it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from dockwright.paths import project_hash, runs_file
from dockwright.recording import RunRecord, RunStore, TestRecord

ROOT = Path(__file__).parents[3]
_PLUGINS = (
    "-p",
    "no:randomly",
    "-p",
    "no:cacheprovider",
    "-p",
    "tests._support.recording.observer",
)


@dataclass(frozen=True, slots=True)
class Recorded:
    """A suite whose runs are recorded in a cache of its own.

    Attributes:
        pytester: in whose directory the suite is.
        cache: the cache directory.
        environ: of the runs.
    """

    pytester: pytest.Pytester
    cache: Path
    environ: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Recorded:
        """Prepare the environment of the runs."""
        outside = pytester.path.parent / f"{pytester.path.name}-outside"
        outside.mkdir()
        monkeypatch.setenv("DOCKWRIGHT_CACHE_DIR", str(outside / "cache"))
        monkeypatch.setenv("OBSERVED", str(outside))
        monkeypatch.setenv("PYTHONPATH", str(ROOT))
        return cls(pytester, outside / "cache")

    @property
    def store(self) -> RunStore:
        """The store of the suite's runs."""
        environ = {"DOCKWRIGHT_CACHE_DIR": str(self.cache)}
        return RunStore(runs_file(environ, project_hash(self.pytester.path)))

    def run(self, *arguments: str) -> pytest.RunResult:
        """Run the suite."""
        return self.pytester.runpytest_subprocess(*_PLUGINS, *arguments, timeout=110)

    def last(self) -> RunRecord:
        """Return the record of the last run."""
        store = self.store
        return store.load(store.runs()[0].id)

    def observed(self) -> Mapping[str, float]:
        """Return how long each test took, by worker and test, as seen from outside."""
        files = Path(os.environ["OBSERVED"]).glob("*.json")
        return {
            test: seconds
            for file in files
            for test, seconds in json.loads(file.read_text()).items()
        }


def by_name(record: RunRecord) -> Mapping[str, TestRecord]:
    """Return a run's tests by the last part of their names."""
    return {test.nodeid.rpartition("::")[2]: test for test in record.tests}


def assert_adds_up(record: RunRecord, observed: Mapping[str, float]) -> None:
    """Check every sum that the record promises, against times taken by somebody else.

    The observer begins a little later and ends a little earlier than pytest's own clock: for that
    a test is allowed 2 ms, beside its 2 %. Now and then a busy machine takes the processor away
    just in between: one test in ten is allowed 50 ms.
    """
    apart = [
        test
        for test in record.tests
        if test.elapsed_s
        != pytest.approx(observed[f"{test.worker} {test.nodeid}"], rel=0.02, abs=0.002)
    ]
    assert len(apart) <= len(record.tests) / 10, apart
    for test in record.tests:
        own_s = sum(span.seconds for span in test.spans if not span.shared)
        assert own_s == pytest.approx(test.wall_s, rel=0.02, abs=1e-4), test.nodeid
        outside_s = observed[f"{test.worker} {test.nodeid}"]
        assert test.elapsed_s == pytest.approx(outside_s, rel=0.02, abs=0.05), test
        assert all(span.seconds >= 0 for span in test.spans), test
    for worker in record.workers:
        tests_s = sum(test.elapsed_s for test in record.tests if test.worker == worker.name)
        lane_s = tests_s + sum(gap.seconds for gap in worker.gaps)
        assert lane_s == pytest.approx(record.wall_s, rel=0.02), worker
