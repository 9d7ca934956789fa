"""What a test's element in pytest's own JUnit XML is told: its time by phase."""

from __future__ import annotations

from dockwright.measure import Attempt, record_of
from dockwright.report.digest import phases_of


def properties(attempt: Attempt) -> list[tuple[str, str]]:
    """Return names and values; seconds by phase, which add up to ``dockwright.wall_s``.

    What is shared is no part of them. Why a test waited is known only when the run is over: all
    of it is ``dockwright.queue_s``.
    """
    test = record_of(attempt, attempt.began, lambda span, _: [span])
    shared_s = test.elapsed_s - test.wall_s
    seconds = {"wall": test.wall_s, **phases_of(test, shared=False)}
    if shared_s:
        seconds["shared"] = shared_s
    texts = {"lane": test.lane, "stack": test.stack}
    return [
        *((f"dockwright.{name}_s", f"{value:.6f}") for name, value in seconds.items()),
        *((f"dockwright.{name}", text) for name, text in texts.items() if text),
    ]
