"""The line at the end of an isolated run: how busy workers were, and whether more would help."""

from __future__ import annotations

import pytest

from dockwright.isolate.inside.busy import Busy


@pytest.mark.parametrize(
    ("workers", "wall_s", "used_s", "cores", "most", "text"),
    [
        (
            2,
            100,
            40,
            2,
            99,
            "2 isolated workers kept 2 cores busy for 20% of 100 s; up to 8 workers may be faster",
        ),
        (
            2,
            100,
            40,
            2,
            3,
            "2 isolated workers kept 2 cores busy for 20% of 100 s; up to 3 workers may be faster",
        ),
        (4, 100, 160, 2, 99, "4 isolated workers kept 2 cores busy for 80% of 100 s"),
        (
            1,
            100,
            1,
            1,
            99,
            "1 isolated worker kept 1 core busy for 1% of 100 s; up to 4 workers may be faster",
        ),
        (2, 3, 1, 2, 99, "2 isolated workers kept 2 cores busy for 17% of 3 s"),
    ],
)
def test_more_workers_are_proposed_if_the_processor_is_idle(
    workers: int, wall_s: float, used_s: float, cores: int, most: int, text: str
) -> None:
    assert str(Busy(workers, wall_s, used_s, cores, most)) == text
