"""Puts a normalised project into the frozen `StackSpec` that the rest of dockwright works with."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from dockwright.compose.canonical import canonical
from dockwright.compose.read_yaml import read
from dockwright.compose.source import Origins, Tree, Warnings
from dockwright.compose.units import parse_duration
from dockwright.compose.x_dockwright import KEY, read_cache, read_processes, read_service_options
from dockwright.model import Dependency, Healthcheck, Json, ProcessSpec, ServiceSpec, StackSpec
from dockwright.untrusted import UnreadableError, read_plain

_MAX_BYTES = 64 << 20  # of a secret or config
_NAMED = ("networks", "volumes", "secrets", "configs")


def content_hash(
    tree: Tree,
    document: Mapping[str, Any],
    services: Mapping[str, ServiceSpec],
    processes: Mapping[str, ProcessSpec],
) -> str:
    """Return SHA-256 (hex) over everything but the project's name and names made from it.

    The content of files and variables behind secrets and configs counts; that of bind mounts and
    build contexts does not.
    """
    project = document.get("name")
    content: dict[str, Any] = {key: value for key, value in document.items() if key != "name"}
    for section in _NAMED:
        content[section] = {
            key: _without_derived_name(resource, f"{project}_{key}")
            for key, resource in (document.get(section) or {}).items()
        }
    files = [
        (section, key, _digest(Path(resource["file"])))
        for section in ("secrets", "configs")
        for key, resource in (tree.get(section) or {}).items()
        if resource.get("file")
    ]
    options = {
        name: [service.reset, service.options, service.durable, service.ready]
        for name, service in services.items()
    }
    native = {name: asdict(process) for name, process in processes.items()}
    text = json.dumps([content, files, options, native], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def _without_derived_name(resource: Any, derived: str) -> Any:
    return {k: v for k, v in resource.items() if k != "name" or v != derived}


def _digest(file: Path) -> str | None:
    try:
        return hashlib.sha256(read_plain(file, limit_bytes=_MAX_BYTES)).hexdigest()
    except (OSError, UnreadableError):  # the engine says what is wrong when the stack starts
        return None


def build_spec(
    tree: Tree,
    name: str,
    directory: Path,
    files: tuple[Path, ...],
    origins: Origins,
    warnings: Warnings,
) -> StackSpec:
    """Return the spec of a normalised, consistent project.

    Raises:
        ComposeError: a value that cannot be read, or a wrong ``x-dockwright``.
    """
    document = canonical(tree, origins, "json")
    services = {
        key: _service(key, service, document["services"][key], origins)
        for key, service in tree["services"].items()
    }
    processes = read_processes(tree, directory, services, origins)
    return StackSpec(
        name=name,
        working_dir=directory,
        files=files,
        document=document,
        yaml_document=canonical(tree, origins, "yaml"),
        services=services,
        processes=processes,
        content_hash=content_hash(tree, document, services, processes),
        warnings=warnings.all(),
        cache=read_cache(tree),
    )


def check_values(tree: Tree, declared: Mapping[str, Tree], origins: Origins) -> None:
    """Read the values of services that no profile enables, and of what no service uses.

    Raises:
        ComposeError: a value that cannot be read, as in Compose.
    """
    disabled = {name: declared[name] for name in declared if name not in tree["services"]}
    canonical({**tree, "services": disabled}, origins, "json")


def _service(name: str, service: Tree, config: Mapping[str, Any], origins: Origins) -> ServiceSpec:
    own = read_service_options(name, service, origins)
    declared = config.get("healthcheck") or {}
    test = tuple(declared.get("test") or ())
    disabled = bool(declared.get("disable")) or test[:1] == ("NONE",)
    return ServiceSpec(
        name=name,
        config=config,
        depends_on=_dependencies(service, config),
        healthcheck=_healthcheck(test, declared) if test and not disabled else None,
        healthcheck_disabled=disabled,
        reset=own.reset,
        options=own.options,
        ready=own.ready,
        cache=read_cache(service),
        durable=own.durable,
    )


def _dependencies(service: Tree, config: Mapping[str, Any]) -> tuple[Dependency, ...]:
    written = config.get("depends_on") or {}
    return tuple(
        Dependency(
            service=other,
            condition=written[other]["condition"],
            required=written[other].get("required", True),
            restart=written[other].get("restart", False),
        )
        for other in service.get("depends_on") or ()
    )


def _healthcheck(test: tuple[str, ...], declared: Mapping[str, Json]) -> Healthcheck:
    def seconds(key: str, default: float) -> float:
        text = declared.get(key)
        return parse_duration(text) / 1e9 if isinstance(text, str) else default

    retries = declared.get("retries")
    standard = Healthcheck(test)
    return Healthcheck(
        test=test,
        interval_s=seconds("interval", standard.interval_s),
        timeout_s=seconds("timeout", standard.timeout_s),
        retries=retries if isinstance(retries, int) else standard.retries,
        start_period_s=seconds("start_period", standard.start_period_s),
    )


_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class ProjectPlace:
    """What is known of a project before its files are understood.

    Attributes:
        name: the project name.
        files: its Compose files.
        working_dir: what relative paths in them mean.
        variables: what their interpolation sees.
    """

    name: str
    files: tuple[Path, ...]
    working_dir: Path
    variables: Mapping[str, str]

    def secret_variables(self) -> tuple[str, ...]:
        """Return the variables that the files themselves declare as secret, without loading them.

        A project may need them to be loaded at all. Included files are not looked at.

        Raises:
            ComposeError: a file cannot be read.
        """
        documents = [document.tree for file in self.files for document in read(file)]
        found = (name for tree in documents if isinstance(tree, dict) for name in _declared(tree))
        return tuple(dict.fromkeys(found))


def with_variables(
    spec: StackSpec, tree: Tree, variables: Mapping[str, str], origins: Origins
) -> StackSpec:
    """Return `spec` with what it declares as secret, and the values that files are made from.

    Raises:
        ComposeError: what is declared as secret cannot be a variable's name.
    """
    secrets = tuple(dict.fromkeys(_declared(tree)))
    for name in secrets:
        if not _NAME.fullmatch(name):
            raise origins.error((KEY, "secrets"), f"{name!r} is not a variable's name")
    used = sorted({*_sources(tree, "secrets"), *_sources(tree, "configs")})
    contents = {name: variables[name] for name in used if name in variables}
    return replace(
        spec, secrets=secrets, contents=contents, content_hash=_hash(spec.content_hash, contents)
    )


def _declared(tree: Mapping[str, Any]) -> Iterator[str]:
    yield from _sources(tree, "secrets")
    extension = tree.get(KEY)
    named = extension.get("secrets") if isinstance(extension, dict) else None
    yield from (str(name) for name in named or () if isinstance(named, list))


def _sources(tree: Mapping[str, Any], section: str) -> Iterable[str]:
    declared = tree.get(section)
    entries = declared.values() if isinstance(declared, dict) else ()
    names = (entry.get("environment") for entry in entries if isinstance(entry, dict))
    return [name for name in names if isinstance(name, str) and name]


def _hash(content_hash: str, contents: Mapping[str, str]) -> str:
    if not contents:
        return content_hash
    text = json.dumps([content_hash, contents], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
