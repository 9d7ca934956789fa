"""The state that every exclusive lease of a copy starts from, and the way back to it."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeAlias

from dockwright.engine import Engine, parallel
from dockwright.errors import DockwrightError, StackBrokenError, StackError
from dockwright.model import Address, ServiceSpec, Trace
from dockwright.reset import STRATEGIES, Detected, Manner, ResetStrategy, choose
from dockwright.reset.base import is_untouched, variables
from dockwright.stack.graph import entangled
from dockwright.stack.stack import Stack
from dockwright.stack.surroundings import Surroundings
from dockwright.stack.vitals import Vitals

OnReset: TypeAlias = Callable[[str, str, str, float, float], None]
"""Called with a service, the manner of its reset, what differed, when it began, its seconds."""


_OFTEN = 3
"""A service that was changed after so many tests in a row is replaced without a look at it."""


class ServiceOfStack:
    """One service of a copy, as its strategy sees it (see `Resettable`)."""

    def __init__(self, stack: Stack, name: str, scratch: Path) -> None:
        self.spec: ServiceSpec = stack.spec.services[name]
        self.engine: Engine = stack.engine
        self.scratch = scratch
        self._stack = stack

    def container(self) -> str:
        """Return the id of its container now."""
        return self._stack.container(self.spec.name)

    def volumes(self) -> Mapping[str, str]:
        """Return the volumes that belong to this copy, by mount target."""
        return self._stack.volumes_of(self.spec.name)

    def layered(self) -> bool:
        """Return whether these volumes are layers: a new container has them as at the baseline."""
        return self._stack.layers.cover(self.spec.name)

    def restore_volumes(self) -> bool:
        """Fill the volumes of a new container from the cached baseline, unless they are layers."""
        return self.layered() or self._stack.layers.pour(self.spec.name)

    def address(self, port: int) -> Address:
        """Return the address that reaches its port from this process."""
        return self._stack.addresses.nearest(self.spec.name, port)

    def environments(self) -> Sequence[Mapping[str, str]]:
        """Return the variables of the copy's other services and native processes."""
        others = [each for name, each in self._stack.containers.items() if name != self.spec.name]
        found = parallel.run([partial(self.engine.inspect_container, each) for each in others])
        native = [each.environment for each in self._stack.spec.processes.values()]
        return [*(variables(each["Config"]) for each in found), *native]


@dataclass(frozen=True, slots=True)
class ServiceReset:
    """How one service comes back.

    Attributes:
        recognised: the servers that were found in it; empty: none.
        manner: how it comes back.
        why: why not in place, where a server was found, or that the Compose file says so.
        may_stay: whether it keeps its container after a test that left it as it was.
    """

    recognised: str
    manner: Manner
    why: str
    may_stay: bool = False


