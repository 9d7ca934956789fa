"""The content key of a baseline: everything that decides what a freshly started stack holds."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from dockwright.cache.store import NotCacheableError
from dockwright.model import Json, ServiceSpec, StackSpec

FORMAT = "2"
"""Of the entries; another one makes all older entries unreachable, and they go by their age."""

_Section = Mapping[str, Mapping[str, Json] | None]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a baseline depends on beside its spec.

    Attributes:
        images: the ids of the services' images, by service.
        platform: the engine's operating system and architecture.
        environ: the variables that secrets and configs may be taken from.
        files_are_ours: whether the engine mounts the files that this process sees.
        seed: stands for what a seed hook does (its source, or a version); empty: there is none.
    """

    images: Mapping[str, str]
    platform: str
    environ: Mapping[str, str]
    files_are_ours: bool = True
    seed: str = ""


@dataclass(frozen=True, slots=True)
class Key:
    """The key of one baseline.

    Attributes:
        text: names the entry: a hash over `inputs`.
        inputs: what went into it, by name; values are hashes or ids.
    """

    text: str
    inputs: Mapping[str, str]


def content_key(spec: StackSpec, surroundings: Surroundings) -> Key:
    """Return the key under which the baseline of a stack is kept.

    Raises:
        NotCacheableError: the stack depends on something that no key can stand for, or its file
            switches caching off.
    """
    _check(spec)
    inputs = {
        "format": FORMAT,
        "spec": spec.content_hash,
        "platform": surroundings.platform,
        **{f"image of {name}": image for name, image in surroundings.images.items()},
        **{f"service {name}": "not kept" for name in left_out(spec)},
        **_variables(spec, surroundings.environ),
    }
    sources = sorted({source for each in spec.services.values() for source in _binds(each)})
    if sources and not surroundings.files_are_ours:
        raise NotCacheableError(f"{sources[0]} is mounted from another host, unseen from here")
    inputs |= {f"file {source}": digest(Path(source)) for source in sources}
    if surroundings.seed:
        inputs["seed"] = _hash(surroundings.seed)
    return Key(_hash(json.dumps(inputs, sort_keys=True))[:32], inputs)


def left_out(spec: StackSpec) -> list[str]:
    """Return the services that say ``cache: false``: they initialise themselves in each copy."""
    return [name for name, each in spec.services.items() if each.cache is False]


def _check(spec: StackSpec) -> None:
    if spec.cache is False:
        raise NotCacheableError("x-dockwright.cache is false")
    for name, volume in _section(spec, "volumes").items():
        if volume.get("external"):
            raise NotCacheableError(f"volumes.{name} is external: what it holds is unknown")
        if volume.get("driver_opts") or volume.get("driver") not in (None, "local"):
            raise NotCacheableError(f"volumes.{name} has a driver or options of its own")
    for name, service in spec.services.items():
        others = cast("Sequence[str]", service.config.get("volumes_from") or ())
        if any(other.startswith("container:") for other in others):
            raise NotCacheableError(f"services.{name}.volumes_from names a foreign container")
    if spec.cache is None:
        _check_repeatable(spec)


def _check_repeatable(spec: StackSpec) -> None:
    """Refuse what may do its work on the data a second time, unless the file says that it may."""
    if spec.processes:
        raise NotCacheableError(
            f"the code of native process {next(iter(spec.processes))} is not part of the key; "
            "x-dockwright: {cache: true} keeps the baseline all the same"
        )
    for service in spec.services.values():
        for dependency in service.depends_on:
            once = dependency.condition == "service_completed_successfully"
            other = spec.services.get(dependency.service)
            if once and other is not None and other.cache is not True:
                raise NotCacheableError(
                    f"service {other.name} would run again on the data that it made; "
                    "x-dockwright: {cache: true} on it says that it may"
                )


def _binds(service: ServiceSpec) -> list[str]:
    entries = cast("Sequence[Mapping[str, Json]]", service.config.get("volumes") or ())
    return [str(entry["source"]) for entry in entries if entry["type"] == "bind"]


def _variables(spec: StackSpec, environ: Mapping[str, str]) -> dict[str, str]:
    """Return hashes of the variables that secrets and configs are taken from."""
    names = {
        str(definition["environment"])
        for kind in ("configs", "secrets")
        for definition in _section(spec, kind).values()
        if definition.get("environment")
    }
    return {f"variable {name}": _hash(environ.get(name, "")) for name in sorted(names)}


def _section(spec: StackSpec, kind: str) -> dict[str, Mapping[str, Json]]:
    declared = cast("_Section", spec.document.get(kind) or {})
    return {name: definition or {} for name, definition in declared.items()}


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()


MOST_BYTES = 64 << 20
"""More than this below one mount (a dependency tree, a data set) is not worth reading each time."""

MOST_FILES = 10_000
_CHUNK_BYTES = 1 << 20


def digest(path: Path) -> str:
    """Return a hash over a file or everything in a directory: names, modes and contents.

    Neither owners nor times count: another checkout of the same files has the same hash.

    Raises:
        NotCacheableError: it cannot be read, or it holds too much.
    """
    found = hashlib.sha256()
    left = MOST_BYTES
    try:
        for number, (name, file) in enumerate(_walk(path)):
            if number >= MOST_FILES:
                raise NotCacheableError(f"{path} holds more than {MOST_FILES} files")
            status = file.lstat()
            left -= status.st_size if stat.S_ISREG(status.st_mode) else 0
            if left < 0:
                raise NotCacheableError(f"{path} holds more than {MOST_BYTES >> 20} MB")
            found.update(f"{name}\0{status.st_mode:o}\0".encode(errors="surrogateescape"))
            found.update(_content(file, status.st_mode))
    except OSError as failure:
        raise NotCacheableError(f"{failure.filename or path}: {failure.strerror}") from failure
    return found.hexdigest()


def _walk(path: Path) -> Iterator[tuple[str, Path]]:
    """Yield all that is at and below a path, with names relative to it, in a fixed order."""
    if not path.exists():
        return  # the engine makes an empty directory
    root = path.resolve()
    yield ".", root
    if not root.is_dir():
        return
    for directory, names, files in os.walk(root, onerror=_raise):
        names.sort()
        here = Path(directory)
        links = [name for name in names if (here / name).is_symlink()]
        for name in sorted([*files, *names]):
            yield str((here / name).relative_to(root)), here / name
        names[:] = [name for name in names if name not in links]


def _content(file: Path, mode: int) -> bytes:
    if stat.S_ISLNK(mode):
        return os.fsencode(file.readlink())
    content = hashlib.sha256()
    if stat.S_ISREG(mode):
        with file.open("rb") as stream:
            while chunk := stream.read(_CHUNK_BYTES):
                content.update(chunk)
    return content.digest()


def _raise(failure: OSError) -> None:
    raise failure
