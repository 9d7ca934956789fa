"""The fixtures that a suite asks for: ``stack``, ``stack_factory`` and ``docker_client``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from dockwright.errors import DockwrightError
from dockwright.markers import requirement_of
from dockwright.run import FAILED, LEASES, RUN, Run

if TYPE_CHECKING:
    import docker

    from dockwright.held import StackFactory
    from dockwright.model import Requirement
    from dockwright.pool import Lease, LeasedStack


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
            self._run.session.release(lease, failed=requirement in self._failed)


@pytest.fixture(scope="module")
def _dockwright_module_leases(request: pytest.FixtureRequest) -> Iterator[ModuleLeases]:
    leases = ModuleLeases(request.config.stash[RUN])
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
    run = request.config.stash[RUN]
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
        run.session.release(lease, failed=item.stash.get(FAILED, False))


@pytest.fixture(scope="session")
def stack_factory(request: pytest.FixtureRequest) -> Iterator[StackFactory]:
    """Lease stacks to fixtures of your own, of any scope.

    ``with stack_factory.lease("mail", exclusive=False) as stack: ...`` gives a `LeasedStack`, as
    the ``stack`` fixture does. What is still leased at the end of the session is released, with a
    warning.
    """
    from dockwright.held import StackFactory

    factory = StackFactory(request.config.stash[RUN])
    yield factory
    factory.close()


@pytest.fixture(scope="session")
def docker_client(request: pytest.FixtureRequest) -> docker.DockerClient:
    """Return the Docker SDK's client for the engine that the stacks run on."""
    try:
        return request.config.stash[RUN].session.engine().sdk
    except DockwrightError as error:
        reason = str(error)
    pytest.fail(reason, pytrace=False)  # outside, so that the report shows no chain of errors


def _acquire(run: Run, requirement: Requirement) -> Lease:
    try:
        return run.session.acquire(requirement)
    except DockwrightError as error:
        reason = str(error)
    pytest.fail(reason, pytrace=False)  # outside, so that the report shows no chain of errors
