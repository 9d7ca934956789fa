"""What the wasteful suite knows about its own waste: measured where it happens."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PROJECT = os.environ["WASTEFUL_PROJECT"]
LABELS = {"dockwright-test": PROJECT}
INTERVAL_S = float(os.environ["WASTEFUL_INTERVAL"])
GRACE_S = int(os.environ["WASTEFUL_GRACE"])
SLEEP_S = float(os.environ["WASTEFUL_SLEEP"])
FOLLOWED = os.environ.get("WASTEFUL_FOLLOWED", "").split(",")
"""Whose advice is followed."""

_COMPOSE = os.environ["WASTEFUL_COMPOSE"].split()
_FILE = Path(__file__).with_name("compose.yaml")


def note(cause: str, seconds: float) -> None:
    """Note how long something took."""
    with Path(os.environ["WASTEFUL_TRUTH"]).open("a") as file:
        file.write(json.dumps([cause, seconds]) + "\n")


@contextmanager
def timed(cause: str) -> Iterator[None]:
    """Note how long it took inside."""
    began = time.monotonic()
    try:
        yield
    finally:
        note(cause, time.monotonic() - began)


def compose(*words: str) -> None:
    """Run a compose command on the project."""
    subprocess.run(
        [*_COMPOSE, "-p", PROJECT, "-f", str(_FILE), *words],
        check=True,
        stderr=subprocess.DEVNULL,
    )
