"""Random edits of a generated project: no reused result is stale."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests._support.generated import Generated
from tests._support.known import KnownSuite
from tests._support.sample import SEED
from tests.soak.conftest import rounds


@pytest.mark.timeout(7200)
def test_no_result_is_stale_after_random_edits(
    tmp_path: Path, report: Callable[[str], None]
) -> None:
    dice = random.Random(SEED)
    values = tmp_path / "values"
    values.mkdir()
    suite = KnownSuite(tmp_path / "suite", tmp_path / "place", {"VALUES": str(values)})
    suite.path.mkdir()
    project = Generated.of(dice)
    edits, most, needed, ran = 0, rounds(4, 2000), 0, 0
    known: dict[str, int] = {}
    while edits <= most:
        project.write(suite.path)
        done = suite.run()
        expected = project.test_values()
        found = {name: int((values / name).read_text()) for name in expected}
        assert found == expected, (SEED, edits, done.text)
        needed += sum(known.get(name) != value for name, value in expected.items())
        ran += len(done.ran)
        known = expected
        for _ in range(dice.randrange(1, 4)):
            project.edit()
            edits += 1
    report(f"{edits} edits: {ran} tests ran, of which {needed} had another value")
