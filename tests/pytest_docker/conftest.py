"""Fixtures of the tests of pytest-docker's fixtures on our stacks."""

from __future__ import annotations

from tests.pytest_plugin.conftest import bare, suite

__all__ = ["bare", "suite"]
