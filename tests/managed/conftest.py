"""Fixtures of the tests of a long-lived stack's life."""

from __future__ import annotations

from tests.cli.conftest import project

__all__ = ["project"]
