"""dockwright makes of generated projects what the real tool makes of them.

These are a few; `tests/soak/test_compose.py` compares many more, of other seeds.
"""

from __future__ import annotations

import pytest

from tests._support.compose.differences import check
from tests._support.compose.reference import reference_tool

SAMPLE = 24


@pytest.mark.skipif(reference_tool() is None, reason="no Compose 2.26 here")
@pytest.mark.parametrize("seed", range(SAMPLE))
def test_a_generated_project_is_read_as_compose_reads_it(seed: int) -> None:
    check(seed)
