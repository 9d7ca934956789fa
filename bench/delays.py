"""The delay between true readiness and its detection, over all kinds of `bench.detection`."""

from __future__ import annotations

from collections.abc import Iterator

from bench.bench import Bench
from bench.detection import CASES
from bench.results import Row, percentile, value

_NAME = "detection"


def measure(bench: Bench) -> Iterator[Row]:
    """Start each kind of service again and again, and see how late its readiness is detected."""
    if not bench.engine.endpoint.is_local:
        bench.skip("detection: the engine is on another host, whose clock may differ from ours")
        return
    delays_ms: list[float] = []
    for kind, (image, run) in CASES.items():
        if not bench.engine.has_image(image):
            bench.skip(f"detection of kind {kind}: there is no image {image}")
            continue
        rounds = bench.rounds(10, quick=4)
        bench.say(f"{rounds} starts of kind {kind}")
        found = [run(bench.engine, image) for _ in range(rounds)]
        mine = [1000 * each.delay_s for each in found]
        delays_ms += mine
        yield percentile(_NAME, f"detection delay, {kind}", "ms", mine, percent=50)
        yield percentile(_NAME, f"detection delay, {kind}", "ms", mine, percent=99)
        checks_ms = [1000 * each.check_s for each in found]
        yield value(_NAME, f"one run of that check, {kind}", "ms", checks_ms)
    if delays_ms:
        what = "detection delay, all kinds"
        yield percentile(_NAME, what, "ms", delays_ms, percent=50, at_most=10)
        yield percentile(_NAME, what, "ms", delays_ms, percent=99, at_most=60)
