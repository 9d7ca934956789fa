"""Where dockwright keeps things of this user on this host; how projects are told apart."""

from __future__ import annotations

import hashlib
from pathlib import Path

import platformdirs


def state_directory() -> Path:
    """Return where dockwright keeps, for this user, what outlives a run."""
    return platformdirs.user_state_path("dockwright")


def project_hash(root: Path) -> str:
    """Return the label value that stands for a project's root directory."""
    return hashlib.sha256(str(root.resolve()).encode()).hexdigest()[:12]
