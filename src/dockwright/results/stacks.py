"""What decides what the stacks of tests contain now; nothing is started to find out."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dockwright.cache import MISSING, FileDigests
from dockwright.compose import hash_below, load
from dockwright.engine import Engine
from dockwright.errors import DockwrightError, explained
from dockwright.model import ServiceSpec, StackSpec
from dockwright.pool.declared import load_options
from dockwright.pool.freshness import Freshness
from dockwright.settings import DEFAULT_STACK, Settings, selected

_SHARED_WITH_HOST = ("network_mode", "pid", "ipc", "uts", "cgroup", "userns_mode")
_FOREIGN = ("host", "container:")

UNKNOWN = "unknown"
_UNKNOWN_SEED = "what dockwright_seed reads is unknown; dockwright_seed_inputs can name it"


@dataclass(frozen=True, slots=True)
class StackState:
    """A stack as a start would make it now.

    Attributes:
        inputs: what decides what it contains: the inputs of the pool's key, the engine, the seed.
        obstacle: why tests that use it have to run in any case; empty: they need not.
        unknown: why it cannot be compared at all, with or without declared inputs.
    """

    inputs: Mapping[str, str] = field(default_factory=dict)
    obstacle: str = ""
    unknown: str = ""

    def changed_since(self, before: StackState) -> str:
        """Return an input that was another one before; empty: none.

        An image that was not on the engine before was pulled or built in between.
        """
        for name in sorted({*self.inputs, *before.inputs}):
            if before.inputs.get(name) not in (self.inputs.get(name), MISSING):
                return name
        return ""


class StackStates:
    """The states of the declared stacks, each found out once.

    Args:
        settings: of the run.
        environ: the environment of the run.
        engine: connects to the engine, when a stack is asked for.
        seed: what the seed hooks of the suite do; empty: there are none; `UNKNOWN`: it is unknown.
    """

    def __init__(
        self,
        settings: Settings,
        environ: Mapping[str, str],
        engine: Callable[[], Engine],
        seed: str = "",
    ) -> None:
        self._settings = settings
        self._environ = environ
        self._engine = engine
        self._seed = seed
        self._freshness: Freshness | None = None
        self._known: dict[str, StackState] = {}

    def of(self, name: str) -> StackState:
        """Return the state of a declared stack."""
        declared, _ = selected(name)
        if declared != DEFAULT_STACK and declared not in self._settings.stacks:
            return StackState(unknown=f"stack {name} is declared by a fixture, not by a setting")
        if self._seed == UNKNOWN:
            return StackState(unknown=_UNKNOWN_SEED)
        if name not in self._known:
            try:
                self._known[name] = self._find(name)
            except (DockwrightError, OSError) as failure:
                self._known[name] = StackState(unknown=f"stack {name}: {explained(failure)}")
        return self._known[name]

    def _find(self, name: str) -> StackState:
        engine = self._engine()
        if self._freshness is None:
            self._freshness = Freshness(engine, self._environ, FileDigests(tests=True))
        spec = load(load_options(self._settings, name, self._environ))
        version = engine.version()
        root = self._settings.root
        inputs = {
            **_below(root, self._freshness.state(spec).inputs),
            "spec": hash_below(spec, root),
            "engine": f"{version.kind} {version.server} {version.os}/{version.arch}",
            "ports": self._settings.ports_of(name),
            "seed": self._seed,
        }
        missing = [each for each, value in inputs.items() if value == MISSING]
        unknown = f"stack {name}: the {missing[0]} is not on the engine" if missing else ""
        return StackState(inputs, next(_obstacles(name, spec, self._settings.root), ""), unknown)


def _below(root: Path, inputs: Mapping[str, str]) -> dict[str, str]:
    """Return inputs whose names have paths below a directory relative to it."""
    return {name.replace(f"file {root}/", "file "): value for name, value in inputs.items()}


def _obstacles(name: str, spec: StackSpec, root: Path) -> Iterator[str]:
    """Yield what a stack depends on that no key can stand for."""
    if spec.processes:
        yield f"stack {name} runs the native process {next(iter(spec.processes))}"
    for kind in ("volumes", "networks"):
        for key, declared in spec.section(kind).items():
            if declared.get("external"):
                yield f"stack {name} uses the external {kind[:-1]} {key}"
            elif kind == "volumes" and declared.get("driver_opts"):
                yield f"stack {name}: the volume {key} has options of a driver"
    places = (root.resolve(), spec.working_dir.resolve())
    for service in spec.services.values():
        yield from (
            f"service {service.name} of stack {name} {why}" for why in _why(service, places)
        )


def _why(service: ServiceSpec, places: tuple[Path, ...]) -> Iterator[str]:
    for key in _SHARED_WITH_HOST:
        if str(service.config.get(key) or "").startswith(_FOREIGN):
            yield f"shares the {key} of something outside the stack"
    if any(other.startswith("container:") for other in service.volumes_from):
        yield "uses the volumes of another container"
    if service.build is not None and (service.build.no_cache or service.build.pull):
        yield "is built differently each time"
    for mount in service.mounts:
        if mount.kind == "bind":
            source = Path(mount.source).resolve()
            inside = any(source == place or place in source.parents for place in places)
            if not inside or _is_special(source):
                yield f"mounts {mount.source}, outside the project"


def _is_special(path: Path) -> bool:
    """Return whether a path is a socket, a device or a pipe."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))
