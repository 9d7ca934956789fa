"""Random edits of a generated project: no reused result is stale."""

from __future__ import annotations

import copy
import logging
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests._support.forking import ForkingPytest
from tests._support.generated import Generated
from tests._support.known import KnownSuite
from tests._support.sample import SEED
from tests.soak.conftest import rounds

_log = logging.getLogger(__name__)


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
    with ForkingPytest(suite.variables()) as suite.forking:
        edits, runs, ran, needed = _edited(suite, project, values, rounds(4, 2000))
    report(f"{edits} edits, {runs} runs: {ran} tests ran, of which {needed} use what was edited")


def _edited(suite: KnownSuite, project: Generated, values: Path, most: int) -> tuple[int, ...]:
    """Edit and run the suite; return how many edits, runs, tests that ran and that had to."""
    edits = runs = ran = needed = 0
    known: dict[str, object] = {}
    while edits <= most:
        project.write(suite.path)
        done = suite.run()
        expected = project.test_values()
        found = {name: int((values / name).read_text()) for name in expected}
        assert found == expected, (SEED, edits, done.text)
        assert len(done.ran | done.reused) == len(expected), (SEED, edits, done.text)
        code = copy.deepcopy(project.test_code())
        must = {name for name in code if known.get(name) != code[name]}
        assert done.ran >= must, (SEED, edits, done.text)
        needed, ran, runs, known = needed + len(must), ran + len(done.ran), runs + 1, code
        for _ in range(project.dice.randrange(1, 4)):
            project.edit()
            edits += 1
        if runs % 50 == 0:
            _log.info("%d edits, %d runs: %d ran, %d needed", edits, runs, ran, needed)
    return edits, runs, ran, needed
