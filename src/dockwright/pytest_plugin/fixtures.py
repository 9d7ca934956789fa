"""The fixtures for suites: ``stack``, ``docker_client``, ``artifacts``, ..."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dockwright.errors import DockwrightError, explained
from dockwright.pytest_plugin.markers import requirement_of
from dockwright.pytest_plugin.run import DOUBTED, FAILED, LEASES, REPEATABLE, Run, run_of

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
        """Return the module's lease; the first test of the module acquires it."""
        if requirement not in self._leases:
            lease = self._leases[requirement] = _acquire(self._run, requirement)
            if self._run.auditor is not None:
                self._run.auditor.lease_begins(lease)
        return self._leases[requirement]

    def note_failure(self, requirement: Requirement) -> None:
        """Note that a test of the module failed."""
        self._failed.add(requirement)

    def close(self) -> None:
        """End the leases."""
        for requirement, lease in self._leases.items():
            if self._run.auditor is not None:
                self._run.auditor.module_ends(lease)
            self._run.release(lease, failed=requirement in self._failed)


@pytest.fixture(scope="module")
def _dockwright_module_leases(request: pytest.FixtureRequest) -> Iterator[ModuleLeases]:
    leases = ModuleLeases(run_of(request.config))
    yield leases
    leases.close()


@pytest.fixture
def stack(request: pytest.FixtureRequest) -> Iterator[LeasedStack]:
    """A running stack: shared if the test is marked ``stateless``, otherwise for this test alone.

    A `LeasedStack`: ``stack.url("web", 8000)``, ``.address``, ``.exec``, ``.logs``, ``.restart``,
    ``.stop``, ``.start``, ``.kill``, ``.env``, ``.services``, ``.project``. After a test that may
    change state, the stack is reset in the background.
    """
    item: pytest.Item = request.node
    run = run_of(request.config)
    requirement = requirement_of(item)
    if requirement.scope == "module":
        shared: ModuleLeases = request.getfixturevalue("_dockwright_module_leases")
        lease = shared.get(requirement)
        item.stash.setdefault(LEASES, []).append(lease)
        if run.auditor is not None:
            run.auditor.test_begins(item, lease)
        yield lease.leased
        if item.stash.get(FAILED, False):
            shared.note_failure(requirement)
        return
    requirement = replace(
        requirement,
        audited=run.settings.audited,
        repeatable=item.stash.get(REPEATABLE, False),
    )
    lease = _acquire(run, requirement)
    item.stash[DOUBTED] = lease.doubted
    item.stash.setdefault(LEASES, []).append(lease)
    try:
        if run.auditor is not None:
            run.auditor.test_begins(item, lease)
        yield lease.leased
    finally:
        item.stash[LEASES].remove(lease)
        if run.auditor is not None:
            run.auditor.test_ends(item, lease)
        run.release(lease, failed=item.stash.get(FAILED, False))


@pytest.fixture
def stack_urls(stack: LeasedStack) -> dict[str, str]:
    """The URLs of the test's stack by service: ``{"db": "postgresql://shop:...@127.0.0.1:..."}``.

    Those that ``stack.url_for`` knows.
    """
    return stack.urls()


@pytest.fixture(scope="session")
def stack_factory(request: pytest.FixtureRequest) -> Iterator[StackFactory]:
    """Leases stacks for your own fixtures of any scope.

    ``with stack_factory.lease("mail", exclusive=False) as stack: ...`` returns a `LeasedStack`,
    like the ``stack`` fixture. Leases that are open at the end of the session are closed, with a
    warning.
    """
    from dockwright.pytest_plugin.leases import StackFactory

    factory = StackFactory(run_of(request.config))
    yield factory
    factory.close()


@pytest.fixture(scope="session")
def docker_client(request: pytest.FixtureRequest) -> docker.DockerClient:
    """The Docker SDK's client for the engine that the stacks run on."""
    try:
        return run_of(request.config).session.engine().sdk
    except Exception as error:  # noqa: BLE001 - the reason is enough, whoever raised it
        reason = explained(error)
    pytest.fail(reason, pytrace=False)  # outside, so that the report shows no chain of errors


