"""Docker Compose as a rival: a project that is gone when the measure is over."""

from __future__ import annotations

import itertools
import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.bench import Bench

_numbers = itertools.count(1)


@contextmanager
def composed(bench: Bench, files: Sequence[Path]) -> Iterator[Callable[..., None]]:
    """Yield what runs a Compose command on a project of its own; the project is removed after it.

    Args:
        bench: whose Compose, and whose project it is.
        files: its Compose files.
    """
    project = f"dwbench-{bench.run}-compose-{next(_numbers)}"
    options = [part for file in files for part in ("-f", str(file))]

    def compose(*arguments: str) -> None:
        ended = subprocess.run(
            [*bench.compose, *options, "-p", project, *arguments],
            env={**os.environ, **bench.variables},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            timeout=180,
            check=False,
        )
        if ended.returncode:
            raise RuntimeError(f"docker compose {' '.join(arguments)} failed: {ended.stderr}")

    try:
        yield compose
    finally:
        compose("down", "--volumes", "--timeout", "0")