class Baseline:
    """Saves the state of one started stack and brings the stack back to it.

    Args:
        stack: a copy that is started.
        scratch: a directory for saved state; it is removed with the copy.
        seeded: whether a seed hook has put data into it, so that volumes must be restored.

    Attributes:
        on_reset: called for each service that was reset, with its name, the manner, what a test
            changed around it ("": nothing), when the reset began (monotonic clock) and how long it
            took, in seconds.
        doubted: the services that kept their containers although they were used: what they have
            in memory is unknown.

    Raises:
        ComposeError: a service declares a strategy that does not exist.
    """

    def __init__(self, stack: Stack, scratch: Path, *, seeded: bool = False) -> None:
        self._stack = stack
        self.on_reset: OnReset = lambda *_: None
        self.doubted: frozenset[str] = frozenset()
        self._seeded = seeded
        self._surroundings = Surroundings(stack)
        self._vitals = Vitals(stack)
        self._undone_in: set[str] = set()  # the services that the last reset undid in place
        self._stayed = True  # whether the last reset replaced no service that may stay
        self._unlike: Counter[str] = Counter()  # by service: resets in a row that found it changed
        otherwise = "volume" if seeded else None
        self._strategies: dict[str, ResetStrategy] = {
            name: choose(ServiceOfStack(stack, name, scratch), STRATEGIES, otherwise=otherwise)
            for name in stack.spec.services
        }

    @property
    def stays(self) -> bool:
        """Whether a reset leaves every container and process where it is."""
        processes = self._stack.spec.processes.values()
        replaced = [name for name in self._having("recreate") if not self._may_stay(name)]
        return self._stayed and not replaced and all(each.stateless for each in processes)

    @property
    def gave_way(self) -> dict[str, str]:
        """Which strategy could not work, and why, by the services that are recreated instead."""
        return {
            name: each.gave_way
            for name, each in self._strategies.items()
            if isinstance(each, Detected) and each.gave_way
        }

    @property
    def resets(self) -> dict[str, ServiceReset]:
        """How each service comes back, as the last `capture` found it."""
        return {name: self._reset_of(name, each) for name, each in self._strategies.items()}

    def _reset_of(self, name: str, strategy: ResetStrategy) -> ServiceReset:
        if isinstance(strategy, Detected):
            why, stays = strategy.gave_way or "", self._may_stay(name) and self._serves(name)
            return ServiceReset(strategy.found, strategy.manner, why, may_stay=stays)
        declared = self._stack.spec.services[name].reset
        return ServiceReset("", strategy.manner, f"declared: {declared}")

    def capture(self) -> None:
        """Save the state. Nothing may use the stack meanwhile.

        Raises:
            StackError: a strategy failed; the message names the service and the reason.
        """
        parallel.run([partial(self._capture, name) for name in self._strategies])
        self._await_dependents(self._having("in place"))  # a template ends its clients' sessions
        self._capture_surroundings(set(self._strategies))
        self._surroundings.settle()
        self._vitals.capture()
        self.doubted = frozenset()

    def intact(self) -> bool:
        """Return whether all containers still run as they did at the last `capture` or `reset`.

        Raises:
            EngineError: the engine does not answer.
        """
        return self._vitals.intact()

    def disturbed(self) -> list[Trace]:
        """Return the containers that do not run as they did, where `intact` said so.

        Raises:
            EngineError: the engine does not answer.
        """
        how = "stopped, started again, paused or removed"
        return [Trace("container", "", how, name) for name in self._vitals.disturbed()]

    def reset(self, *, thorough: bool = False, repeatable: bool = False) -> tuple[str, ...]:
        """Bring the stack back; it is ready when this returns.

        A service that nobody knows keeps its container if that is as at the baseline and nothing
        was sent to it since.

        Args:
            repeatable: whoever uses the stack next repeats what fails after a `renew`: a service
                whose state is likely to be in the databases that it uses stays as well, in doubt.
            thorough: something else may have changed its containers: check all of them, and start
                those that do not run.

        Returns:
            The units whose clients have lost their connections.

        Raises:
            DockwrightError: a strategy or a new container failed: the stack is broken.
        """
        thorough |= not self._vitals.intact()
        if thorough:
            self._vitals.await_engine()
        different = self._surroundings.outside(self._kept())
        if thorough:
            self._stack.revive(without=self._affected(different))
            different |= self._surroundings.outside(self._kept(without=different))
        cut = self._reset_kept(different, on_reset=self.on_reset)
        stay = set() if thorough else self._stay(different, cut, repeatable=repeatable)
        wanted = self._replaced(self._affected(different), stay=stay, thorough=thorough)
        replaced = self._replace(wanted, different, thorough=thorough)
        self._settle(cut, replaced)
        if thorough:
            self._vitals.capture()
        return tuple(sorted({*cut, *replaced}))

    def renew(self) -> tuple[str, ...]:
        """Give new containers to all services but those that are reset in place: no doubt is left.

        Returns:
            The units whose clients have lost their connections.

        Raises:
            DockwrightError: a new container failed: the stack is broken.
        """
        replaced = self._replace(self._replaced(set(), thorough=False), {}, thorough=False)
        self._settle(set(), replaced)
        return tuple(replaced)

    def heal(self) -> list[Trace]:
        """Undo what tests did that shared the stack, without replacing anything needlessly.

        A service that a reset would give a new container keeps its own, unless somebody entered
        it and changed something. What it wrote itself, it may keep.

        Returns:
            What was undone; what a service wrote itself, and keeps, is uncertain.

        Raises:
            DockwrightError: a strategy or a new container failed: the stack is broken.
        """
        different = self._surroundings.outside(self._strategies)
        with self._curious():
            cut = self._reset_kept(different, spare=is_untouched)
        others = self._having("recreate").difference(self._affected(different))
        different |= self._surroundings.inside(others)
        traces = [trace for name in self._strategies for trace in self._traces(name, different)]
        self._check_replaceable(different)
        replaced = self._replace(sorted(self._affected(different)), different, thorough=False)
        self._settle(cut, replaced, checked=True)
        return traces

    @contextmanager
    def _curious(self) -> Iterator[None]:
        """Have the strategies find out the names and numbers of what they undo inside."""
        able = [each for each in self._strategies.values() if hasattr(each, "curious")]
        for each in able:
            each.curious = True
        try:
            yield
        finally:
            for each in able:
                each.curious = False

    def _traces(self, name: str, different: Mapping[str, str]) -> list[Trace]:
        """Return what was changed in and around a service."""
        unknown = (Trace("data", "", "perhaps changed", certain=False),)
        undone = getattr(self._strategies[name], "undone", unknown)
        if name not in self._undone_in:
            undone = ()
        inside = self._surroundings.traces(name)
        if name in different and not any(each.certain for each in inside):
            inside = (*inside, Trace("container", "", different[name]))
        return [replace(each, service=name) for each in (*undone, *inside)]

    def close(self) -> None:
        """Close what the strategies hold open."""
        self._surroundings.close()
        for strategy in self._strategies.values():
            strategy.close()

    def _reset_kept(
        self,
        different: dict[str, str],
        *,
        on_reset: OnReset = lambda *_: None,
        spare: Callable[[ResetStrategy], bool] = lambda _: False,
    ) -> set[str]:
        """Reset in place what can be; return the services whose clients lost their connections.

        Args:
            different: the services whose containers differ, in words; others are added.
            on_reset: called for each service (see `Baseline`).
            spare: whether a service needs no reset, since its strategy is sure.
        """
        different |= self._surroundings.inside(self._kept(without=different, knowing=True))
        in_place = [
            name
            for name in self._kept(without=different)
            if self._manner(name) == "in place" and not spare(self._strategies[name])
        ]
        self._undone_in = set(in_place)
        lost = parallel.run([partial(self._reset_in_place, name, on_reset) for name in in_place])
        # Only after a command has run is it known what it restores and what it leaves.
        different |= self._surroundings.inside(self._kept(without=different, knowing=False))
        self._check_replaceable(different)
        return {name for name, lost_clients in zip(in_place, lost, strict=True) if lost_clients}

    def _settle(self, cut: set[str], replaced: list[str], *, checked: bool = False) -> None:
        """Wait until everything serves again, and remember what new containers are like."""
        self._await_dependents({*cut, *replaced})
        self._capture_surroundings(set(replaced))
        self._surroundings.settle(checked=checked)
        if replaced:
            self._vitals.capture()

    def _capture(self, name: str) -> None:
        try:
            self._strategies[name].capture()
        except DockwrightError as failure:
            declared = self._stack.spec.services[name].reset
            why = f"reset: {declared}" if declared else "found by what runs in it"
            raise StackError(
                f"service {name}: its state cannot be saved ({why}): {failure.message}",
                hint=failure.hint
                or "another strategy may fit: `x-dockwright: {reset: recreate}` or "
                "`{reset: volume}` in the Compose file",
            ) from failure

    def _capture_surroundings(self, names: set[str]) -> None:
        services = names.intersection(self._strategies)
        self._surroundings.capture({name: self._owns(name) for name in services})

    def _owns(self, name: str) -> re.Pattern[str] | None:
        owns: re.Pattern[str] | None = getattr(self._strategies[name], "owns", None)
        return owns

    def _kept(self, *, without: Iterable[str] = (), knowing: bool | None = None) -> list[str]:
        """Return the services whose containers a reset keeps.

        Args:
            without: services that are to be replaced, and with them what depends on them.
            knowing: only those whose strategy knows (or does not know) what the service keeps.
        """
        affected = self._affected(without)
        return [
            name
            for name in self._strategies
            if self._manner(name) != "recreate"
            and name not in affected
            and knowing in (None, self._owns(name) is not None)
        ]

    def _affected(self, different: Iterable[str]) -> set[str]:
        """Return the services to replace where some differ: also those that depend on them."""
        different = set(different)
        if not different:
            return set()
        services = self._stack.spec.services
        grown = entangled(self._stack.spec, self._stack.graph.with_dependents(different))
        return {name for name in self._stack.graph.with_dependents(grown) if name in services}

    def _check_replaceable(self, different: Mapping[str, str]) -> None:
        """Refuse to recreate services with data that only a seed hook can restore.

        Raises:
            StackBrokenError: some differ, in a copy that was seeded.
        """
        layers = self._stack.layers
        seeded = [name for name in self._affected(different) if not layers.cover(name)]
        if self._seeded and seeded:
            raise StackBrokenError(
                "; ".join(f"service {name}: {why}" for name, why in different.items())
            )

    def _replace(
        self, names: list[str], different: Mapping[str, str], *, thorough: bool
    ) -> list[str]:
        wanted = names if thorough else self._without_done_jobs(names)
        if not wanted:
            return []
        began = time.monotonic()
        replaced = self._stack.recreate(wanted, fill=self._fill)
        self.doubted = self.doubted.difference(replaced)
        # Services that share a volume or a namespace with them were recreated as well.
        renewed = set(replaced) & self._having("in place")
        parallel.run([partial(self._capture, name) for name in renewed])
        for name in replaced:
            asked = name not in self._strategies or self._manner(name) == "recreate"
            manner = "recreate" if asked else "replaced"
            self.on_reset(name, manner, different.get(name, ""), began, time.monotonic() - began)
        return replaced

    def _without_done_jobs(self, names: list[str]) -> list[str]:
        """Leave out jobs whose work is part of the baseline, unless what they worked on is new."""
        graph = self._stack.graph
        jobs = {
            name
            for name in names
            if graph.awaited_to_completion(name)
            and name in self._stack.spec.services
            and self._stack.spec.services[name].reset is None
        }
        renewed = set(names) - jobs
        return [
            name
            for name in names
            if name not in jobs or renewed & set(graph.with_dependencies([name]))
        ]

    def _stay(self, different: Mapping[str, str], cut: Set[str], *, repeatable: bool) -> set[str]:
        """Return the services that keep their containers although no strategy knows them.

        Args:
            different: services that are replaced in any case.
            cut: services whose clients have lost their connections: not all clients bear that.
            repeatable: see `reset`.
        """
        began = time.monotonic()
        unknown = self._having("recreate").difference(self._affected(different))
        able = {name for name in unknown if self._may_stay(name) and not self._uses(name) & cut}
        silent = {name for name in able if self._is_silent(name)}
        doubted = {name for name in able - silent if repeatable and self._serves(name)}
        changed = self._surroundings.written([*silent, *doubted])
        self._unlike.update(changed.keys())
        replaced = self._without_done_jobs(sorted(unknown - silent - doubted | changed.keys()))
        stay = (silent | doubted).difference(changed, self._affected(replaced))
        stay = {name for name in stay if not self._uses(name).intersection(replaced)}
        self._stayed = not replaced
        for name in stay:
            del self._unlike[name]
            self.on_reset(name, "kept", "", began, time.monotonic() - began)
        self.doubted |= stay & doubted
        return stay

    def _may_stay(self, name: str) -> bool:
        """Return whether a service may turn out to have no state: nothing says that it has."""
        strategy = self._strategies[name]
        return (
            isinstance(strategy, Detected)
            and strategy.manner == "recreate"
            and not (strategy.found or strategy.gave_way)
            and self._unlike[name] < _OFTEN
            and self._surroundings.shows_writes(name)
        )

    def _is_silent(self, name: str) -> bool:
        return name not in self.doubted and not self._surroundings.contacted(name)

    def _serves(self, name: str) -> bool:
        """Return whether a service answers requests with the help of a database of the stack."""
        in_place = any(self._manner(each) == "in place" for each in self._uses(name))
        return in_place and bool(self._stack.spec.services[name].ports)

    def _uses(self, name: str) -> set[str]:
        """Return the services that a service depends on, or that its variables name."""
        given = self._stack.spec.services[name].environment.values()
        words = set(re.findall(r"[\w.-]+", " ".join(each or "" for each in given)))
        used = {*self._stack.graph.with_dependencies([name]), *words} - {name}
        return used.intersection(self._strategies)

    def _replaced(
        self, affected: set[str], *, stay: Set[str] = frozenset(), thorough: bool
    ) -> list[str]:
        """Return what a reset replaces: units that hold state, have ended, or know old addresses.

        A container that was started again may have other published ports.

        Args:
            affected: services to replace since a test changed their containers.
            stay: services that stay although nobody knows what they keep.
            thorough: whether containers may have been started again.
        """
        replaced = sorted({*self._having("recreate").difference(stay), *affected})
        graph, spec = self._stack.graph, self._stack.spec
        for name, process in self._stack.processes.items():
            known = {each for each in graph.with_dependencies([name]) if each in spec.services}
            knows = known if thorough else known & set(replaced)
            if not spec.processes[name].stateless or knows or not process.running:
                replaced.append(name)
        return replaced

    def _having(self, manner: str) -> set[str]:
        return {name for name in self._strategies if self._manner(name) == manner}

    def _manner(self, name: str) -> Manner:
        return self._strategies[name].manner

    def _reset_in_place(self, service: str, on_reset: OnReset) -> bool:
        began = time.monotonic()
        lost_clients = self._strategies[service].reset()
        on_reset(service, "in place", "", began, time.monotonic() - began)
        return lost_clients

    def _fill(self, service: str) -> None:
        if self._strategies[service].manner == "recreate":
            self._strategies[service].reset()

    def _await_dependents(self, changed: set[str]) -> None:
        # Services that were kept may have lost connections to those that were not.
        dependents = [
            name for name in self._stack.graph.with_dependents(changed) if name not in changed
        ]
        parallel.run([partial(self._stack.await_ready, name) for name in dependents])
