"""Puts a normalised project into the frozen `StackSpec` that the rest of dockwright works with."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from dockwright.compose.canonical import canonical
from dockwright.compose.read_yaml import read
from dockwright.compose.source import Origins, Tree, Warnings
from dockwright.compose.units import parse_duration
from dockwright.compose.x_dockwright import KEY, read_cache, read_processes, read_service_options
from dockwright.model import (
    Attachment,
    Build,
    Dependency,
    GivenFile,
    Healthcheck,
    Json,
    Limits,
    Mount,
    Port,
    ProcessSpec,
    ServiceSpec,
    StackSpec,
)
from dockwright.untrusted import UnreadableError, read_plain

_MAX_BYTES = 64 << 20  # of a secret or config
_NAMED = ("networks", "volumes", "secrets", "configs")
_PATHS = ("source", "context", "file", "path")
_FREE = ("environment", "labels", "args", "annotations", "sysctls", "driver_opts", "options")
"""Where a file has names of its own, which are no keys of paths."""


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
    content, options, native = _content(document, services, processes)
    parts = [content, _file_digests(tree), options, native]
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def hash_below(spec: StackSpec, root: Path) -> str:
    """Return a hash like `content_hash` that is the same wherever the project lies.

    Args:
        spec: the stack.
        root: the project's directory: paths below it count relative to it.
    """
    content = _content(spec.document, spec.services, spec.processes)
    parts = [_below(content, f"{root}/"), _file_digests(spec.document), dict(spec.contents)]
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()


def _below(value: Any, root: str, key: str = "") -> Any:
    """Return a value in which paths below a directory are relative to it."""
    if isinstance(value, Mapping):
        return {k: v if k in _FREE else _below(v, root, k) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_below(each, root, key) for each in value]
    if key in _PATHS and isinstance(value, str) and f"{value}/".startswith(root):
        return f"./{value[len(root) :]}"
    return value


def _content(
    document: Mapping[str, Any],
    services: Mapping[str, ServiceSpec],
    processes: Mapping[str, ProcessSpec],
) -> list[Any]:
    """Return all that decides what a stack is, beside the files of secrets and configs."""
    project = document.get("name")
    content: dict[str, Any] = {key: value for key, value in document.items() if key != "name"}
    for section in _NAMED:
        content[section] = {
            key: _without_derived_name(resource, f"{project}_{key}")
            for key, resource in (document.get(section) or {}).items()
        }
    options = {
        name: [service.reset, service.options, service.durable, service.ready]
        for name, service in services.items()
    }
    return [content, options, {name: asdict(process) for name, process in processes.items()}]


def _file_digests(sections: Mapping[str, Any]) -> list[tuple[str, str, str | None]]:
    return [
        (section, key, _digest(Path(resource["file"])))
        for section in ("secrets", "configs")
        for key, resource in (sections.get(section) or {}).items()
        if resource.get("file")
    ]


def _without_derived_name(resource: Any, derived: str) -> Any:
    return {k: v for k, v in resource.items() if k != "name" or v != derived}


def _digest(file: Path) -> str | None:
    try:
        return hashlib.sha256(read_plain(file, limit_bytes=_MAX_BYTES)).hexdigest()
    except (OSError, UnreadableError):  # the engine says what is wrong when the stack starts
        return None


def build_spec(
    tree: Tree,
    declared: Mapping[str, Tree],
    place: ProjectPlace,
    origins: Origins,
    warnings: Warnings,
) -> StackSpec:
    """Return the spec of a normalised, consistent project.

    Args:
        tree: the project, with its enabled services only.
        declared: all its services: values that Compose could not read are errors in all of them.
        place: where its files are, and its variables.
        origins: where its values stand.
        warnings: what was found so far.

    Raises:
        ComposeError: a value that cannot be read, or a wrong ``x-dockwright``.
    """
    disabled = {name: declared[name] for name in declared if name not in tree["services"]}
    canonical({**tree, "services": disabled}, origins, "json")
    _prune(tree)
    document = canonical(tree, origins, "json")
    services = {
        key: _service(key, service, document, origins) for key, service in tree["services"].items()
    }
    processes = read_processes(tree, place.working_dir, services, origins)
    contents = _contents(tree, place.variables)
    hashed = content_hash(tree, document, services, processes)
    return StackSpec(
        name=place.name,
        working_dir=place.working_dir,
        files=place.files,
        document=document,
        yaml_document=canonical(tree, origins, "yaml"),
        services=services,
        processes=processes,
        content_hash=_hash(hashed, contents),
        warnings=warnings.all(),
        cache=read_cache(tree),
        secrets=_secrets(tree, origins),
        contents=contents,
    )


def _prune(tree: Tree) -> None:
    """Remove the networks, volumes, secrets and configs that no service uses, in place."""
    used: dict[str, set[str]] = {section: set() for section in _NAMED}
    for service in (tree.get("services") or {}).values():
        used["networks"] |= set(service.get("networks") or ())
        used["volumes"] |= {
            mount.get("source", "")
            for mount in service.get("volumes") or ()
            if mount["type"] == "volume"
        }
        mounts = service.get("secrets") or []
        mounts = mounts + ((service.get("build") or {}).get("secrets") or [])
        used["secrets"] |= {mount["source"] for mount in mounts}
        used["configs"] |= {mount["source"] for mount in service.get("configs") or ()}
    for section in _NAMED:
        kept = tree.get(section) or {}
        tree[section] = {key: kept[key] for key in kept if key in used[section]}


def _service(
    name: str, service: Tree, document: Mapping[str, Any], origins: Origins
) -> ServiceSpec:
    own = read_service_options(name, service, origins)
    config = document["services"][name]
    return replace(
        service_spec(name, config, document),
        depends_on=_dependencies(service, config),
        reset=own.reset,
        options=own.options,
        ready=own.ready,
        cache=read_cache(service),
        durable=own.durable,
    )


def service_spec(name: str, config: Mapping[str, Any], document: Mapping[str, Any]) -> ServiceSpec:
    """Read a service from its canonical form.

    Args:
        name: the service.
        config: its canonical form.
        document: that of the project, for the configs and secrets that the service is given.
    """
    declared = config.get("healthcheck") or {}
    test = tuple(declared.get("test") or ())
    disabled = bool(declared.get("disable")) or test[:1] == ("NONE",)
    grace = config.get("stop_grace_period")
    return ServiceSpec(
        name=name,
        config=config,
        healthcheck=_healthcheck(test, declared) if test and not disabled else None,
        healthcheck_disabled=disabled,
        ports=tuple(_port(entry) for entry in config.get("ports") or ()),
        exposed=tuple(_exposed(config)),
        mounts=tuple(_mount(entry) for entry in config.get("volumes") or ()),
        tmpfs=dict(entry.partition(":")[::2] for entry in config.get("tmpfs") or ()),
        files=tuple(_files(config, document)),
        networks={} if config.get("network_mode") else _networks(config),
        network_mode=config.get("network_mode") or "",
        volumes_from=tuple(config.get("volumes_from") or ()),
        links=tuple(config.get("links") or ()),
        environment={
            key: None if value is None else str(value)
            for key, value in (config.get("environment") or {}).items()
        },
        limits=_limits(config),
        build=_build(config["build"]) if config.get("build") is not None else None,
        pull_policy=config.get("pull_policy") or "missing",
        platform=config.get("platform") or None,
        container_name=config.get("container_name"),
        read_only=bool(config.get("read_only")),
        stop_grace_s=parse_duration(grace) / 1e9 if grace else None,
    )


def _port(entry: Mapping[str, Any]) -> Port:
    return Port(
        number=entry.get("target", 0),
        protocol=entry.get("protocol") or "tcp",
        published=entry.get("published") or "",
        host_ip=entry.get("host_ip") or "",
        app_protocol=(entry.get("app_protocol") or "").lower(),
    )


def _exposed(config: Mapping[str, Any]) -> Iterator[Port]:
    for entry in config.get("expose") or ():
        ports, _, protocol = entry.partition("/")
        first, _, last = ports.partition("-")
        for number in range(int(first), int(last or first) + 1):
            yield Port(number, protocol or "tcp")


def _mount(entry: Mapping[str, Any]) -> Mount:
    return Mount(
        kind=entry["type"],
        target=entry.get("target") or "",
        source=entry.get("source") or "",
        read_only=bool(entry.get("read_only")),
        consistency=entry.get("consistency") or "",
        options=entry.get(entry["type"]) or {},
    )


def _files(config: Mapping[str, Any], document: Mapping[str, Any]) -> Iterator[GivenFile]:
    kinds: tuple[tuple[Literal["config", "secret"], str], ...] = (
        ("config", "/"),
        ("secret", "/run/secrets/"),
    )
    for kind, directory in kinds:
        declared = document.get(f"{kind}s") or {}
        for use in config.get(f"{kind}s") or ():
            target = use.get("target") or use["source"]
            definition = declared.get(use["source"]) or {}
            yield GivenFile(
                kind=kind,
                source=use["source"],
                target=target if target.startswith("/") else f"{directory}{target}",
                file=definition.get("file"),
                content=definition.get("content"),
                variable=definition.get("environment"),
                external=bool(definition.get("external")),
                mode=use.get("mode") or 0o444,
                uid=int(use.get("uid") or 0),
                gid=int(use.get("gid") or 0),
            )


_ADDRESSES = ("ipv4_address", "ipv6_address", "link_local_ips")


def _networks(config: Mapping[str, Any]) -> dict[str, Attachment]:
    declared = {key: value or {} for key, value in (config.get("networks") or {}).items()}
    ordered = sorted(declared, key=lambda key: -int(declared[key].get("priority") or 0))
    return {
        key: Attachment(
            aliases=tuple(declared[key].get("aliases") or ()),
            addresses={name: declared[key][name] for name in _ADDRESSES if declared[key].get(name)},
            mac_address=declared[key].get("mac_address") or "",
            driver_opts=declared[key].get("driver_opts") or {},
        )
        for key in ordered
    }


def _limits(config: Mapping[str, Any]) -> Limits:
    resources = (config.get("deploy") or {}).get("resources") or {}
    limits = resources.get("limits") or {}
    reserved = (resources.get("reservations") or {}).get("memory")
    memory = limits.get("memory") or config.get("mem_limit")
    reserved = reserved or config.get("mem_reservation")
    cpus = config.get("cpus") or limits.get("cpus")
    return Limits(
        memory_bytes=int(memory) if memory else None,
        memory_reservation_bytes=int(reserved) if reserved else None,
        cpus=float(cpus) if cpus else None,
        pids=limits.get("pids") or config.get("pids_limit"),
    )


def _build(declared: Mapping[str, Any]) -> Build:
    def texts(key: str) -> tuple[str, ...]:
        return tuple(declared.get(key) or ())

    def pairs(key: str) -> dict[str, str]:
        given = (declared.get(key) or {}).items()
        return {name: str(value) for name, value in given if value is not None}

    return Build(
        context=Path(declared.get("context") or ""),
        tags=texts("tags"),
        dockerfile=declared.get("dockerfile"),
        dockerfile_inline=declared.get("dockerfile_inline"),
        args=pairs("args"),
        labels=pairs("labels"),
        target=declared.get("target"),
        cache_from=texts("cache_from"),
        cache_to=texts("cache_to"),
        network=declared.get("network"),
        platforms=texts("platforms"),
        no_cache=bool(declared.get("no_cache")),
        pull=bool(declared.get("pull")),
        ssh=texts("ssh"),
        extra_hosts=tuple(host.replace("=", ":", 1) for host in texts("extra_hosts")),
        shm_size_bytes=int(declared["shm_size"]) if declared.get("shm_size") else None,
        additional_contexts=pairs("additional_contexts"),
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


def _secrets(tree: Tree, origins: Origins) -> tuple[str, ...]:
    """Return the variables that are declared as secret.

    Raises:
        ComposeError: what is declared as secret cannot be a variable's name.
    """
    secrets = tuple(dict.fromkeys(_declared(tree)))
    for name in secrets:
        if not _NAME.fullmatch(name):
            raise origins.error((KEY, "secrets"), f"{name!r} is not a valid variable name")
    return secrets


def _contents(tree: Tree, variables: Mapping[str, str]) -> dict[str, str]:
    """Return the values from which files are made, by variable."""
    used = sorted({*_sources(tree, "secrets"), *_sources(tree, "configs")})
    return {name: variables[name] for name in used if name in variables}


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
