"""Long checks: a sample in ``make test``, their full counts in ``make soak``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests._support.sample import FULL
from tests._support.soak_suite import Suite


def rounds(sample: int, full: int) -> int:
    """Return how often a check is repeated in this run."""
    return full if FULL else sample


@pytest.fixture
def report(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Print a line that a person sees while the tests run."""

    def line(text: str) -> None:
        with capsys.disabled():
            print(f"\n  soak: {text}", end="", flush=True)

    return line


@pytest.fixture
def suite(tmp_path: Path, scratch: str) -> Iterator[Suite]:
    """A small suite with a stack, in a checkout of its own."""
    made = Suite.write(tmp_path / "checkout", scratch, tmp_path)
    yield made
    made.end_brokers()
