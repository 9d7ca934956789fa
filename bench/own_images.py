"""A suite whose images have names of their own, and which declares nothing about them."""

from __future__ import annotations

import itertools
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from bench.bench import HERE, Bench, settle
from bench.contenders import SuiteRun, end_broker
from bench.plugin_cost import clean_environment, other_plugins_off
from bench.processes import run
from bench.results import Row, cost, percentile_of, speedup, value
from dockwright.engine.build import BuildRequest

LEDGER = HERE / "ledger"
_TIMEOUT_S = 600.0
_WHAT = "24 tests, images with names of their own"
_numbers = itertools.count(1)


def measure(bench: Bench) -> Iterator[Row]:
    """Run the suite cold, with a cached baseline, on a warm pool and with a reset by hand."""
    for name in ("store", "web"):
        request = BuildRequest(context=LEDGER / name, tags=(f"ledger-{name}",))
        bench.engine.build_image(request)
    cache = {"DOCKWRIGHT_CACHE_DIR": str(bench.directory / "own-cache")}
    warm_place = _directory(bench, "dockwright")
    keep = {"DOCKWRIGHT_KEEP_WARM": "5m", **cache}
    runs: dict[str, list[SuiteRun]] = {name: [] for name in ("cold", "kept", "warm", "by hand")}
    try:
        _run(bench, warm_place, "dockwright", keep)
        for _ in range(bench.rounds(3)):
            runs["cold"].append(_run(bench, _directory(bench, "dockwright"), "dockwright", {}))
            runs["kept"].append(_run(bench, _directory(bench, "dockwright"), "dockwright", cache))
            runs["warm"].append(_run(bench, warm_place, "dockwright", keep))
            runs["by hand"].append(_run(bench, _directory(bench, "by_hand"), "by_hand", {}))
    finally:
        end_broker(warm_place)
    yield from _rows(runs)


def _rows(runs: dict[str, list[SuiteRun]]) -> Iterator[Row]:
    walls = {name: [each.wall_s for each in found] for name, found in runs.items()}
    rival = "one stack, reset by hand"
    for name, least in (("cold", 5.0), ("kept", 8.0)):
        yield speedup(
            "own images", f"{_WHAT}, {name}", walls[name], rival, walls["by hand"], at_least=least
        )
    yield value("own images", f"{_WHAT}, warm", "s", walls["warm"], at_most=1.0)
    for percent, most in ((50, 1.1), (95, 1.5)):
        writers, readers = (
            [1000 * percentile_of(each.whole_s(stateful=kind), percent) for each in runs["warm"]]
            for kind in (True, False)
        )
        yield cost(
            "own images",
            f"stateful test, p{percent}, warm",
            writers,
            f"stateless test, p{percent}",
            readers,
            unit="ms",
            at_most=most,
        )


def _directory(bench: Bench, contender: str) -> Path:
    directory = bench.directory / f"own-{contender}-{next(_numbers)}"
    shutil.copytree(LEDGER, directory, ignore=shutil.ignore_patterns("__pycache__", "suite"))
    suite = LEDGER / "suite"
    shutil.copy(suite / "test_ledger.py", directory)
    shutil.copy(suite / f"conftest_{contender}.py", directory / "conftest.py")
    shutil.copy(HERE / "suite" / "recorder.py", directory)
    (directory / "pytest.ini").write_text("[pytest]\naddopts = -q -p recorder\n")
    return directory


def _run(bench: Bench, place: Path, contender: str, more: dict[str, str]) -> SuiteRun:
    record = place / "record.json"
    own = {"DOCKWRIGHT_CACHE_DIR": str(place / "cache"), "BENCH_RECORD": str(record), **more}
    off = [*other_plugins_off(), *(["-p", "no:dockwright"] if contender == "by_hand" else [])]
    settle()
    took = run(
        [sys.executable, "-m", "pytest", *off, "test_ledger.py"],
        directory=place,
        environment=clean_environment(BENCH_RUN=bench.run, **own),
        timeout_s=_TIMEOUT_S,
    )
    bench.say(f"{contender}: {took.wall_s:.2f} s")
    return SuiteRun.read(took.wall_s, record)
