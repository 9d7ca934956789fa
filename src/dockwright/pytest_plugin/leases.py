"""Leases that outlive one test: those of ``stack_factory`` and of `pytest_docker`."""

from __future__ import annotations

import itertools
import traceback
import warnings
from collections.abc import Collection
from pathlib import Path
from types import TracebackType

from dockwright.errors import DockwrightError, LeaseClosedError, UnknownServiceError, UsageError
from dockwright.model import Requirement
from dockwright.pool import LeasedStack
from dockwright.pytest_plugin.announced import STACK_FACTORY, Announcement
from dockwright.pytest_plugin.markers import wrong_services
from dockwright.pytest_plugin.run import HeldLease, Run
from dockwright.settings import DEFAULT_STACK, selection


def acquire_shared(run: Run, requirement: Requirement, fixture: str) -> HeldLease:
    """Lease a stack for more than one test; see `RunSession.acquire` for what is raised."""
    held = HeldLease(run.acquire(requirement), fixture)
    run.held.append(held)
    return held


def release(run: Run, held: HeldLease, *, keep: str = "") -> None:
    """End a lease that `acquire_shared` returned."""
    run.held.remove(held)
    run.release(held.lease, failed=held.failed, keep=keep)


class StackLease:
    """A stack leased by a fixture: a context manager, or closed by hand.

    Attributes:
        holder: the fixture that acquired it.
    """

    def __init__(self, run: Run, held: HeldLease, holder: str) -> None:
        self.holder = holder
        self._run = run
        self._held: HeldLease | None = held

    def __repr__(self) -> str:
        return f"<lease of {self.holder}{'' if self._held else ' (closed)'}>"

    def __enter__(self) -> LeasedStack:
        return self.stack

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def stack(self) -> LeasedStack:
        """The stack, as the ``stack`` fixture gives it.

        Raises:
            LeaseClosedError: the lease has ended.
        """
        return self._open().lease.leased

    def _open(self) -> HeldLease:
        if self._held is None:
            raise LeaseClosedError(
                f"the lease of {self.holder} was used after it was closed",
                hint="yield inside of `with stack_factory.lease(...)`",
            )
        return self._held

    @property
    def closed(self) -> bool:
        """Whether it has ended."""
        return self._held is None

    def reset(self) -> None:
        """Bring the stack back to its baseline; the lease goes on, and so do its addresses.

        Services that a reset has to replace cut off their clients: a ``dockwright_reset`` hook in
        your ``conftest.py`` gets their names.

        Raises:
            LeaseClosedError: the lease has ended.
            UsageError: the lease is shared with other tests.
            StackBrokenError: the reset failed.
        """
        held = self._open()
        self._run.reset(held.lease)
        held.used = False

    def close(self) -> None:
        """End the lease: an exclusively leased stack is reset in the background. Idempotent."""
        if self._held is not None:
            held, self._held = self._held, None
            try:
                if self._run.auditor is not None and held.lease.requirement.audited:
                    self._run.auditor.fixture_ends(held.lease, self.holder)
            finally:
                release(self._run, held)


class StackFactory:
    """Leases stacks to fixtures of any scope; see the ``stack_factory`` fixture."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._leases: list[StackLease] = []
        self._numbers = itertools.count(1)
        self._closed = False

    def lease(
        self,
        name: str = DEFAULT_STACK,
        *,
        services: Collection[str] | None = None,
        exclusive: bool = True,
        sticky: bool | None = None,
    ) -> StackLease:
        """Wait for a stack and lease it.

        Args:
            name: of the declared stack.
            services: the services to start, with what they depend on; None: all.
            exclusive: False: for reading only, shared with other readers.
            sticky: True: the copy that this worker had in its last sticky lease; default:
                ``dockwright_sticky``.

        Returns:
            The lease; its ``with`` statement returns its `stack`.

        Raises:
            UnknownServiceError: no stack of that name is declared; lists the declared ones.
            LeaseClosedError: the test session is over.
            UsageError: `services` is not a list of names.
            DockwrightError: the stack cannot be started, or none became free in time.
        """
        __tracebackhide__ = True
        if self._closed:
            raise LeaseClosedError("stack_factory was used after the end of the test session")
        known = self._run.session.stack_names
        if name not in known:
            raise UnknownServiceError(
                f"stack_factory: no stack {name!r} is declared",
                hint=f"the stacks are: {', '.join(known)}; "
                "declare more with dockwright_stacks = ['NAME=FILE']",
            )
        if services is not None:
            if wrong := wrong_services(services):
                raise UsageError(f"stack_factory.lease: {wrong[0]}", hint=wrong[1])
            name = selection(name, services)
        caller = traceback.extract_stack(limit=2)[0]
        holder = f"{caller.name} ({Path(caller.filename).name}:{caller.lineno})"
        # The number distinguishes leases that the same line acquires.
        requirement = Requirement(
            name,
            exclusive,
            "session",
            f"{holder} #{next(self._numbers)}",
            sticky=self._run.settings.sticky if sticky is None else sticky,
            audited=self._run.settings.audited and not exclusive,
        )
        try:
            held = acquire_shared(self._run, requirement, "stack_factory")
        except DockwrightError as error:
            raise error.with_traceback(None) from None  # what matters is the caller's line
        self._run.leased.add(Announcement(STACK_FACTORY, caller.name, name))
        lease = StackLease(self._run, held, holder)
        self._leases.append(lease)
        if self._run.auditor is not None and requirement.audited:
            self._run.auditor.lease_begins(held.lease)
        return lease

    def close(self) -> None:
        """End all leases, with a warning for each that was left open."""
        self._closed = True
        for lease in reversed(self._leases):
            if not lease.closed:
                lease.close()
                warnings.warn(
                    f"dockwright: the lease of {lease.holder} was never closed: "
                    "use `with stack_factory.lease(...)` or call close()",
                    stacklevel=2,
                )
