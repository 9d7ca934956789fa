"""Foreign input with mistakes and malice in it is read or refused, soon and in little memory."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests._support.hostile import failures
from tests.soak.conftest import rounds

pytestmark = pytest.mark.timeout(3600)


def test_5000_changed_projects(report: Callable[[str], None]) -> None:
    seeds = range(1000, 1000 + rounds(200, 5000))

    assert not failures("tests._support.compose.mutations", seeds)

    report(f"{len(seeds)} changed Compose projects were read or refused")


def test_1000_changed_backups(report: Callable[[str], None]) -> None:
    seeds = range(1000, 1000 + rounds(60, 1000))

    assert not failures("tests._support.managed.archive_mutations", seeds)

    report(f"{len(seeds)} changed backups were read or refused")
