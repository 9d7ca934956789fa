"""What is asked for when a Compose project is loaded."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


def _process_environment() -> dict[str, str]:
    return dict(os.environ)


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """Which files make up the project, and under which name and circumstances.

    Attributes:
        files: the Compose files in merge order; empty: ``COMPOSE_FILE``, else found from `start`.
        project_name: the name; None: ``COMPOSE_PROJECT_NAME``, the files' ``name:``, the directory.
        working_dir: what relative paths mean; None: the directory of the first file.
        profiles: the active profiles, ``*`` for all; empty: those of ``COMPOSE_PROFILES``.
        env_files: files with variables for interpolation; empty: ``.env`` in the project directory.
        environ: the caller's environment; its variables win over all others.
        values: variables that win over those of `env_files`.
        start: where discovery begins; None: the current directory.
        resolve_env_files: move the variables of ``env_file`` into ``environment``.
        runnable: refuse what dockwright cannot run; False: only warn, to show the project.
    """

    files: tuple[Path, ...] = ()
    project_name: str | None = None
    working_dir: Path | None = None
    profiles: tuple[str, ...] = ()
    env_files: tuple[Path, ...] = ()
    environ: Mapping[str, str] = field(default_factory=_process_environment)
    values: Mapping[str, str] = field(default_factory=dict)
    start: Path | None = None
    resolve_env_files: bool = True
    runnable: bool = True
