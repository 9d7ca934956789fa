"""What all tests share: an engine, a tiny image, names, and a look for leaks."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from dockwright.errors import DockwrightError
from tests._support.engine.scratch import scratch_image
from tests._support.owned import Owned, leftovers, remove_frozen
from tests._support.project import LEAN

if TYPE_CHECKING:
    from dockwright.engine import Engine

pytest_plugins = ("pytester", "tests._support.sample", "tests._support.skips")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell that starts us in the background has us ignore Ctrl-C. The commands that tests
    # interrupt would inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # the same with nohup
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")  # other tests run at the same time

os.environ.setdefault("DOCKWRIGHT_WAIT_FOR_REMOVAL", "1")  # inner runs: tests count what is left


@pytest.fixture(autouse=True)
def _own_log_level() -> Iterator[None]:
    """Put back the level of our loggers, which a command that runs in this process sets."""
    yield
    logging.getLogger("dockwright").setLevel(logging.NOTSET)


@pytest.fixture
def pytester(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """Runs pytest without plugins that no test here looks at."""
    monkeypatch.setenv("PYTEST_ADDOPTS", LEAN)
    return pytester


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """The engine that the docker command would use; skips where none answers.

    At the end, the frozen volumes of the stores in temporary directories are removed.
    """
    from dockwright.engine import connect

    try:
        found = connect()
    except DockwrightError as exc:
        if os.environ.get("DOCKWRIGHT_REQUIRE_ENGINE") or os.environ.get("CI"):
            pytest.fail(f"an engine is required: {exc}")
        pytest.skip(f"needs an engine: {exc}")
    yield found
    if not found.closed:
        remove_frozen(found, tmp_path_factory.getbasetemp())
    found.close()


@pytest.fixture(scope="session")
def scratch(engine: Engine) -> Iterator[str]:
    """A tiny image with a shell, made on the spot where no registry can be reached."""
    with scratch_image(engine) as image:
        yield image


@pytest.fixture
def unique_name() -> str:
    """A name that nothing else on the engine has."""
    return f"dwtest-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def owned(engine: Engine, unique_name: str) -> Iterator[Owned]:
    """A maker of containers whose traces are removed after the test, also when it fails."""
    mine = Owned(engine, unique_name, {"dockwright-test": unique_name})
    yield mine
    mine.remove()


@pytest.fixture
def assert_no_leaks(engine: Engine) -> Callable[[Mapping[str, str | None]], None]:
    """A check that nothing with the given labels (e.g. a session's) is left on the engine."""

    def check(labels: Mapping[str, str | None]) -> None:
        assert leftovers(engine, labels) == []

    return check


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB; skips where this user may not mount one."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True, timeout=10, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount command")
    if done.returncode:
        pytest.skip(f"no file system can be mounted: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", str(place)], timeout=10, check=True)
