"""Where dockwright keeps this user's files, and how it identifies projects."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

import platformdirs

from dockwright.errors import SettingsError

_NOWHERE = Path("/nonexistent")

IN_CONTAINER = Path("/.dockerenv")
"""Exists where this process runs in one of Docker's containers."""


def home_directory() -> Path:
    """Return this user's home directory; where there is none, a path where nothing is found."""
    try:
        return Path.home()
    except RuntimeError:  # HOME is not set, and the user has no entry in the system's list
        return _NOWHERE


def state_directory() -> Path:
    """Return the directory for state that outlives a run.

    Raises:
        SettingsError: there is no such directory.
    """
    return _known(platformdirs.user_state_path, "XDG_STATE_HOME")


def config_directory() -> Path:
    """Return where this user's configuration is.

    Raises:
        SettingsError: there is no such directory.
    """
    return _known(platformdirs.user_config_path, "XDG_CONFIG_HOME")


def cache_directory(environ: Mapping[str, str]) -> Path:
    """Return where this user's caches are: ``DOCKWRIGHT_CACHE_DIR`` if that is set.

    Raises:
        SettingsError: there is no such directory, or its user has no home directory.
    """
    chosen = environ.get("DOCKWRIGHT_CACHE_DIR")
    if not chosen:
        return _known(platformdirs.user_cache_path, "DOCKWRIGHT_CACHE_DIR")
    try:
        return Path(chosen).expanduser().absolute()
    except RuntimeError as failure:
        raise SettingsError(
            f"DOCKWRIGHT_CACHE_DIR={chosen}: no such home directory",
            hint="write an absolute path",
        ) from failure


def _known(find: Callable[[str], Path], variable: str) -> Path:
    """Return a directory below this user's home directory."""
    try:
        directory = find("dockwright")
    except RuntimeError:  # so say newer versions of platformdirs; older ones return "~/..."
        directory = Path()
    if not directory.is_absolute():
        raise SettingsError(
            "this user has no home directory for dockwright's files",
            hint=f"set HOME, or set {variable} to a writable directory",
        )
    return directory


def baselines_directory(environ: Mapping[str, str]) -> Path:
    """Return the directory of this user's baselines."""
    return cache_directory(environ) / "baselines"


def builds_directory(environ: Mapping[str, str]) -> Path:
    """Return the directory that says which image each build gave."""
    return cache_directory(environ) / "builds"


def results_directory(environ: Mapping[str, str], project: str) -> Path:
    """Return the directory with the saved results of a project, given by its hash."""
    return cache_directory(environ) / "results" / project


def runs_file(environ: Mapping[str, str], project: str) -> Path:
    """Return the file with the recorded runs of a project, given by its hash."""
    return cache_directory(environ) / "runs" / f"{project}.sqlite3"


def project_hash(root: Path) -> str:
    """Return the label value that stands for a project's root directory.

    Raises:
        SettingsError: its path is not valid UTF-8, which labels and reports need.
    """
    path = str(root.resolve())
    try:
        return hashlib.sha256(path.encode()).hexdigest()[:12]
    except UnicodeEncodeError as failure:
        shown = path.encode(errors="backslashreplace").decode()
        raise SettingsError(
            f"the project's path is not UTF-8: {shown}", hint="rename the directory"
        ) from failure
