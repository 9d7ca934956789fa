"""Where the project of a container is, by the labels that Compose and dockwright give it."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path

_COMPOSE = "com.docker.compose.project."


def working_dir(labels: Mapping[str, str]) -> str:
    """Return the project's directory, or words that say that nobody knows it."""
    return labels.get(f"{_COMPOSE}working_dir", "an unknown directory")


def compose_files(labels: Mapping[str, str]) -> tuple[Path, ...]:
    """Return the project's Compose files, as far as they are known."""
    files = labels.get(f"{_COMPOSE}config_files", "").split(",")
    return tuple(Path(file) for file in files if file)


def file_options(files: Iterable[Path]) -> str:
    """Return the options by which a command finds a project from anywhere: ``-f FILE -f FILE``."""
    return " ".join(f"-f {shlex.quote(str(file))}" for file in files)
