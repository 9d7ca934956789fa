"""What a run repeats though nothing has changed: how long it takes, and what keeping it saves."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bench.bench import SHOP, Bench
from bench.results import Row, cost, value
from dockwright.cache import BaselineStore, Builds, FileDigests, Manifest, Part
from dockwright.compose import LoadOptions, load
from dockwright.engine import BuildRequest, connect, resolve_endpoint
from dockwright.paths import home_directory
from dockwright.pool.freshness import Freshness

_NAME = "repeated"
_FILES, _FILE_BYTES = 200, 100_000
_BASELINE_BYTES = 50_000_000


def measure(bench: Bench) -> Iterator[Row]:
    """Time each operation with everything in memory; builds alternately as a whole and skipped."""
    rounds = bench.rounds(7, quick=2)
    yield from _asked(bench, rounds)
    yield from _builds(bench, rounds)
    yield from _baseline(bench, rounds)


def _asked(bench: Bench, rounds: int) -> Iterator[Row]:
    options = LoadOptions(files=(SHOP / "compose.yaml",), start=SHOP, environ=dict(os.environ))
    spec = load(options)
    image = next(iter(spec.services.values())).image or "busybox:1"
    operations: dict[str, Callable[[], object]] = {
        "resolve the example's Compose project": lambda: load(options),
        "ask the engine for its version": lambda: bench.engine.sdk.api.version(),
        "ask the engine for its info": lambda: bench.engine.sdk.api.info(),
        "look at an image": lambda: bench.engine.inspect_image(image),
        "freshness key of the example": lambda: Freshness(bench.engine, os.environ).key(spec),
    }
    for what, operation in operations.items():
        yield value(_NAME, what, "ms", [_ms(operation) for _ in range(rounds)])


def _builds(bench: Bench, rounds: int) -> Iterator[Row]:
    """Compare a build that finds all its layers with one that is not repeated."""
    context = bench.directory / "context"
    context.mkdir()
    for number in range(_FILES):
        (context / f"{number}.bin").write_bytes(secrets.token_bytes(_FILE_BYTES))
    tag = f"dockwright-bench/repeated:{bench.run}"
    request = BuildRequest(context, (tag,), dockerfile_inline="FROM busybox:1\nCOPY . /app\n")
    endpoint = resolve_endpoint(os.environ, home_directory())
    builds = Builds(bench.directory / "builds", FileDigests())
    try:
        image = bench.engine.build_image(request)
        builds.put(builds.key(bench.engine, request), image, 1.0)
        whole, skipped = [], []
        for _ in range(rounds):
            whole.append(_ms(lambda: connect(endpoint).build_image(request)))
            skipped.append(_ms(lambda: _find(bench, request)))
        size = _FILES * _FILE_BYTES // 1_000_000
        what = f"an unchanged build of {size} MB, {_FILES} files, not repeated"
        yield cost(_NAME, what, skipped, "built from cached layers", whole, unit="ms")
    finally:
        bench.engine.remove_image(tag)


def _find(bench: Bench, request: BuildRequest) -> None:
    """Do what a new process does that has read no file yet."""
    builds = Builds(bench.directory / "builds", FileDigests())
    if builds.find(bench.engine, builds.key(bench.engine, request), request) is None:
        raise RuntimeError("the build was not found")


def _baseline(bench: Bench, rounds: int) -> Iterator[Row]:
    store = BaselineStore(bench.directory / "baselines")
    _put(store, bench.directory / "baseline")
    [stored] = store.entries()
    what = f"verify a kept baseline of {_BASELINE_BYTES // 1_000_000} MB"
    yield value(_NAME, what, "ms", [_ms(lambda: store.intact(stored)) for _ in range(rounds)])


def _put(store: BaselineStore, source: Path) -> None:
    """Keep a baseline of bytes that cannot be compressed."""

    def describe(parts: tuple[Part, ...]) -> Manifest:
        return Manifest("a" * 32, "bench", time.time(), 1.0, {}, parts)

    source.write_bytes(secrets.token_bytes(_BASELINE_BYTES))
    draft = store.draft("a" * 32)
    if draft is None:
        raise RuntimeError("there is a baseline already")
    with draft:
        draft.add("db", "/data", [source.read_bytes()])
        draft.finish(describe, wanted=lambda: True)
        store.publish(draft, "a" * 32)


def _ms(operation: Callable[[], object]) -> float:
    began = time.perf_counter()
    operation()
    return 1000 * (time.perf_counter() - began)
