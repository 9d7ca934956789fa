"""The Engine API's body for one service's container (pure translation).

Source of the names: the Engine API reference, ``POST /containers/create``, version 1.41.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

from dockwright._text import parse_duration
from dockwright.model import Json, ServiceSpec
from dockwright.stack.hostconfig import host_config
from dockwright.stack.names import Names

_PLAIN_KEYS = {
    "user": "User",
    "hostname": "Hostname",
    "domainname": "Domainname",
    "working_dir": "WorkingDir",
    "tty": "Tty",
    "stdin_open": "OpenStdin",
    "stop_signal": "StopSignal",
}

_DEFAULT_GRACE_S = 10.0  # the Compose specification's


@dataclass(frozen=True, slots=True)
class BodyContext:
    """What a container body needs to know beside its service.

    Attributes:
        names: of this copy of the stack.
        image: the image reference to run.
        labels: of ownership and of Compose.
        anonymous: volume names by mount target, for the volumes that have no name of their own.
        publish_host: the host address on which ports are published in isolated copies.
        publish_exposed: whether ``expose``d ports are published too (where the test cannot reach
            the container's own address).
        guests: the other services that are in its network: their ports are published with its own.
        mounts: further mounts, as the Engine API has them.
    """

    names: Names
    image: str
    labels: Mapping[str, str]
    anonymous: Mapping[str, str] = field(default_factory=dict)
    publish_host: str = "127.0.0.1"
    publish_exposed: bool = False
    guests: tuple[ServiceSpec, ...] = ()
    mounts: tuple[Json, ...] = ()


def container_body(service: ServiceSpec, context: BodyContext) -> dict[str, Json]:
    """Return the body for ``POST /containers/create``."""
    config = service.config
    bindings = _port_bindings(service, context)
    host = host_config(service, context.names, context.anonymous)
    if context.mounts:
        host["Mounts"] = [*cast("list[Json]", host.get("Mounts") or []), *context.mounts]
    body: dict[str, Json] = {
        "Image": context.image,
        "Env": _environment(config),
        "Labels": {**cast("Mapping[str, str]", config.get("labels") or {}), **context.labels},
        "ExposedPorts": {port: {} for port in (*_own_exposed(service, context), *bindings)},
        "HostConfig": host | {"PortBindings": cast("Json", bindings)},
        "NetworkingConfig": {
            "EndpointsConfig": cast("Json", first_endpoint(service, context.names))
        },
    }
    body |= {api: config[key] for key, api in _PLAIN_KEYS.items() if config.get(key) is not None}
    body |= _commands(config)
    mac_address = _mac_address(service, context.names)
    if mac_address:  # newer engines read it of the network alone, see `endpoint_config`
        body["MacAddress"] = mac_address
    if config.get("stop_grace_period") is not None:
        body["StopTimeout"] = int(stop_grace_s(service))
    if config.get("healthcheck"):
        body["Healthcheck"] = _healthcheck(cast("Mapping[str, Json]", config["healthcheck"]))
    return body


def declared_ports(service: ServiceSpec) -> tuple[int, ...]:
    """Return the TCP ports of its own on which a service says that it serves others."""
    found = [key.partition("/") for key in port_keys(service)]
    return tuple(sorted({int(port) for port, _, protocol in found if protocol == "tcp"}))


def port_keys(service: ServiceSpec) -> tuple[str, ...]:
    """Return the ports that a service declares, as the engine has them: ``8000/tcp``."""
    if service.config.get("network_mode") == "none":
        return ()
    keys = [f"{port['target']}/{port.get('protocol') or 'tcp'}" for port in _published(service)]
    return (*keys, *_exposed(service.config))


def stop_grace_s(service: ServiceSpec) -> float:
    """Return how long the service may take to end when it is stopped, in seconds."""
    declared = service.config.get("stop_grace_period")
    return _DEFAULT_GRACE_S if declared is None else parse_duration(str(declared))


def _commands(config: Mapping[str, Json]) -> dict[str, Json]:
    commands: dict[str, Json] = {}
    for key, api in (("command", "Cmd"), ("entrypoint", "Entrypoint")):
        value = config.get(key)
        if isinstance(value, str):
            commands[api] = list(shlex.split(value))
        elif value is not None:
            commands[api] = list(cast("list[str]", value))
    return commands


def _environment(config: Mapping[str, Json]) -> list[Json]:
    environment = cast("Mapping[str, str | None]", config.get("environment") or {})
    return [key if value is None else f"{key}={value}" for key, value in environment.items()]


def _healthcheck(declared: Mapping[str, Json]) -> dict[str, Json]:
    if declared.get("disable"):
        return {"Test": ["NONE"]}
    body: dict[str, Json] = {}
    if declared.get("test"):
        body["Test"] = list(cast("list[str]", declared["test"]))
    for key, api in (
        ("interval", "Interval"),
        ("timeout", "Timeout"),
        ("start_period", "StartPeriod"),
        ("start_interval", "StartInterval"),
    ):
        if declared.get(key):
            body[api] = round(parse_duration(str(declared[key])) * 1e9)
    if declared.get("retries") is not None:
        body["Retries"] = declared["retries"]
    return body


def _own_exposed(service: ServiceSpec, context: BodyContext) -> list[str]:
    if ":" in str(service.config.get("network_mode")):
        return []  # an engine takes them only where the network is the container's own
    return [key for each in (service, *context.guests) for key in _exposed(each.config)]


def _exposed(config: Mapping[str, Json]) -> list[str]:
    entries = cast("list[str]", config.get("expose") or [])
    found = []
    for entry in entries:
        ports, _, protocol = str(entry).partition("/")
        first, _, last = ports.partition("-")
        found += [
            f"{number}/{protocol or 'tcp'}" for number in range(int(first), int(last or first) + 1)
        ]
    return found


def _port_bindings(service: ServiceSpec, context: BodyContext) -> dict[str, list[dict[str, str]]]:
    if service.config.get("network_mode") not in (None, "bridge"):
        return {}
    bindings: dict[str, list[dict[str, str]]] = {}
    for port in _published(service, *context.guests):
        key = f"{port['target']}/{port.get('protocol') or 'tcp'}"
        if context.names.isolated:
            bindings[key] = [{"HostIp": context.publish_host, "HostPort": ""}]
        else:
            binding = {
                "HostIp": str(port.get("host_ip") or ""),
                "HostPort": str(port.get("published") or ""),
            }
            bindings.setdefault(key, []).append(binding)
    if context.publish_exposed:
        for key in (key for each in (service, *context.guests) for key in _exposed(each.config)):
            bindings.setdefault(key, [{"HostIp": context.publish_host, "HostPort": ""}])
    return bindings


def _published(*services: ServiceSpec) -> list[Mapping[str, Json]]:
    return [
        port
        for service in services
        for port in cast("list[Mapping[str, Json]]", service.config.get("ports") or [])
    ]


def networks_of(service: ServiceSpec) -> dict[str, Mapping[str, Json]]:
    """Return the networks that the service joins, the one with the highest priority first."""
    if service.config.get("network_mode"):
        return {}
    declared = cast("Mapping[str, Mapping[str, Json] | None]", service.config.get("networks") or {})
    ordered = sorted(
        declared.items(), key=lambda item: -int(cast("int", (item[1] or {}).get("priority") or 0))
    )
    return {key: value or {} for key, value in ordered}


def endpoint_config(service: ServiceSpec, key: str, names: Names) -> dict[str, Json]:
    """Return the Engine API's EndpointSettings for one network of a service."""
    networks = networks_of(service)
    declared = networks[key]
    aliases = cast("list[str]", declared.get("aliases") or [])
    endpoint: dict[str, Json] = {
        "Aliases": [*names.aliases(service.name), *aliases],
        "Links": [*_links(service.config, names)],
    }
    addresses: dict[str, Json] = {
        api: declared[key]
        for key, api in (
            ("ipv4_address", "IPv4Address"),
            ("ipv6_address", "IPv6Address"),
            ("link_local_ips", "LinkLocalIPs"),
        )
        if declared.get(key)
    }
    # Isolated copies have no subnet of their own choice (see `Creator`), nor an address in it.
    if addresses and not names.isolated:
        endpoint["IPAMConfig"] = addresses
    first = key == next(iter(networks))
    mac_address = _mac_address(service, names) if first else declared.get("mac_address")
    if mac_address and not _crowded(key, names):
        endpoint["MacAddress"] = mac_address
    if declared.get("driver_opts"):
        endpoint["DriverOpts"] = declared["driver_opts"]
    return endpoint


def _links(config: Mapping[str, Json], names: Names) -> list[str]:
    links = []
    for text in cast("list[str]", config.get("links") or []):
        service, _, alias = text.partition(":")
        links.append(f"{names.container(service)}:{alias or service}")
    external = cast("list[str]", config.get("external_links") or [])
    return [*links, *(names.external_link(text) for text in external)]


def first_endpoint(service: ServiceSpec, names: Names) -> dict[str, dict[str, Json]]:
    """Return the endpoint that a container is created with.

    Engines before API 1.44 take only one there; the others are connected before the start.
    """
    for key in networks_of(service):
        return {names.network(key): endpoint_config(service, key, names)}
    return {}


def _mac_address(service: ServiceSpec, names: Names) -> Json:
    """Return the fixed hardware address of the container in its first network, if any."""
    for key, declared in networks_of(service).items():
        if _crowded(key, names):
            return None
        return service.config.get("mac_address") or declared.get("mac_address")
    return service.config.get("mac_address")


def _crowded(key: str, names: Names) -> bool:
    """Tell whether several copies meet in a network, in which no address may be there twice."""
    return names.isolated and names.is_external("networks", key)