@pytest.fixture
def config_dir(request: pytest.FixtureRequest) -> Iterator[Path]:
    """An empty configuration directory, named by ``DOCKWRIGHT_CONFIG_DIR``.

    After the test the variable is restored and the directory removed. To use another variable:
    ``@pytest.mark.parametrize("config_dir", ["MY_CONFIG"], indirect=True)``.
    """
    from dockwright.resources import TemporaryConfigDir

    variables = [request.param] if hasattr(request, "param") else []
    root = run_of(request.config).settings.root
    with ExitStack() as ending:
        with _failing_with_reason(request):
            directory = ending.enter_context(TemporaryConfigDir(*variables, root=root))
        yield directory


@pytest.fixture
def backup_dir(request: pytest.FixtureRequest) -> Iterator[Path]:
    """An empty directory for backups, removed after the test.

    Pass arguments of `TemporaryBackupDir` with ``@pytest.mark.parametrize("backup_dir",
    [{"needs_bytes": 10**9, "limit_bytes": 10**8}], indirect=True)``.
    """
    from dockwright.resources import TemporaryBackupDir

    item = _watched(request)
    root = run_of(request.config).settings.root
    options = {"root": root, **getattr(request, "param", {})}
    with ExitStack() as ending:
        with _failing_with_reason(request):
            backup = TemporaryBackupDir(**options)
            directory = ending.enter_context(backup)
        yield directory
        if _keeps(item):
            backup.keep()
    _report_kept(item, backup.kept)


@pytest.fixture
def stack_services(
    request: pytest.FixtureRequest, stack: LeasedStack
) -> Iterator[StackServiceManager]:
    """Stops, starts and restarts services of the test's stack: a `StackServiceManager`.

    ``with stack_services.stopped("db"): ...`` starts the service again at the end of the block.
    Services that are down at the end of a ``module_cleanup`` test are started again; after other
    tests the reset does that in the background.
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
    """Tracks what the test creates itself, and removes it afterwards.

    A `TestArtifactTracker`: ``track_file``, ``track_directory``, ``track_container``,
    ``track_network``, ``track_volume``, ``track_image``, ``track_process``; ``create_container``,
    ``create_network``, ``create_volume``, ``start_process`` create and track. What existed before
    stays. ``--dockwright-keep-failed`` keeps what the first failed test created.
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
    _report_kept(item, tracker.kept)


@contextmanager
def _failing_with_reason(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail the test with the reason alone if a fixture cannot be set up as requested."""
    try:
        yield
    except (DockwrightError, TypeError, ValueError) as error:
        reason = f"{request.node.nodeid}: {request.fixturename}: {error}"
    else:
        return
    pytest.fail(reason, pytrace=False)  # outside, so that the report shows no chain of errors


def _watched(request: pytest.FixtureRequest) -> pytest.Item:
    """Return the test, and note from now on whether it fails."""
    request.config.pluginmanager.import_plugin("dockwright.pytest_plugin.failures")
    item: pytest.Item = request.node
    return item


def _keeps(item: pytest.Item) -> bool:
    """Return whether to keep what the test created: of the first failed test, if requested."""
    run = run_of(item.config)
    if not run.settings.keep_failed or not item.stash.get(FAILED, False):
        return False
    run.first_failed = run.first_failed or item.nodeid
    return run.first_failed == item.nodeid


def _report_kept(item: pytest.Item, kept: str) -> None:
    if kept:
        item.add_report_section("teardown", "dockwright", kept)


def _acquire(run: Run, requirement: Requirement) -> Lease:
    requirement = replace(requirement, sticky=run.settings.sticky)
    try:
        return run.acquire(requirement)
    except Exception as error:  # noqa: BLE001 - the reason is enough, whoever raised it
        reason = run.in_full_once(explained(error), requirement.holder)
    pytest.fail(reason, pytrace=False)  # outside, so that the report shows no chain of errors
