"""The key of a stack: everything that decides what a freshly started copy holds.

A cached baseline is found by it, and so is a warm stack: what a run finds under an equal key is
what it would have started itself.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dockwright.cache.files import FileDigests, NotCacheableError
from dockwright.model import Json, ServiceSpec, StackSpec

FORMAT = "2"
"""Of the entries; another one makes all older entries unreachable, and they go by their age."""

_Section = Mapping[str, Mapping[str, Json] | None]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a freshly started copy depends on beside its spec.

    Attributes:
        images: what stands for the services' images, by service: their ids, or, as long as they are
            not built, what they are built from.
        platform: the engine's operating system and architecture.
        environ: the variables that secrets and configs may be taken from.
        files_are_ours: whether the engine mounts the files that this process sees.
        seed: stands for what a seed hook does (its source, or a version); empty: there is none.
        files: reads the files that a start reads.
    """

    images: Mapping[str, str]
    platform: str
    environ: Mapping[str, str]
    files_are_ours: bool = True
    seed: str = ""
    files: FileDigests = field(default_factory=FileDigests)


@dataclass(frozen=True, slots=True)
class Key:
    """The key of one stack.

    Attributes:
        text: names the entry: a hash over `inputs`.
        inputs: what went into it, by name; values are hashes or ids.
    """

    text: str
    inputs: Mapping[str, str]


def content_key(spec: StackSpec, surroundings: Surroundings) -> Key:
    """Return the key of the baseline of a stack.

    Raises:
        NotCacheableError: the stack depends on something that no key can stand for, or its file
            switches caching off.
    """
    _check(spec)
    sources = _sources(spec)
    if sources and not surroundings.files_are_ours:
        raise NotCacheableError(f"{sources[0]} is mounted from another host, unseen from here")
    files = {f"file {source}": surroundings.files.digest(Path(source)) for source in sources}
    return _key(spec, surroundings, files)


def start_key(spec: StackSpec, surroundings: Surroundings) -> Key:
    """Return the key of what a start would give now: a warm stack of another key is out of date.

    Every stack has one, as nothing has to be read twice: of what is too much to read for
    `content_key`, times and sizes count. So does what native processes are made of: what their
    working directories hold, and the files that their commands name.
    """
    sources = _sources(spec) if surroundings.files_are_ours else []
    for process in spec.processes.values():
        named = [process.cwd / part for part in process.command]
        sources += [str(process.cwd), *(str(file) for file in named if file.is_file())]
    files = {f"file {each}": surroundings.files.state(Path(each)) for each in sorted({*sources})}
    return _key(spec, surroundings, files)


def _key(spec: StackSpec, surroundings: Surroundings, files: Mapping[str, str]) -> Key:
    inputs = {
        "format": FORMAT,
        "spec": spec.content_hash,
        "platform": surroundings.platform,
        **{f"image of {name}": image for name, image in surroundings.images.items()},
        **{f"service {name}": "not kept" for name in left_out(spec)},
        **_variables(spec, surroundings.environ),
        **files,
    }
    if surroundings.seed:
        inputs["seed"] = _hash(surroundings.seed)
    return Key(_hash(json.dumps(inputs, sort_keys=True))[:32], inputs)


def _sources(spec: StackSpec) -> list[str]:
    return sorted({source for each in spec.services.values() for source in _binds(each)})


def left_out(spec: StackSpec) -> list[str]:
    """Return the services that say ``cache: false``: they are initialised in each copy."""
    return [name for name, each in spec.services.items() if each.cache is False]


def _check(spec: StackSpec) -> None:
    if spec.cache is False:
        raise NotCacheableError("x-dockwright.cache is false")
    for name, volume in spec.section("volumes").items():
        if volume.get("external"):
            raise NotCacheableError(f"volumes.{name} is external: what it holds is unknown")
        if volume.get("driver_opts") or volume.get("driver") not in (None, "local"):
            raise NotCacheableError(f"volumes.{name} has a driver or options of its own")
    for name, service in spec.services.items():
        if any(other.startswith("container:") for other in service.volumes_from):
            raise NotCacheableError(f"services.{name}.volumes_from names a foreign container")
    if spec.cache is None:
        _check_repeatable(spec)


def _check_repeatable(spec: StackSpec) -> None:
    """Refuse what may do its work on the data a second time, unless the file says that it may."""
    if spec.processes:
        raise NotCacheableError(
            f"the code of native process {next(iter(spec.processes))} is not part of the key; "
            "set x-dockwright: {cache: true} to save the baseline anyway"
        )
    for service in spec.services.values():
        for dependency in service.depends_on:
            once = dependency.condition == "service_completed_successfully"
            other = spec.services.get(dependency.service)
            if once and other is not None and other.cache is not True:
                raise NotCacheableError(
                    f"service {other.name} would run again on the data that it made; "
                    "set x-dockwright: {cache: true} on it to allow that"
                )


def _binds(service: ServiceSpec) -> list[str]:
    return [mount.source for mount in service.mounts if mount.kind == "bind"]


def _variables(spec: StackSpec, environ: Mapping[str, str]) -> dict[str, str]:
    """Return hashes of the variables that secrets and configs are taken from."""
    names = {
        str(definition["environment"])
        for section in (spec.section("configs"), spec.section("secrets"))
        for definition in section.values()
        if definition.get("environment")
    }
    return {f"variable {name}": _hash(environ.get(name, "")) for name in sorted(names)}


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()
