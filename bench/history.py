"""Detection of slower tests beside simpler rules, and what a large history costs to read."""

from __future__ import annotations

import json
import math
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from bench.bench import Bench
from bench.plugin_cost import clean_environment
from bench.recorded_shop import Simulation, shop, spread
from bench.results import Row, Spread, Target, value
from dockwright.history.comparison import Sides, compare_series
from dockwright.history.measures import Measure, Thresholds
from dockwright.history.search import search_series
from dockwright.history.series import Series
from dockwright.paths import project_hash, runs_file
from dockwright.recording import (
    Git,
    RunRecord,
    RunStore,
    Span,
    StackRecord,
    StoreOptions,
    TestRecord,
    UnitRecord,
    this_machine,
)

_NAME = "history"
_SPREADS = (0.02, 0.03, 0.05)
_AFTER = 5
_PAIRS = 100
_RUNS, _TESTS, _CHUNK = 5000, 500, 100
_DAY_S = 86_400.0


def measure(bench: Bench) -> Iterator[Row]:
    """Plant changes in simulated suites, compare recorded runs, and read a large store."""
    seeds = range(bench.rounds(5))
    for size in sorted({*_SPREADS, round(spread(), 3)}):
        bench.say(f"planted changes, spread of the median test {size:.1%}")
        yield from _planted(size, seeds)
    yield _equal_runs()
    yield from _large_store(bench)


# -- planted changes -------------------------------------------------------------------------

Finder = Callable[[Series], set[str]]


def _planted(size: float, seeds: Sequence[int]) -> Iterator[Row]:
    """Return how much of the planted changes each rule finds, and how much else it reports."""
    rates: dict[str, list[tuple[float, float]]] = {}
    for seed in seeds:
        simulation = Simulation(seed + 1, spread=size, slower=20, after=_AFTER)
        series, planted = simulation.series(), simulation.planted_names()
        for name, find in _FINDERS.items():
            found = find(series)
            false = len(found - planted) / max(1, len(found))
            rates.setdefault(name, []).append((len(found & planted) / len(planted), false))
    what = f"+20 % in 20 of 1,000 tests for 5 runs, spread {size:.1%}"
    recorded = size == round(spread(), 3)
    for at, (kind, target) in enumerate(
        (("found", Target(at_least=95.0)), ("of the reports false", Target(at_most=5.0)))
    ):
        ours = Spread.of([100 * rate[at] for rate in rates["dockwright"]])
        for rival in ("t-test at 5 %", "last run 10 % slower"):
            theirs = Spread.of([100 * rate[at] for rate in rates[rival]])
            text = f"{what}: {kind}"
            note = "the recorded runs' own spread" if recorded else ""
            yield Row(_NAME, text, "%", ours, rival, theirs, target=target, note=note)


def _by_search(series: Series) -> set[str]:
    return {each.measure.name for each in search_series(series, Thresholds()).found}


def _by_t_test(series: Series) -> set[str]:
    """Return the tests whose last runs differ at 5 % from those before, by Welch's test."""
    found = set()
    for measure, after, before in _ends(series, _AFTER):
        means = statistics.fmean(before), statistics.fmean(after)
        if not Thresholds().matters(measure, *map(math.exp, means)):
            continue
        parts = [statistics.variance(each) / len(each) for each in (before, after)]
        freedom = sum(parts) ** 2 / sum(
            part**2 / (len(each) - 1) for part, each in zip(parts, (before, after), strict=True)
        )
        if means[1] > means[0] and (means[1] - means[0]) / math.sqrt(sum(parts)) > _quantile(
            freedom
        ):
            found.add(measure.name)
    return found


def _by_threshold(series: Series) -> set[str]:
    """Return the tests whose last run took 10 % longer than the median before."""
    return {
        measure.name
        for measure, after, before in _ends(series, 1)
        if after[-1] - statistics.median(before) > math.log(1.1)
    }


_FINDERS: Mapping[str, Finder] = {
    "dockwright": _by_search,
    "t-test at 5 %": _by_t_test,
    "last run 10 % slower": _by_threshold,
}


def _ends(series: Series, last: int) -> Iterator[tuple[Measure, list[float], list[float]]]:
    for measure in series.values:
        values = [value for _, value in series.corrected(measure)]
        yield measure, values[-last:], values[:-last]


def _quantile(freedom: float) -> float:
    """Return the 95 % quantile of Student's t (Hill 1970: an expansion around the normal's)."""
    z = statistics.NormalDist().inv_cdf(0.95)
    return (
        z
        + (z**3 + z) / (4 * freedom)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * freedom**3)
    )


# -- runs without a change -------------------------------------------------------------------


def _equal_runs() -> Row:
    """Return in how many comparisons of recorded runs of one source something is reported."""
    series, dice, findings = shop(), random.Random(8), 0
    for _ in range(_PAIRS):
        sides = dice.sample(range(len(series.runs)), 2)
        others = [at for at in range(len(series.runs)) if at not in sides]
        result = compare_series(series, Sides(sides[:1], sides[1:], others), Thresholds())
        findings += bool(result.changes or result.machine)
    what = f"comparisons with a finding, of {_PAIRS} of equal recorded runs of the shop"
    return value(_NAME, what, "", [findings], at_most=_PAIRS * 0.05)


