"""Generated projects are read as the real tool reads them: other ones in each run."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from tests.compose.differences import check
from tests.compose.reference import reference_tool
from tests.soak.conftest import FULL

FULL_S = 150.0

pytestmark = pytest.mark.timeout(300)


@pytest.mark.skipif(not FULL, reason="make test has a sample in tests/compose")
@pytest.mark.skipif(reference_tool() is None, reason="no Compose 2.26 here")
def test_projects_are_read_as_compose_reads_them(tell: Callable[[str], None]) -> None:
    first = seed = time.time_ns()
    end = time.monotonic() + FULL_S
    while time.monotonic() < end:
        check(seed)
        seed += 1

    tell(f"{seed - first} projects, generated from seed {first} on, are read as Compose reads them")
