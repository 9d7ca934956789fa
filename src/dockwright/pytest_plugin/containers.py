"""Leases single containers of other tools for what is running: ``dockwright_compat``.

`dockwright.pytest_plugin.plugin` registers it where it is asked for. What is changed in
testcontainers and pytest-databases is in `dockwright.compat`.
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from dockwright.pytest_plugin.ahead import LastNeeds
from dockwright.pytest_plugin.run import (
    FAILED,
    LEASES,
    RUN,
    HeldLease,
    Run,
    only_distributes,
    only_shows,
    surviving,
    workers_of,
)

if TYPE_CHECKING:
    from dockwright.model import Requirement
    from dockwright.pool import Lease
    from dockwright.pool.session import RunSession
    from dockwright.stack.host_ports import PortMode


_NEEDS = "containers"


@dataclass(slots=True)
class _Running:
    """What runs: a fixture that is being set up, and the test that asked for it."""

    fixture: str
    wide: bool


class Containers:
    """The test run as `dockwright.compat` sees it.

    Args:
        config: of this process.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._item: pytest.Item | None = None
        self._fixtures: list[_Running] = []
        self._held: dict[int, HeldLease] = {}
        self._items: dict[int, pytest.Item] = {}
        self._needed: dict[str, str] = {}
        self._ahead: threading.Thread | None = None
        self._over = False

    # -- hooks -------------------------------------------------------------------------------

    def pytest_sessionstart(self, session: pytest.Session) -> None:
        """Start what the last run of the same arguments leased, while pytest collects."""
        if only_shows(session.config) or only_distributes(session.config):
            return
        with surviving(session.config, "start containers before the tests are collected"):
            needed = [each.partition("=") for each in LastNeeds(session.config, _NEEDS).read()]
            files = {name: Path(file) for name, _, file in needed if Path(file).exists()}
            if files:
                self._ahead = threading.Thread(
                    target=self._start_ahead,
                    args=(self.session, files),
                    name="dockwright-containers-ahead",
                    daemon=True,
                )
                self._ahead.start()

    def _start_ahead(self, session: RunSession, files: dict[str, Path]) -> None:
        from dockwright.compat.adapter import declare

        for name, file in files.items():
            declare(session, name, file)
        session.prepare(dict.fromkeys(files, 0))

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Note which test runs."""
        self._item = item
        try:
            return (yield)
        finally:
            self._item = None

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[Any]
    ) -> Generator[None, object, object]:
        """Note which fixture is set up."""
        __tracebackhide__ = True
        self._fixtures.append(_Running(fixturedef.argname, fixturedef.scope != "function"))
        try:
            return (yield)
        finally:
            self._fixtures.pop()

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """End nothing any more: leases that are left end with the session."""
        self._over = True
        if self._ahead is not None:
            self._ahead.join()
        if only_shows(session.config) or only_distributes(session.config):
            return
        with surviving(session.config, "remember which containers were leased"):
            LastNeeds(session.config, _NEEDS).write(
                [f"{name}={file}" for name, file in self._needed.items()]
            )

    # -- what dockwright.compat asks for -------------------------------------------------------

    @property
    def _run(self) -> Run:
        return self._config.stash[RUN]

    @property
    def session(self) -> RunSession:
        """The session of this process."""
        return self._run.session

    @property
    def run_id(self) -> str:
        """The id of the run, the same in all its processes."""
        return self._run.id

    @property
    def root(self) -> Path:
        """The project's root directory."""
        return self._run.settings.root

    @property
    def ports(self) -> PortMode:
        """The host ports of Compose projects: as declared, if nobody else needs them."""
        return "preferred" if workers_of(self._config) == 1 else "free"

    def holder(self) -> str:
        """Return the fixture or test that is running, for messages."""
        if self._fixtures:
            return f"fixture {self._fixtures[-1].fixture}"
        if self._item is not None:
            return self._item.nodeid
        self.note(
            "a container was started before any test ran: each process of the run that does so "
            "waits for it; a fixture would start it where a test needs it"
        )
        return "collection"

    def acquire(self, requirement: Requirement) -> Lease:
        """Lease a stack for what is running, so that failures, logs and records know it."""
        lease = self._run.acquire(requirement)
        if self._fixtures and self._fixtures[-1].wide:
            held = HeldLease(lease, self._fixtures[-1].fixture)
            self._run.held.append(held)
            self._held[id(lease)] = held
        elif self._item is not None:
            self._item.stash.setdefault(LEASES, []).append(lease)
            self._items[id(lease)] = self._item
        return lease

    def release(self, lease: Lease) -> None:
        """End a lease that `acquire` returned; no-op after the end of the run."""
        held, item = self._held.pop(id(lease), None), self._items.pop(id(lease), None)
        failed = False
        if held is not None:
            self._run.held.remove(held)
            failed = held.failed
        if item is not None:
            item.stash[LEASES].remove(lease)
            failed = item.stash.get(FAILED, False)
        if not self._over:
            self._run.session.release(lease, failed=failed)

    def note(self, text: str) -> None:
        """Show a line at the end of the run, once."""
        self._run.note(text)

    def note_declared(self, name: str, file: Path) -> None:
        """Remember a declared stack, so that the next run can start it early."""
        self._needed[name] = str(file)


def register(config: pytest.Config, tools: Sequence[str]) -> None:
    """Have the containers of this process leased, from now on or when the tools are imported.

    Args:
        config: of this process.
        tools: whose containers; of `dockwright.compat.TOOLS`.
    """
    from dockwright.compat import change

    containers = Containers(config)
    config.pluginmanager.register(containers, "dockwright-containers")
    config.add_cleanup(change(tools, containers).uninstall)
