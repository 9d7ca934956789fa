"""The fixtures that a suite asks for: ``stack``, ``docker_client``, ``artifacts``, ..."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dockwright.errors import DockwrightError, explained
from dockwright.pytest_plugin.markers import requirement_of
from dockwright.pytest_plugin.run import FAILED, LEASES, Run, run_of

if TYPE_CHECKING:
    import docker

    from dockwright.model import Requirement
    from dockwright.pool import Lease, LeasedStack
    from dockwright.pytest_plugin.leases import StackFactory
    from dockwright.resources import StackServiceManager, TestArtifactTracker


class ModuleLeases:
    """The leases that the ``module_cleanup`` tests of one module share."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._leases: dict[Requirement, Lease] = {}
        self._failed: set[Requirement] = set()

    def get(self, requirement: Requirement) -> Lease:
        """Return the module's lease, taken when its first test asks."""
        if requirement not in self._leases:
            self._leases[requirement] = _acquire(self._run, requirement)
        return self._leases[requirement]

    def note_failure(self, requirement: Requirement) -> None:
        """Remember that a test of the module failed with the stack."""
        self._failed.add(requirement)

    def close(self) -> None:
        """End the leases."""
        for requirement, lease in self._leases.items():
            self._run.release(lease, failed=requirement in self._failed)


@pytest.fixture(scope="module")
def _dockwright_module_leases(request: pytest.FixtureRequest) -> Iterator[ModuleLeases]:
    leases = ModuleLeases(run_of(request.config))
    yield leases
    leases.close()


@pytest.fixture
def stack(request: pytest.FixtureRequest) -> Iterator[LeasedStack]:
    """Lease a running stack to the test, shared or to itself as the test's marker says.

    A `LeasedStack`: ``stack.url("web", 8000)``, ``.address``, ``.exec``, ``.logs``, ``.restart``,
    ``.stop``, ``.start``, ``.kill``, ``.env``, ``.services``, ``.project``. A test that changes
    state finds the stack as every other test found it; nobody waits for the reset.
    """
    item: pytest.Item = request.node
    run = run_of(request.config)
    requirement = requirement_of(item)
    if requirement.scope == "module":
        shared: ModuleLeases = request.getfixturevalue("_dockwright_module_leases")
        lease = shared.get(requirement)
        item.stash.setdefault(LEASES, []).append(lease)
        yield lease.leased
        if item.stash.get(FAILED, False):
            shared.note_failure(requirement)
        return
    lease = _acquire(run, requirement)
    item.stash.setdefault(LEASES, []).append(lease)
    try:
        yield lease.leased
    finally:
        item.stash[LEASES].remove(lease)
        run.release(lease, failed=item.stash.get(FAILED, False))


@pytest.fixture(scope="session")
def stack_factory(request: pytest.FixtureRequest) -> Iterator[StackFactory]:
    """Lease stacks to fixtures of your own, of any scope.

    ``with stack_factory.lease("mail", exclusive=False) as stack: ...`` gives a `LeasedStack`, as
    the ``stack`` fixture does. What is still leased at the end of the session is released, with a
    warning.
    """
    from dockwright.pytest_plugin.leases import StackFactory

    factory = StackFactory(run_of(request.config))
    yield factory
    factory.close()


@pytest.fixture(scope="session")
def docker_client(request: pytest.FixtureRequest) -> docker.DockerClient:
    """Return the Docker SDK's client for the engine that the stacks run on."""
    try:
        return run_of(request.config).session.engine().sdk
    except Exception as error:  # noqa: BLE001 - the reason is enough, whoever raised it
        reason = explained(error)
    pytest.fail(reason, pytrace=False)  # outside, so that the report shows no chain of errors


@pytest.fixture
def config_dir(request: pytest.FixtureRequest) -> Iterator[Path]:
    """Give the test an empty configuration directory, which ``DOCKWRIGHT_CONFIG_DIR`` names.

    The variable is put back and the directory removed after the test. Of another variable:
    ``@pytest.mark.parametrize("config_dir", ["MY_CONFIG"], indirect=True)``.
    """
    from dockwright.resources import TemporaryConfigDir

    variables = [request.param] if hasattr(request, "param") else []
    root = run_of(request.config).settings.root
    with ExitStack() as ending:
        with _told_in_words(request):
            directory = ending.enter_context(TemporaryConfigDir(*variables, root=root))
        yield directory


