"""Which service waits for which: the dependency graph of one stack (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from graphlib import TopologicalSorter

from dockwright.model import Dependency, StackSpec
from dockwright.stack.mounts import volume_entries

# What a container body names of another container; the other one must exist first.
_CREATION_KEYS = ("network_mode", "pid", "ipc", "uts")


@dataclass(frozen=True, slots=True)
class Graph:
    """The units of a stack (services and native processes) with what each one waits for."""

    dependencies: Mapping[str, tuple[Dependency, ...]]

    @classmethod
    def of(cls, spec: StackSpec) -> Graph:
        """Build the graph of `spec`; dependencies on units that are not enabled are left out."""
        declared = {name: service.depends_on for name, service in spec.services.items()}
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
        """Tell whether another unit waits for `name` to have exited with 0."""
        return any(
            each.service == name and each.condition == "service_completed_successfully"
            for after in self.dependencies.values()
            for each in after
        )


def creation_waves(spec: StackSpec) -> list[list[str]]:
    """Return the services in waves: a container can be created once those before it exist."""
    sorter = TopologicalSorter(
        {name: _creation_needs(service.config, spec) for name, service in spec.services.items()}
    )
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
            for name, service in spec.services.items()
            if name not in found
            and (
                volumes & _volume_keys(spec, name) or found & _creation_needs(service.config, spec)
            )
        }
        found |= more
        grown = bool(more)
    return found


def _volume_keys(spec: StackSpec, name: str) -> set[str]:
    if name not in spec.services:
        return set()
    return {
        str(entry["source"])
        for entry in volume_entries(spec.services[name])
        if entry["type"] == "volume" and entry.get("source")
    }


def _waves(sorter: TopologicalSorter[str]) -> Iterator[list[str]]:
    sorter.prepare()
    while sorter.is_active():
        wave = sorted(sorter.get_ready())
        yield wave
        sorter.done(*wave)


def _creation_needs(config: Mapping[str, object], spec: StackSpec) -> set[str]:
    texts = [config.get(key) for key in _CREATION_KEYS]
    needs = {
        text.removeprefix("service:")
        for text in texts
        if isinstance(text, str) and text.startswith("service:")
    }
    for key in ("volumes_from", "links"):
        entries = config.get(key) or ()
        if isinstance(entries, (list, tuple)):
            needs |= {entry.split(":")[0] for entry in entries if isinstance(entry, str)}
    return needs & set(spec.services)
