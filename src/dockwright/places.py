"""Where dockwright keeps things of this user on this host; how projects are told apart."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

import platformdirs

from dockwright.errors import SettingsError

_NOWHERE = Path("/nonexistent")


def home_directory() -> Path:
    """Return this user's home directory; where there is none, a path where nothing is found."""
    try:
        return Path.home()
    except RuntimeError:  # HOME is not set, and the user has no entry in the system's list
        return _NOWHERE


def state_directory() -> Path:
    """Return where dockwright keeps, for this user, what outlives a run.

    Raises:
        SettingsError: there is no such place.
    """
    return _known(platformdirs.user_state_path, "XDG_STATE_HOME")


def config_directory() -> Path:
    """Return where this user's configuration is.

    Raises:
        SettingsError: there is no such place.
    """
    return _known(platformdirs.user_config_path, "XDG_CONFIG_HOME")


def cache_directory(environ: Mapping[str, str]) -> Path:
    """Return where this user's caches are: ``DOCKWRIGHT_CACHE_DIR`` if that is set.

    Raises:
        SettingsError: there is no such place, or it lies in the home of nobody.
    """
    chosen = environ.get("DOCKWRIGHT_CACHE_DIR")
    if not chosen:
        return _known(platformdirs.user_cache_path, "DOCKWRIGHT_CACHE_DIR")
    try:
        return Path(chosen).expanduser().absolute()
    except RuntimeError as failure:
        raise SettingsError(
            f"DOCKWRIGHT_CACHE_DIR={chosen}: there is no such home directory",
            hint="write an absolute path",
        ) from failure


def _known(find: Callable[[str], Path], variable: str) -> Path:
    """Return a directory of this user, who needs a home for it."""
    try:
        directory = find("dockwright")
    except RuntimeError:  # so say newer versions of platformdirs; older ones return "~/..."
        directory = Path()
    if not directory.is_absolute():
        raise SettingsError(
            "this user has no home directory, where dockwright would keep its files",
            hint=f"set HOME, or {variable} to a directory that may be written to",
        )
    return directory


def baselines_directory(environ: Mapping[str, str]) -> Path:
    """Return where this user's kept baselines are."""
    return cache_directory(environ) / "baselines"


def runs_file(environ: Mapping[str, str], project: str) -> Path:
    """Return where the past runs of a project, named by its hash, are kept."""
    return cache_directory(environ) / "runs" / f"{project}.sqlite3"


def project_hash(root: Path) -> str:
    """Return the label value that stands for a project's root directory.

    Raises:
        SettingsError: its path is no text: labels, messages and reports could not name it.
    """
    path = str(root.resolve())
    try:
        return hashlib.sha256(path.encode()).hexdigest()[:12]
    except UnicodeEncodeError as failure:
        shown = path.encode(errors="backslashreplace").decode()
        raise SettingsError(
            f"the project's path is not UTF-8: {shown}", hint="rename the directory"
        ) from failure