@pytest.fixture
def backup_dir(request: pytest.FixtureRequest) -> Iterator[Path]:
    """Give the test an empty directory for backups, removed after it.

    What `TemporaryBackupDir` takes is given as ``@pytest.mark.parametrize("backup_dir",
    [{"needs_bytes": 10**9, "limit_bytes": 10**8}], indirect=True)``.
    """
    from dockwright.resources import TemporaryBackupDir

    item = _watched(request)
    root = run_of(request.config).settings.root
    options = {"root": root, **getattr(request, "param", {})}
    with ExitStack() as ending:
        with _told_in_words(request):
            backup = TemporaryBackupDir(**options)
            directory = ending.enter_context(backup)
        yield directory
        if _keeps(item):
            backup.keep()
    _tell_kept(item, backup.kept)


@pytest.fixture
def stack_services(
    request: pytest.FixtureRequest, stack: LeasedStack
) -> Iterator[StackServiceManager]:
    """Stop, start and restart services of the test's stack: a `StackServiceManager`.

    ``with stack_services.stopped("db"): ...`` brings the service back at the end of the block.
    What is down at the test's end is started again only for a ``module_cleanup`` test; else the
    reset does it behind the tests.
    """
    from dockwright.resources import StackServiceManager

    requirement = requirement_of(request.node)
    if not requirement.exclusive:
        pytest.fail(
            f"{request.node.nodeid}: stack_services changes the stack, which a stateless test "
            "shares with others\n  hint: mark the test stateful",
            pytrace=False,
        )
    manager = StackServiceManager(stack)
    if requirement.scope == "function":
        yield manager
        return
    with manager:
        yield manager


@pytest.fixture
def artifacts(request: pytest.FixtureRequest) -> Iterator[TestArtifactTracker]:
    """Track what the test makes by itself, from before it is made, and remove it afterwards.

    A `TestArtifactTracker`: ``track_file``, ``track_directory``, ``track_container``,
    ``track_network``, ``track_volume``, ``track_image``, ``track_process``; ``create_container``,
    ``create_network``, ``create_volume``, ``start_process`` make and track. What was there before
    stays. With ``--dockwright-keep-failed``, so does what the first failed test made.
    """
    from dockwright.resources import TestArtifactTracker

    item = _watched(request)
    run = run_of(request.config)
    with TestArtifactTracker(
        item.nodeid,
        failed=lambda: item.stash.get(FAILED, False),
        engine=lambda: run.session.engine(),
        root=run.settings.root,
    ) as tracker:
        yield tracker
        if _keeps(item):
            tracker.keep()
    _tell_kept(item, tracker.kept)


@contextmanager
def _told_in_words(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail the test with the reason alone where a fixture cannot be made as it is asked for."""
    try:
        yield
    except (DockwrightError, TypeError, ValueError) as error:
        reason = f"{request.node.nodeid}: {request.fixturename}: {error}"
    else:
        return
    pytest.fail(reason, pytrace=False)  # outside, so that the report shows no chain of errors


def _watched(request: pytest.FixtureRequest) -> pytest.Item:
    """Return the test, of which will be known whether it failed."""
    request.config.pluginmanager.import_plugin("dockwright.pytest_plugin.failures")
    item: pytest.Item = request.node
    return item


def _keeps(item: pytest.Item) -> bool:
    """Tell whether what the test made is to be kept: that of the first failed one, if asked for."""
    run = run_of(item.config)
    if not run.settings.keep_failed or not item.stash.get(FAILED, False):
        return False
    run.first_failed = run.first_failed or item.nodeid
    return run.first_failed == item.nodeid


def _tell_kept(item: pytest.Item, kept: str) -> None:
    if kept:
        item.add_report_section("teardown", "dockwright", kept)


def _acquire(run: Run, requirement: Requirement) -> Lease:
    try:
        return run.session.acquire(requirement)
    except Exception as error:  # noqa: BLE001 - the reason is enough, whoever raised it
        reason = run.in_full_once(explained(error), requirement.holder)
    pytest.fail(reason, pytrace=False)  # outside, so that the report shows no chain of errors