# -- a large store ---------------------------------------------------------------------------

_PROBE = """
import json, sys, time
from dockwright.cli.errors import run

began = time.perf_counter()
code = run(sys.argv[2:])
seconds, cpu = time.perf_counter() - began, time.process_time()
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
with open(sys.argv[1], "w") as file:
    mb = int(peak.split()[1]) / 1000
    json.dump({"seconds": seconds, "cpu": cpu, "mb": mb, "code": code}, file)
"""
"""Runs a command and writes what it took; the high-water mark of memory is its own."""

_COMMANDS: Mapping[str, tuple[Sequence[str], float]] = {
    "compare main last": (("compare", "main", "last"), 1.0),
    "regressions": (("regressions",), 10.0),
    "flaky": (("flaky",), 10.0),
    "trend --html": (("trend", "--html", "trend.html"), 10.0),
    "trend --html --runs 5000": (("trend", "--html", "all.html", "--runs", "5000"), 30.0),
}


def _large_store(bench: Bench) -> Iterator[Row]:
    directory = bench.directory / "history"
    directory.mkdir()
    (directory / "pytest.ini").write_text("[pytest]\ndockwright_record_days = 0\n")
    environment = clean_environment(DOCKWRIGHT_CACHE_DIR=str(directory / "cache"))
    runs = bench.rounds(_RUNS, quick=2 * _CHUNK)
    bench.say(f"writing {runs} runs of {_TESTS} tests")
    file = runs_file(environment, project_hash(directory))
    store = RunStore(file, StoreOptions(keep_days=0, keep_runs=0))
    for first in range(0, runs, _CHUNK):
        store.add(*(_run(number, runs) for number in range(first, first + _CHUNK)))
    of = f"in {runs:,} runs of {_TESTS} tests"
    yield value(_NAME, f"size of the store {of}", "MB", [file.stat().st_size / 1e6])
    for name, (arguments, at_most) in _COMMANDS.items():
        found = [_probed(directory, environment, arguments) for _ in range(bench.rounds(3))]
        bench.say(f"{name}: {found[-1]['seconds']:.2f} s, {found[-1]['mb']:.0f} MB")
        seconds = [each["seconds"] for each in found]
        note = f"{statistics.median(each['cpu'] for each in found):.2f} s of processor time"
        yield value(_NAME, f"runs {name} {of}", "s", seconds, at_most=at_most, note=note)
        memory = [each["mb"] for each in found]
        yield value(_NAME, f"runs {name}: peak memory", "MB", memory, at_most=300)
    for page in ("trend.html", "all.html"):
        size = [(directory / page).stat().st_size / 1e6]
        yield value(_NAME, f"size of the trend page ({page})", "MB", size, at_most=3)


def _probed(
    directory: Path, environment: Mapping[str, str], arguments: Sequence[str]
) -> Mapping[str, float]:
    report = directory / "report.json"
    subprocess.run(
        [sys.executable, "-c", _PROBE, str(report), "runs", *arguments],
        cwd=directory,
        env=environment,
        check=True,
        capture_output=True,
        timeout=600,
    )
    found: Mapping[str, float] = json.loads(report.read_text())
    return found


def _run(number: int, runs: int) -> RunRecord:
    """Return a made-up run; four a day, until now. One test becomes slower in the last 30."""
    dice = random.Random(number)
    tests = []
    for at in range(_TESTS):
        seconds = (0.2 + at / 250) * dice.lognormvariate(0.0, 0.03)
        if at == 7 and number >= runs - 30:
            seconds *= 1.5
        spans = (
            Span("fixture", "client", 0.0, 0.05, "setup"),
            Span("call", "", 0.05, seconds),
        )
        name = f"tests/test_part_{at // 20}.py::test_of_something_{at}"
        failed = at == 11 and dice.random() < 0.2
        tests.append(
            TestRecord(
                name,
                f"gw{at % 2}",
                float(at),
                0.05 + seconds,
                "failed" if failed else "passed",
                "stateful",
                "dw-1",
                spans,
                "AssertionError: no" if failed else "",
            )
        )
    waits = [Span("wait", name, 0.2, dice.lognormvariate(0.0, 0.05)) for name in ("db", "web")]
    start = Span("start", "", 0.0, 0.3 + max(each.seconds for each in waits))
    units = (UnitRecord("db", "c1", 2.0, 80_000_000), UnitRecord("web", "c2", 1.0, 30_000_000))
    began_s = time.time() - (runs - number) * _DAY_S / 4
    return RunRecord(
        f"r{number:05}",
        began_s,
        300.0 * dice.lognormvariate(0.0, 0.03),
        0,
        Git(f"{number // 4:040x}", "main", dirty=False),
        this_machine(),
        tests=tuple(tests),
        stacks=(StackRecord("dw-1", "default", (start, *waits), units),),
    )
