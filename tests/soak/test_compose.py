"""Generated projects are read as the real tool reads them: more than `tests/compose` compares."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests._support.compose.differences import check
from tests._support.compose.reference import reference_tool
from tests._support.sample import FULL

SEEDS = range(3000, 3480)
LIMIT_S = 150.0
"""After how many seconds the rest is left out, on a slow machine."""

pytestmark = pytest.mark.timeout(300)


@pytest.mark.skipif(not FULL, reason="make test has a sample in tests/compose")
@pytest.mark.skipif(reference_tool() is None, reason="no Compose 2.26 here")
def test_generated_projects_are_read_as_compose_reads_them(report: Callable[[str], None]) -> None:
    end = time.monotonic() + LIMIT_S
    compared = 0
    for seed in SEEDS:
        if time.monotonic() > end:
            break
        check(seed)
        compared += 1

    report(f"{compared} generated projects are read as Compose reads them")
    assert compared
