"""A start that succeeds or changes nothing: old containers are set aside until it has succeeded."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from dockwright.engine import parallel
from dockwright.errors import (
    ConflictError,
    DockwrightError,
    EngineError,
    PortInUseError,
    StackError,
)
from dockwright.stack.create import require_runnable
from dockwright.stack.graph import entangled
from dockwright.stack.naming import (
    COMPOSE_CONFIG_HASH,
    COMPOSE_SERVICE,
    SET_ASIDE,
    config_hash,
    is_set_aside,
)
from dockwright.stack.native import StartedProcess, kill_processes, marked_processes
from dockwright.stack.start import Listener, StartProgress

if TYPE_CHECKING:
    from dockwright.stack.stack import Stack

_LOG_LINES = 20


def start_whole(
    stack: Stack,
    units: Iterable[str] | None = None,
    *,
    listener: Listener,
    remove_orphans: bool = False,
) -> None:
    """Start a long-lived stack: leave what runs unchanged, replace what is outdated.

    A container is outdated when its service's configuration or its image has changed since it was
    made; its successor gets its volumes.

    Args:
        stack: an attached stack.
        units: the services and processes to start, with what they depend on; None: all.
        listener: called with each event, from several threads.
        remove_orphans: whether containers of services that are not declared go, before anything
            starts: they may hold a name or a host port.

    Raises:
        DockwrightError: it failed or was cancelled (`Stack.cancel`). What it had created is removed
            and what it had replaced is back.
    """
    names = stack.graph.ordered() if units is None else stack.known_with_dependencies(units)
    restore_set_aside(stack)  # a start that was killed could not do it itself
    before = _Existing.of(stack)
    try:
        services = [name for name in names if name in stack.spec.services]
        require_runnable(stack.spec, services, stack.engine)
        if remove_orphans:
            parallel.run([partial(_set_container_aside, stack, each) for each in _orphans(stack)])
        _set_aside(stack, _outdated(stack, names, before, listener))
        stack.start(names, listener=listener)
        _check_still_up(stack, names)
    except BaseException as failure:
        problems = _undo(stack, before)
        if problems:
            raise BaseExceptionGroup(
                "the start failed, and not all of it could be undone", [failure, *problems]
            ) from None
        if isinstance(failure, ConflictError | PortInUseError):
            raise _explained(stack, failure) from failure
        raise
    parallel.run(
        [
            partial(
                stack.engine.remove_container, each.id, volumes=each.service in stack.spec.services
            )
            for each in _kept_aside(stack).values()
        ]
    )


def _explained(stack: Stack, failure: ConflictError | PortInUseError) -> EngineError:
    """Return the error for a name or port that is taken; it may be an orphan that has it."""
    words = set(re.findall(r"[\w.-]+", failure.message))
    for orphan in _orphans(stack):
        if words & {orphan.name, *orphan.host_ports}:
            return type(failure)(
                failure.message,
                hint=f"container {orphan.name} uses it: it belongs to service {orphan.service}, "
                "which this project no longer declares; `dockwright stack update --remove-orphans` "
                "removes it first",
            )
    return failure


def _orphans(stack: Stack) -> list[_Container]:
    """Return the containers of services that the project no longer declares."""
    found = _containers(stack)
    return [
        each
        for each in found
        if each.service not in stack.spec.services and not is_set_aside(each.name)
    ]


def _set_container_aside(stack: Stack, container: _Container) -> None:
    stack.engine.stop_container(container.id)
    stack.engine.rename_container(container.id, container.name + SET_ASIDE)


def _check_still_up(stack: Stack, names: Sequence[str]) -> None:
    """Notice what had no health check and has crashed while others were awaited.

    Raises:
        StackError: a container has exited with an error.
    """
    down = {each.id for each in _containers(stack) if not each.running}
    for name in names:
        if stack.containers.get(name) not in down:
            continue
        code = stack.engine.inspect_container(stack.container(name))["State"]["ExitCode"]
        if code != 0:
            lines = "".join(f"\n    {line}" for line in stack.last_lines(name, _LOG_LINES))
            raise StackError(
                f"stack {stack.spec.name}: {name} has exited with code {code} right after its start"
                f"\n  last log lines:{lines or ' none'}"
            )


@dataclass(frozen=True, slots=True)
class _Container:
    """A container as the engine's list has it."""

    id: str
    name: str
    service: str
    running: bool
    image: str
    config_hash: str
    host_ports: frozenset[str]

    @classmethod
    def read(cls, listed: Mapping[str, Any]) -> _Container:
        return cls(
            id=listed["Id"],
            name=listed["Names"][0].lstrip("/"),
            service=listed["Labels"][COMPOSE_SERVICE],
            running=listed["State"] == "running",
            image=listed["ImageID"].removeprefix("sha256:"),
            config_hash=listed["Labels"].get(COMPOSE_CONFIG_HASH, ""),
            host_ports=frozenset(
                str(port["PublicPort"]) for port in listed["Ports"] or () if "PublicPort" in port
            ),
        )


