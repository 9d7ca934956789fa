"""The dependency graph of one stack: which service waits for which (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from graphlib import TopologicalSorter

from dockwright.model import Dependency, StackSpec
from dockwright.stack.naming import references


@dataclass(frozen=True, slots=True)
class Graph:
    """The units of a stack (services and native processes) with what each one waits for."""

    dependencies: Mapping[str, tuple[Dependency, ...]]

    @classmethod
    def of(cls, spec: StackSpec) -> Graph:
        """Build the graph of `spec`; dependencies on units that are not enabled are left out."""
        declared = {name: _dependencies(spec, name) for name in spec.services}
        declared |= {name: process.depends_on for name, process in spec.processes.items()}
        return cls(
            {
                name: tuple(each for each in after if each.service in declared)
                for name, after in declared.items()
            }
        )

    def ordered(self, only: Iterable[str] | None = None) -> list[str]:
        """Return the units, each after everything it depends on; `only` these, where given."""
        wanted = set(self.dependencies) if only is None else set(only)
        sorter = TopologicalSorter(
            {name: [each.service for each in after] for name, after in self.dependencies.items()}
        )
        return [name for name in sorter.static_order() if name in wanted]

    def waves(self, names: Iterable[str]) -> list[list[str]]:
        """Return `names` in waves: no unit depends on another of its wave or of a later one."""
        wanted = set(names)
        sorter = TopologicalSorter(
            {
                name: [each.service for each in self.dependencies[name] if each.service in wanted]
                for name in wanted
            }
        )
        return list(_waves(sorter))

    def with_dependencies(self, names: Iterable[str]) -> list[str]:
        """Return `names` and everything that they depend on, in start order."""
        found: set[str] = set()
        pending = list(names)
        while pending:
            name = pending.pop()
            if name not in found:
                found.add(name)
                pending.extend(each.service for each in self.dependencies[name])
        return self.ordered(found)

    def with_dependents(self, names: Iterable[str]) -> list[str]:
        """Return `names` and everything that depends on them, in start order."""
        found = set(names)
        for name in self.ordered():
            if any(each.service in found for each in self.dependencies[name]):
                found.add(name)
        return self.ordered(found)

    def restarted_with(self, names: Iterable[str]) -> set[str]:
        """Return the units that declare (``restart: true``) to restart when one of `names` does."""
        found = set(names)
        for name in self.ordered():
            if any(each.restart and each.service in found for each in self.dependencies[name]):
                found.add(name)
        return found - set(names)

    def awaited_to_completion(self, name: str) -> bool:
        """Return whether another unit waits for `name` to exit with 0."""
        return any(
            each.service == name and each.condition == "service_completed_successfully"
            for after in self.dependencies.values()
            for each in after
        )


def creation_waves(spec: StackSpec) -> list[list[str]]:
    """Return the services in waves: a container can be created once those before it exist."""
    sorter = TopologicalSorter({name: _creation_needs(spec, name) for name in spec.services})
    return list(_waves(sorter))


def entangled(spec: StackSpec, names: Iterable[str], *, by_volume: bool = True) -> set[str]:
    """Return `names` and the units that cannot outlive them.

    Those live in a namespace or the volumes of one of their containers, or (`by_volume`) share a
    named volume.
    """
    found = set(names)
    grown = True
    while grown:
        volumes = {key for name in found if by_volume for key in _volume_keys(spec, name)}
        more = {
            name
            for name in spec.services
            if name not in found
            and (volumes & _volume_keys(spec, name) or found & _creation_needs(spec, name))
        }
        found |= more
        grown = bool(more)
    return found


def _volume_keys(spec: StackSpec, name: str) -> set[str]:
    if name not in spec.services:
        return set()
    return {mount.source for mount in spec.services[name].mounts if mount.is_named_volume}


def _waves(sorter: TopologicalSorter[str]) -> Iterator[list[str]]:
    sorter.prepare()
    while sorter.is_active():
        wave = sorted(sorter.get_ready())
        yield wave
        sorter.done(*wave)


def _dependencies(spec: StackSpec, name: str) -> tuple[Dependency, ...]:
    """Return what a service waits for, including services whose namespace or volumes it shares."""
    declared = spec.services[name].depends_on
    known = {each.service for each in declared}
    shared = sorted(references(spec).needed_by(name) - known)
    return (*declared, *(Dependency(other, "service_started", restart=True) for other in shared))


def _creation_needs(spec: StackSpec, name: str) -> set[str]:
    """Return the services whose containers must exist before that of `name` can be created."""
    linked = {link.partition(":")[0] for link in spec.services[name].links}
    return (references(spec).needed_by(name) | linked) & set(spec.services)
