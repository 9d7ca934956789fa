"""Whole suites against the rivals, and what a test costs and waits for within them."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass, replace

from bench.bench import Bench
from bench.contenders import Suite, SuiteRun, run_suite, warm_directory
from bench.results import Row, cost, percentile, speedup, value

_WRITERS = 12
_SUITE = "24 tests, cold"
_KEPT = "24 tests, cold, baseline kept by an earlier run"
_TWO_WORKERS = Suite(options=("-n", "2"), plugins=("xdist", "xdist.looponfail"))


@dataclass(frozen=True, slots=True)
class Rival:
    """A rival, and how much of it is measured.

    Attributes:
        contender: its directory below `bench/rivals`.
        title: its name in the table.
        at_least: how many times faster we are to be.
        writers: how many of the tests that change state are run; the others are extrapolated.
        needs_compose: it cannot run without Docker Compose.
    """

    contender: str
    title: str
    at_least: float
    writers: int = _WRITERS
    needs_compose: bool = True


RIVALS = (
    Rival("testcontainers", "testcontainers-python", 10.0, writers=3, needs_compose=False),
    Rival("pytest_docker", "pytest-docker, SQL reset", 5.0),
    Rival("compose", "compose up/down per writer", 60.0, writers=2),
)


def measure(bench: Bench) -> Iterator[Row]:
    """Run the suite as dockwright and as each rival, alternately."""
    rivals = [each for each in RIVALS if bench.compose or not each.needs_compose]
    if len(rivals) < len(RIVALS):
        bench.skip("rivals that need Docker Compose v2: there is none here")
    if bench.full or bench.quick:
        rivals = [replace(each, writers=_WRITERS if bench.full else 1) for each in rivals]
    ours: list[float] = []
    kept: list[float] = []
    cache = Suite(environment={"DOCKWRIGHT_CACHE_DIR": str(bench.directory / "rivals-cache")})
    run_suite(bench, "dockwright", cache)
    theirs: dict[str, list[float]] = {each.contender: [] for each in rivals}
    for _ in range(bench.rounds(2)):
        ours.append(run_suite(bench, "dockwright", Suite()).wall_s)
        kept.append(run_suite(bench, "dockwright", cache).wall_s)
        for rival in rivals:
            theirs[rival.contender].append(_whole_s(bench, rival))
    for rival in rivals:
        part = f"{rival.writers} of {_WRITERS} writers run, the others extrapolated"
        yield speedup(
            "suite",
            _SUITE,
            ours,
            rival.title,
            theirs[rival.contender],
            at_least=rival.at_least,
            note=part if rival.writers < _WRITERS else "",
        )
    for rival in rivals:
        yield speedup("suite", _KEPT, kept, rival.title, theirs[rival.contender])


def _whole_s(bench: Bench, rival: Rival) -> float:
    """Return how long the whole suite takes; the missing writers take what a measured one takes."""
    run = run_suite(bench, rival.contender, Suite(writers=rival.writers))
    return run.wall_s + (_WRITERS - rival.writers) * statistics.median(run.whole_s(stateful=True))


def measure_tests(bench: Bench) -> Iterator[Row]:
    """Measure single tests of dockwright's runs: cold, with cached baselines, and kept warm."""
    rounds = bench.rounds(2)
    cold = [run_suite(bench, "dockwright", Suite()) for _ in range(rounds)]
    parallel = [run_suite(bench, "dockwright", _TWO_WORKERS) for _ in range(rounds)]
    kept_cache = {"DOCKWRIGHT_CACHE_DIR": str(bench.directory / "suite-cache")}
    kept = [
        run_suite(bench, "dockwright", Suite(environment=kept_cache)) for _ in range(rounds + 1)
    ]
    warm, warm_parallel, readers, writers = _warm_runs(bench, rounds)
    what = "24 tests"
    yield value("tests", f"{what}, cold", "s", _walls(cold))
    yield value("tests", f"{what}, cold, -n 2", "s", _walls(parallel))
    yield value("tests", _KEPT, "s", _walls(kept[1:]))
    yield value("tests", f"{what}, keep_warm", "s", _walls(warm))
    first = [1000 * run.first_body_s for run in warm]
    yield value("tests", "keep_warm: end of collection to first body", "ms", first, at_most=150)
    yield cost(
        "tests",
        "stateful test, whole time, keep_warm",
        _means_ms(writers, stateful=True),
        "stateless, same body",
        _means_ms(readers, stateful=False),
        unit="ms",
        at_most=1.10,
    )
    for title, runs in (
        ("cold, -n 0", cold),
        ("cold, -n 2", parallel),
        ("keep_warm, -n 0", warm),
        ("keep_warm, -n 2", warm_parallel),
    ):
        waits = [1000 * wait for run in runs for wait in run.lease_waits_s()]
        yield percentile("tests", f"wait for a lease, {title}", "ms", waits, percent=50, at_most=5)
        yield percentile("tests", f"wait for a lease, {title}", "ms", waits, percent=95, at_most=40)


def _warm_runs(bench: Bench, rounds: int) -> list[list[SuiteRun]]:
    """Run on one pool that stays: the suite, with one and two workers; one body, both markers.

    The body is run by readers alone and by writers alone, in turn: no kind waits for the other.
    """
    warm = ("--dockwright-keep-warm=2m",)
    suites = [
        Suite(options=warm),
        replace(_TWO_WORKERS, options=(*_TWO_WORKERS.options, *warm)),
        *(
            Suite(file="test_equal.py", options=("-m", each, *warm))
            for each in ("stateless", "stateful")
        ),
    ]
    with warm_directory(bench) as directory:
        for suite in suites[:2]:  # they start the pool, and make it have spares
            run_suite(bench, "dockwright", suite, directory=directory)
        turns = [
            [run_suite(bench, "dockwright", each, directory=directory) for each in suites]
            for _ in range(rounds + 1)
        ]
    return [list(runs) for runs in zip(*turns, strict=True)]


def _walls(runs: list[SuiteRun]) -> list[float]:
    return [run.wall_s for run in runs]


def _means_ms(runs: list[SuiteRun], *, stateful: bool) -> list[float]:
    return [1000 * statistics.mean(run.whole_s(stateful=stateful)) for run in runs]
