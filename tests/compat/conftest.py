"""Fixtures of the tests of suites that were written for other tools."""

from __future__ import annotations

import pytest

from tests._support.suite import Suite
from tests.pytest_plugin.conftest import bare, suite

__all__ = ["bare", "moved", "suite"]

ON = "[pytest]\ndockwright_compat = testcontainers\n"


@pytest.fixture
def moved(suite: Suite) -> Suite:
    """A suite with the one setting, and no Compose file."""
    (suite.path / "compose.yaml").unlink()
    suite.write("pytest.ini", ON)
    return suite