@dataclass(frozen=True, slots=True)
class _Existing:
    """What there is of one copy at one moment."""

    containers: Mapping[str, _Container]
    networks: frozenset[str]
    volumes: frozenset[str]
    processes: Mapping[int, StartedProcess | None]

    @classmethod
    def of(cls, stack: Stack) -> _Existing:
        labels = stack.identity.selector()
        marked = marked_processes(stack.identity.project) if stack.processes else []
        return cls(
            containers={each.id: each for each in _containers(stack)},
            networks=frozenset(each["Id"] for each in stack.engine.list_networks(labels)),
            volumes=frozenset(each["Name"] for each in stack.engine.list_volumes(labels)),
            processes={
                each.process.pid: StartedProcess.of(each) if each.is_leader else None
                for each in marked
            },
        )


def _containers(stack: Stack) -> list[_Container]:
    listed = stack.engine.list_containers(stack.identity.selector())
    return [_Container.read(each) for each in listed if each["Names"]]


def _kept_aside(stack: Stack) -> dict[str, _Container]:
    return {each.id: each for each in _containers(stack) if is_set_aside(each.name)}


def _outdated(
    stack: Stack, names: Sequence[str], before: _Existing, listener: Listener
) -> set[str]:
    existing = [name for name in names if name in stack.containers]
    progress = StartProgress(listener)
    parallel.run([partial(stack.ensure_image, name, progress) for name in existing])
    changed = {
        name
        for name in existing
        if _differs(stack, name, before.containers[stack.containers[name]])
    }
    # What lives in a namespace of a container cannot outlive it.
    replaced = entangled(stack.spec, changed, by_volume=False) & set(stack.containers)
    return replaced | {
        name for name in names if name in stack.processes and stack.processes[name].outdated
    }


def _differs(stack: Stack, service: str, container: _Container) -> bool:
    image = stack.ready_images[service].id.removeprefix("sha256:")
    return container.image != image or container.config_hash != config_hash(stack.spec, service)


def _set_aside(stack: Stack, units: set[str]) -> None:
    """Stop units, and rename their containers, so that new ones can have their names."""
    stack.stop(units | stack.graph.restarted_with(units))
    for name in units & set(stack.containers):
        container = stack.containers.pop(name)
        stack.engine.rename_container(container, stack.container_name(name) + SET_ASIDE)


def restore_set_aside(stack: Stack) -> list[str]:
    """Put the containers that were set aside back in the place of their successors.

    Returns:
        Their services. They do not run.
    """
    kept = _kept_aside(stack)
    services = {each.service for each in kept.values()}
    for container in _containers(stack):
        if container.service in services and container.id not in kept:
            stack.engine.remove_container(container.id)
    for container in kept.values():
        stack.engine.rename_container(container.id, container.name.removesuffix(SET_ASIDE))
    stack.attach()
    return sorted(services)


def _undo(stack: Stack, before: _Existing) -> list[Exception]:
    """Bring everything back to what it was; return what went wrong with that."""
    steps: tuple[Callable[[Stack, _Existing], None], ...] = (
        _remove_new_processes,
        _remove_new_containers,
        _run_what_ran,
        _start_old_processes,
        _remove_new_networks_and_volumes,
    )
    problems: list[Exception] = []
    for step in steps:
        try:
            step(stack, before)
        except (DockwrightError, ExceptionGroup) as problem:
            problems.append(problem)
    return problems


def _remove_new_processes(stack: Stack, before: _Existing) -> None:
    marked = marked_processes(stack.identity.project) if stack.processes else []
    kill_processes(each.process for each in marked if each.process.pid not in before.processes)


def _remove_new_containers(stack: Stack, before: _Existing) -> None:
    new = [each.id for each in _containers(stack) if each.id not in before.containers]
    parallel.run([partial(stack.engine.remove_container, each) for each in new])
    restore_set_aside(stack)


def _run_what_ran(stack: Stack, before: _Existing) -> None:
    now = _containers(stack)
    ran = {key for key, each in before.containers.items() if each.running}
    stack.stop({each.service for each in now if each.running and each.id not in ran})
    for container in now:
        if not container.running and container.id in ran:
            stack.engine.start_container(container.id)


def _start_old_processes(stack: Stack, before: _Existing) -> None:
    """Start the native processes that were stopped, as they had been started."""
    if any(before.processes.values()):
        running = {each.process.pid for each in marked_processes(stack.identity.project)}
        for pid, started in before.processes.items():
            if started is not None and pid not in running:
                started.start()


def _remove_new_networks_and_volumes(stack: Stack, before: _Existing) -> None:
    now = _Existing.of(stack)
    networks, volumes = now.networks - before.networks, now.volumes - before.volumes
    parallel.run(
        [partial(stack.engine.remove_network, each) for each in networks]
        + [partial(stack.engine.remove_volume, each) for each in volumes]
    )
