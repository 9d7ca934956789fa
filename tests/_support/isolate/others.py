"""Runs dockwright as another user than root, with a home directory and a project of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[3] / "src"
MAIN = "from dockwright.cli import main; main()"
NOBODY = 65534
_LIMIT_S = 240.0


@dataclass
class Other:
    """Another user.

    Attributes:
        user: the user's id, and that of its group.
        directory: belongs to it; everybody may read it.
        python: an interpreter that it may run, and that has pytest and what dockwright needs.
        groups: further groups.
    """

    user: int
    directory: Path
    python: str
    groups: tuple[int, ...] = ()

    @property
    def project(self) -> Path:
        """The directory of its suite."""
        return self.directory / "project"

    @property
    def cache(self) -> Path:
        """Where its worlds and images are."""
        return self.directory / "cache"

    @property
    def environ(self) -> dict[str, str]:
        """The environment of its commands."""
        path = [str(SOURCE), *(each for each in sys.path if each.endswith("site-packages"))]
        return {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "HOME": str(self.directory / "home"),
            "PYTHONPATH": os.pathsep.join(path),
            "PYTHONDONTWRITEBYTECODE": "1",
            "DOCKWRIGHT_CACHE_DIR": str(self.cache),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        }

    def write(self, name: str, text: str) -> None:
        """Write a file of its suite."""
        (self.project / name).write_text(text)

    def pytest(self, *options: str) -> list[str]:
        """Return the command that runs its suite."""
        plugins = ("-p", "xdist.plugin", "-p", "dockwright.pytest_plugin.plugin")
        return [self.python, "-m", "pytest", *plugins, "-q", "-p", "no:cacheprovider", *options]

    def dockwright(self, *words: str) -> list[str]:
        """Return a command of dockwright."""
        return [self.python, "-c", MAIN, *words]

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start a command as this user, in the project's directory."""
        return subprocess.Popen(
            words,
            cwd=self.project,
            env=self.environ,
            user=self.user,
            group=self.user,
            extra_groups=list(self.groups),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *words: str) -> tuple[int, str]:
        """Run a command as this user; return its exit code and output."""
        with self.start(*words) as process:
            text, _ = process.communicate(timeout=_LIMIT_S)
        return process.returncode, text


@contextmanager
def other(user: int = NOBODY, groups: tuple[int, ...] = ()) -> Iterator[Other]:
    """Make the directories of another user; they are removed in the end."""
    if not sys.platform.startswith("linux"):
        pytest.skip("needs Linux")
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    directory = Path(tempfile.mkdtemp(prefix="dwtest-", dir="/var/tmp"))
    try:
        directory.chmod(0o755)
        made = Other(user, directory, "", groups)
        for place in (directory, directory / "home", made.project, made.cache):
            place.mkdir(exist_ok=True)
            os.chown(place, user, user)
        made.python = _python(made)
        yield made
    finally:
        shutil.rmtree(directory)


def _python(user: Other) -> str:
    """Return an interpreter for a user who may not look into root's home directory."""
    imports = "import pytest, xdist, docker, dockwright.cli, dockwright.pytest_plugin.plugin"
    for python in (sys.executable, "/usr/bin/python3"):
        try:
            code, _ = user.run(python, "-c", imports)
        except PermissionError:
            continue
        if code == 0:
            return python
    pytest.skip("no Python here that other users than root may run")


@contextmanager
def user_with_ids() -> Iterator[Other]:
    """Make a user of this machine that has ids of its own for containers, and remove it again."""
    for program in ("useradd", "newuidmap"):
        if shutil.which(program) is None:
            pytest.skip("scripts/ensure-isolation installs newuidmap")
    if os.geteuid() != 0:
        pytest.skip("only root can make users")
    name = f"dwtest-{uuid.uuid4().hex[:8]}"
    subprocess.run(["useradd", "--no-create-home", "--user-group", name], check=True)
    try:
        ids = [int(subprocess.check_output(["id", kind, name])) for kind in ("-u", "-g")]
        assert ids[0] == ids[1], "this machine numbers users and groups apart"
        groups = (Path("/var/run/docker.sock").stat().st_gid,)
        with other(ids[0], groups) as made:
            yield made
    finally:
        subprocess.run(["userdel", name], check=True, capture_output=True)
