"""Where dockwright keeps things of this user on this host; how projects are told apart."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import platformdirs


def state_directory() -> Path:
    """Return where dockwright keeps, for this user, what outlives a run."""
    return platformdirs.user_state_path("dockwright")


def cache_directory(environ: Mapping[str, str]) -> Path:
    """Return where this user's caches are: ``DOCKWRIGHT_CACHE_DIR`` if that is set."""
    chosen = environ.get("DOCKWRIGHT_CACHE_DIR")
    base = Path(chosen).expanduser() if chosen else platformdirs.user_cache_path("dockwright")
    return base.absolute()


def baselines_directory(environ: Mapping[str, str]) -> Path:
    """Return where this user's kept baselines are."""
    return cache_directory(environ) / "baselines"


def runs_file(environ: Mapping[str, str], project: str) -> Path:
    """Return where the past runs of a project, named by its hash, are kept."""
    return cache_directory(environ) / "runs" / f"{project}.sqlite3"


def project_hash(root: Path) -> str:
    """Return the label value that stands for a project's root directory."""
    return hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:12]
