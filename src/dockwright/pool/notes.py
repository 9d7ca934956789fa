"""What the pool notes of its copies, for the run's record: where their time went."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from dockwright.measure import Journal, RunningCopy
from dockwright.pool.advice import Advice
from dockwright.pool.copies import Copy
from dockwright.pool.lease import Lease
from dockwright.stack import Listener, UnitEvent


class Notes:
    """Keeps the journal of the pool's copies.

    Args:
        journal: takes what happened to each copy.
        look: is called with a copy whose containers are about to go: its last chance.
        advice: takes what cost time without need.
    """

    def __init__(
        self,
        journal: Journal | None = None,
        look: Callable[[RunningCopy], None] = lambda _: None,
        advice: Advice | None = None,
    ) -> None:
        self._journal = journal or Journal()
        self._look = look
        self._advice = advice or Advice()

    def made(self, copy: Copy) -> None:
        """Note that a copy is about to be started."""
        project = copy.stack.identity.project
        self._journal.knows(project, copy.stack.identity.ownership.stack)
        copy.baseline.tell = partial(self._reset_service, copy)

    def waits_of(self, copy: Copy) -> Listener:
        """Return a listener of a copy's start, which notes how long each service was awaited."""
        project, since = copy.stack.identity.project, dict[str, float]()

        def listen(event: UnitEvent) -> None:
            if event.state == "wait":
                since[event.unit] = time.monotonic()
            elif event.state in ("ready", "failed") and event.unit in since:
                began = since.pop(event.unit)
                self._journal.add(project, "wait", event.unit, began, time.monotonic() - began)

        return listen

    def _reset_service(
        self, copy: Copy, service: str, manner: str, why: str, began: float, seconds: float
    ) -> None:
        identity, spec = copy.stack.identity, copy.stack.spec
        stack = identity.ownership.stack
        label = f"{service}: {manner}" + (f" ({why})" if why else "")
        self._journal.add(identity.project, "reset", label, began, seconds)
        unasked = service in spec.services and spec.services[service].reset is None
        if manner == "recreate" and service in copy.baseline.gave_way:
            self._advice.replaced_after_all(stack, service, seconds)
        elif manner == "recreate" and unasked:
            self._advice.replaced(stack, service, began, seconds)
        if why:
            self._advice.differed(stack, service, why, seconds)

    def usable(self, copy: Copy) -> None:
        """Note that the start of a copy is over: it can be leased, or it failed."""
        began = copy.made_s
        identity = copy.stack.identity
        self._journal.add(identity.project, "start", "", began, time.monotonic() - began)
        for service, why in copy.baseline.gave_way.items():
            self._advice.gave_way(identity.ownership.stack, service, why)

    def released(self, lease: Lease) -> None:
        """Note that a lease has ended."""
        client, _, holder = lease.requirement.holder.partition(" ")
        began = lease.since_s
        self._journal.add(
            lease.stack.identity.project, "lease", holder or client, began, time.monotonic() - began
        )

    @contextmanager
    def resetting(self, copy: Copy) -> Iterator[None]:
        """Note the time of a reset, after a look at the containers that it may replace."""
        self._look(living(copy))
        project = copy.stack.identity.project
        with self._journal.noted(project, "reset"):
            yield

    @contextmanager
    def removing(self, copy: Copy) -> Iterator[None]:
        """Note the time of a removal, after a last look."""
        self._look(living(copy))
        with self._journal.noted(copy.stack.identity.project, "cleanup"):
            yield


def living(copy: Copy) -> RunningCopy:
    """Return what of a copy uses the machine now."""
    stack = copy.stack
    processes = {name: each.pid for name, each in stack.processes.items()}
    return RunningCopy(
        stack.identity.project,
        dict(stack.containers),
        {name: pid for name, pid in processes.items() if pid is not None},
    )
