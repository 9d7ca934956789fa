"""Services stopped, started and restarted for a while, and brought back to what they were."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Self

from dockwright.errors import DockwrightError
from dockwright.stack import COMPOSE_PROJECT

if TYPE_CHECKING:
    from dockwright.pool import LeasedStack
    from dockwright.resources.project import ComposeProject
    from dockwright.stack import Stack


@dataclass(frozen=True, slots=True)
class _States:
    """Which units ran, which were paused, and which existed, at one moment."""

    running: frozenset[str]
    paused: frozenset[str]
    existing: frozenset[str]


class StackServiceManager:
    """Stops and starts services and native processes of a stack; a block puts them back.

    ``with manager:`` remembers what runs and what is paused. At its end that holds again: what
    was stopped in it is started and awaited until it is ready, what was started in it is stopped.
    Blocks may be nested, also of the same manager: each goes back to its own beginning.

    Args:
        stack: what the ``stack`` fixture gives, a `Stack`, or a `ComposeProject` that somebody else
            started.
        services: the services and native processes to manage; None: all.
    """

    def __init__(
        self, stack: LeasedStack | Stack | ComposeProject, services: Iterable[str] | None = None
    ) -> None:
        # Asked each time: a lease may have ended meanwhile, or a project changed.
        self._stack: Callable[[], Stack] = _opener(stack)
        self._units = self._stack().known(None if services is None else list(services))
        self._before: list[_States] = []

    def __enter__(self) -> Self:
        self._before.append(self._look())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        before = self._before.pop()
        try:
            self._bring_back(before)
        except (DockwrightError, ExceptionGroup) as failure:
            if error is None:
                raise
            error.add_note(f"the services could not be brought back to what they were: {failure}")

    @property
    def services(self) -> tuple[str, ...]:
        """The names of the services and native processes that it manages."""
        return tuple(self._units)

    @property
    def running(self) -> frozenset[str]:
        """Those of them that run now."""
        return self._look().running

    def start(self, *services: str) -> None:
        """Start services (none: all), with what they depend on, and wait until they are ready."""
        self._stack().start(self._chosen(services))

    def stop(self, *services: str) -> None:
        """Stop services (none: all), dependents first, with their own stop signal and grace."""
        self._stack().stop(self._chosen(services))

    def kill(self, *services: str) -> None:
        """Kill services (none: all) at once, as a crash would."""
        self._stack().kill(self._chosen(services))

    def restart(self, *services: str) -> None:
        """Stop services (none: all), start them again, and wait until they are ready."""
        self._stack().restart(self._chosen(services))

    @contextmanager
    def stopped(self, *services: str) -> Iterator[Self]:
        """Keep services (none: all) stopped for a block; afterwards their former state returns."""
        with self:
            self.stop(*services)
            yield self

    @contextmanager
    def started(self, *services: str) -> Iterator[Self]:
        """Keep services (none: all) running for a block; afterwards their former state returns."""
        with self:
            self.start(*services)
            yield self

    def _chosen(self, services: Iterable[str]) -> list[str]:
        names = list(services)
        return self._stack().known(names) if names else list(self._units)

    def _look(self) -> _States:
        stack = self._stack()
        labels = {COMPOSE_PROJECT: stack.identity.project}
        states = {each["Id"]: each["State"] for each in stack.engine.list_containers(labels)}
        found = {
            name: states[stack.containers[name]]
            for name in self._units
            if stack.containers.get(name) in states
        }
        processes = {
            name
            for name in self._units
            if name in stack.processes and stack.processes[name].running
        }
        running = {name for name, state in found.items() if state in ("running", "restarting")}
        return _States(
            running=frozenset(running | processes),
            paused=frozenset(name for name, state in found.items() if state == "paused"),
            existing=frozenset(found),
        )

    def _bring_back(self, before: _States) -> None:
        stack, now = self._stack(), self._look()
        wanted = before.running | before.paused
        for name in now.paused - before.paused:
            stack.engine.unpause_container(stack.container(name))
        stack.stop((now.running | now.paused) - wanted)
        down = wanted - now.running - now.paused
        removed = {name for name in down if name in stack.containers and name not in now.existing}
        for name in removed:
            del stack.containers[name]  # somebody removed it behind our back: a new one is made
        if removed:
            stack.start(removed)
        stack.launch(down - removed)
        for name in before.paused - now.paused:
            stack.engine.pause_container(stack.container(name))


def _opener(stack: LeasedStack | Stack | ComposeProject) -> Callable[[], Stack]:
    from dockwright.stack import Stack

    if isinstance(stack, Stack):
        return lambda: stack
    return stack.unwrap
