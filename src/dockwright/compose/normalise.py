"""Adds what a merged project leaves unsaid: default network, names, implied dependencies."""

from __future__ import annotations

import ipaddress
import posixpath
import re
from collections.abc import Callable, Mapping
from typing import Any

from dockwright.compose.read_yaml import go_text
from dockwright.compose.references import NAMESPACES
from dockwright.compose.source import DocPath, Origins, Patterns, Tree, is_extension

_PROTOCOLS = ("tcp", "udp", "sctp")
MAX_PORT = 65535
_PORT = re.compile(r"0*[0-9]{1,5}")


def parse_port(text: str) -> list[dict[str, Any]]:
    """Return the long form of one short port, an entry for each port of a range.

    Raises:
        ValueError: not a port; the message says why.
    """
    host_ip, published, target, protocol = _sections(text)
    targets = _range(target, text)
    if targets[0] == 0:
        raise ValueError(f"{text!r} has the invalid container port '0'")
    hosts = _range(published, text) if published else None
    if hosts and len(hosts) != len(targets) and len(targets) != 1:
        raise ValueError(f"{text!r} has ranges of different lengths")
    result = []
    for index, port in enumerate(targets):
        entry: dict[str, Any] = {"mode": "ingress"}
        if host_ip:
            entry["host_ip"] = host_ip
        entry["target"] = port
        if hosts:
            entry["published"] = published if len(targets) == 1 else str(hosts[index])
        result.append(entry | {"protocol": protocol})
    if hosts and len(targets) == 1:
        result[0]["published"] = str(hosts[0]) if len(hosts) == 1 else f"{hosts[0]}-{hosts[-1]}"
    return sorted(result, key=lambda entry: f"{entry['target']}/{entry['protocol']}")


def _sections(text: str) -> tuple[str, str, str, str]:
    """Split into host address, published ports, target ports and protocol."""
    spec, slash, protocol = text.partition("/")
    protocol = protocol.lower() if slash and protocol else "tcp"
    if protocol not in _PROTOCOLS:
        raise ValueError(f"{text!r} has the unknown protocol {protocol!r}; use tcp, udp or sctp")
    *front, target = spec.rsplit(":", 2)
    if not target:
        raise ValueError(f"{text!r} names no container port")
    published = front.pop() if front else ""
    host_ip = front[0] if front else ""
    return _address(host_ip, text), published, target, protocol


def _address(host_ip: str, whole: str) -> str:
    bracketed = host_ip.startswith("[") and host_ip.endswith("]")
    bare = host_ip[1:-1] if bracketed else host_ip
    if bare:
        try:
            address = ipaddress.ip_address(bare)
        except ValueError as exc:
            raise ValueError(f"{whole!r} has the invalid host address {host_ip!r}") from exc
        if address.version == 6 and (not bracketed or "%" in bare):
            raise ValueError(f"{whole!r} needs an IPv6 address without zone in brackets: '[::1]'")
    return bare


def _range(text: str, whole: str) -> range:
    first, dash, last = text.partition("-")
    last = last if dash else first
    for part in (first, last):
        if not (_PORT.fullmatch(part) and int(part) <= MAX_PORT):
            raise ValueError(f"{whole!r} has the invalid port {part!r}")
    if int(last) < int(first):
        raise ValueError(f"{whole!r} has a range that ends before it begins")
    return range(int(first), int(last) + 1)


_PROPAGATIONS = ("rprivate", "private", "rshared", "shared", "rslave", "slave")


def parse_volume(text: str) -> dict[str, Any]:
    """Return the long form of one short volume.

    Raises:
        ValueError: not a volume; the message says why.
    """
    if len(text) <= 2:
        if not text:
            raise ValueError("a volume cannot be empty")
        return {"type": "volume", "target": clean_target(text)}
    sections = _sections_mounts(text)
    if "" in sections:
        raise ValueError(f"{text!r} has an empty section between colons")
    if len(sections) > 3:
        raise ValueError(f"{text!r} has too many colons")
    source, target = ("", sections[0]) if len(sections) == 1 else (sections[0], sections[1])
    is_path = is_file_path(source)
    volume: dict[str, Any] = {"type": "bind" if is_path else "volume"}
    if source:
        volume["source"] = source
    volume["target"] = clean_target(target)
    bind: dict[str, Any] = {}
    named: dict[str, Any] = {}
    for option in sections[2].split(",") if len(sections) == 3 else ():
        if option in ("ro", "rw"):
            volume["read_only"] = option == "ro"
        elif option == "nocopy":
            named["nocopy"] = True
        elif option in ("z", "Z"):
            bind["selinux"] = option
        elif option in _PROPAGATIONS:
            bind["propagation"] = option
    if is_path:
        bind["create_host_path"] = True
    if bind or is_path:
        volume["bind"] = bind
    if named or not is_path:
        volume["volume"] = named
    return volume


def is_file_path(source: str) -> bool:
    """Tell whether a volume's source is a path of the host rather than a volume's name."""
    if source.startswith((".", "/", "~", "\\\\")):
        return True
    return len(source) > 1 and source[0].isalpha() and source[1] == ":"


def clean_target(target: str) -> str:
    """Return a path in the container without ``..`` and doubled or trailing slashes."""
    cleaned = posixpath.normpath(target)
    return "/" + cleaned.lstrip("/") if cleaned.startswith("/") else cleaned


def parse_device(text: str) -> dict[str, str]:
    """Return the long form of one short device.

    Raises:
        ValueError: more than three sections.
    """
    source, *rest = text.split(":")
    if len(rest) > 2:
        raise ValueError(f"{text!r} has too many colons; use source, target and permissions")
    permissions = rest[1] if len(rest) == 2 else "rwm"
    return {"source": source, "target": rest[0] if rest else source, "permissions": permissions}


def _sections_mounts(text: str) -> list[str]:
    """Split at colons, but not after the letter of a Windows drive."""
    sections = [""]
    for char in text:
        drive = len(sections[-1]) == 1 and sections[-1].isalpha()
        if char == ":" and not drive:
            sections.append("")
        else:
            sections[-1] += char
    return sections


_NAMED = ("networks", "volumes", "secrets", "configs")


def give_contexts(tree: Tree) -> None:
    """Give builds of one project, or of an included one, its directory where they name none."""
    for service in (tree.get("services") or {}).values():
        if isinstance(service.get("build"), dict):
            service["build"].setdefault("context", ".")


def normalise(tree: Tree, name: str, variables: Mapping[str, str]) -> None:
    """Complete a merged project in long form, in place.

    Args:
        tree: the project.
        name: its name.
        variables: values for build arguments that have none.
    """
    tree["name"] = name
    services = tree["services"] = tree.get("services") or {}
    for service in services.values():
        _service(service, variables)
    _default_network(tree, services)
    for section in _NAMED:
        for key, resource in list((tree.get(section) or {}).items()):
            tree[section][key] = _named(resource or {}, key, name)


def prune(tree: Tree) -> None:
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


def _service(service: dict[str, Any], variables: Mapping[str, str]) -> None:
    if not service.get("networks") and "network_mode" not in service:
        service["networks"] = {"default": None}
    if service.get("pull_policy") == "if_not_present":
        service["pull_policy"] = "missing"
    if service.get("build") is not None:
        _build(service["build"], variables)
    for mount in service.get("volumes") or ():
        if mount.get("target"):
            mount["target"] = clean_target(mount["target"])
    for mount in service.get("secrets") or ():
        mount.setdefault("target", f"/run/secrets/{mount.get('source')}")
    for request in [*(service.get("gpus") or ()), *_reserved_devices(service)]:
        if "count" not in request and "device_ids" not in request:
            request["count"] = -1
    health = service.get("healthcheck") or {}
    if isinstance(health.get("test"), str):
        health["test"] = ["CMD-SHELL", health["test"]]
    if service.get("scale") is not None and service.get("deploy") is not None:
        service["deploy"].setdefault("replicas", service["scale"])
    _implied_dependencies(service)


def _reserved_devices(service: dict[str, Any]) -> list[dict[str, Any]]:
    resources = (service.get("deploy") or {}).get("resources") or {}
    devices: list[dict[str, Any]] = (resources.get("reservations") or {}).get("devices") or []
    return devices


def _build(build: dict[str, Any], variables: Mapping[str, str]) -> None:
    if "dockerfile" not in build and "dockerfile_inline" not in build:
        build["dockerfile"] = "Dockerfile"
    args = build.get("args") or {}
    filled = {key: variables.get(key) if value is None else value for key, value in args.items()}
    build["args"] = {key: value for key, value in filled.items() if value is not None}
    ssh = build.get("ssh") or {}
    build["ssh"] = [key if value is None else f"{key}: {value}" for key, value in ssh.items()]


def _implied_dependencies(service: dict[str, Any]) -> None:
    implied: dict[str, bool] = {}
    for link in service.get("links") or ():
        implied.setdefault(link.partition(":")[0], True)
    for key in NAMESPACES:
        kind, colon, target = (service.get(key) or "").partition(":")
        if kind == "service" and colon:
            implied.setdefault(target, True)
    for source in service.get("volumes_from") or ():
        if not source.startswith("container:"):
            implied.setdefault(source.partition(":")[0], False)
    depends_on = dict(service.get("depends_on") or {})
    for name, restart in implied.items():
        entry = {"condition": "service_started", "required": True}
        depends_on.setdefault(name, entry | ({"restart": True} if restart else {}))
    if depends_on:
        service["depends_on"] = {
            name: {"required": True} | entry for name, entry in depends_on.items()
        }


def _default_network(tree: Tree, services: dict[str, Any]) -> None:
    networks = tree.get("networks") or {}
    if any("default" in (service.get("networks") or {}) for service in services.values()):
        networks.setdefault("default", None)
    tree["networks"] = networks


def _named(resource: dict[str, Any], key: str, project: str) -> dict[str, Any]:
    if resource.get("name"):
        return resource
    external = resource.get("external") is True
    return {"name": key if external else f"{project}_{key}"} | resource


class Listed(dict[str, Any]):
    """Pairs that stood in a list or were merged: to Compose a list, of which it resets no entry."""


def pairs(value: Tree) -> dict[str, str | None]:
    """Return ``A=1`` lists and mappings alike as a mapping; a name without a value has None."""
    if isinstance(value, dict):
        return {name: None if entry is None else go_text(entry) for name, entry in value.items()}
    result: dict[str, str | None] = Listed()
    for entry in value or ():
        name, equals, text = go_text(entry).partition("=")
        result[name] = text if equals else None
    return result


def hosts(value: Tree) -> dict[str, list[str]]:
    """Return ``extra_hosts`` as addresses by host name.

    Raises:
        ValueError: an entry that is not ``HOST=ADDRESS`` or ``HOST:ADDRESS``.
    """
    if isinstance(value, dict):
        return {
            name: [_address_mappings(a) for a in (entry if isinstance(entry, list) else [entry])]
            for name, entry in value.items()
        }
    result: dict[str, list[str]] = Listed()
    for entry in value:
        name, found, addresses = entry.partition("=" if "=" in entry else ":")
        if not found or not name or ":" in name:
            raise ValueError(f"{entry!r} is not a host and an address, such as 'db=10.0.0.2'")
        result.setdefault(name, []).extend(map(_address_mappings, addresses.split(",")))
    return result


def _address_mappings(text: str) -> str:
    return text[1:-1] if text.startswith("[") and text.endswith("]") else text


Form = Callable[[Tree], Tree]


def lengthen(tree: Tree, origins: Origins, path: DocPath = ()) -> Tree:
    """Return `tree` in long form.

    Raises:
        ComposeError: a short notation that cannot be read.
    """
    form = _FORMS.find(path)
    if form and tree is not None:
        try:
            tree = form(tree)
            if form in (_ports, _depends_on):  # few characters become many values
                origins.spend(path, values=3 * len(tree))
        except ValueError as exc:
            raise origins.error(path, str(exc)) from exc
    if isinstance(tree, dict):
        return type(tree)(
            (k, v if is_extension(path, k) else lengthen(v, origins, (*path, k)))
            for k, v in tree.items()
        )
    if isinstance(tree, list):
        entries = [lengthen(entry, origins, (*path, i)) for i, entry in enumerate(tree)]
        spread = path[2:] == ("ports",) and path[0] == "services"
        return [port for ports in entries for port in ports] if spread else entries
    return tree


def _listed(value: Tree) -> Tree:
    return [value] if isinstance(value, str) else value


def _ports(value: Tree) -> list[dict[str, Any]]:
    if isinstance(value, dict):
        if "target" not in value:
            raise ValueError("names no target port")
        if isinstance(value["target"], int) and not 0 <= value["target"] <= MAX_PORT:
            raise ValueError(f"has the invalid target port {value['target']}")
        return [{"mode": "ingress", "protocol": "tcp"} | value]
    return parse_port(str(value))  # a float is told as the invalid port that it is


def _build_forms(value: Tree) -> Tree:
    return {"context": value} if isinstance(value, str) else value


def _contexts(value: Tree) -> Tree:
    for entry in value if isinstance(value, list) else ():
        if "=" not in entry:
            raise ValueError(f"{entry!r} is not a name and a context, such as 'base=./base'")
    return pairs(value)


def _depends_on(value: Tree) -> Tree:
    if isinstance(value, list):
        return {name: {"condition": "service_started", "required": True} for name in value}
    return value


def _env_file(value: Tree) -> Tree:
    entries = [value] if isinstance(value, str) else value
    return [
        {"path": entry, "required": True} if isinstance(entry, str) else {"required": True} | entry
        for entry in entries
    ]


def _extends(value: Tree) -> Tree:
    return {"service": value} if isinstance(value, str) else value


def _attachments(value: Tree) -> Tree:
    return dict.fromkeys(value) if isinstance(value, list) else value


def _volume(value: Tree) -> Tree:
    return parse_volume(value) if isinstance(value, str) else value


def _device(value: Tree) -> Tree:
    return parse_device(value) if isinstance(value, str) else value


def _mount(value: Tree) -> Tree:
    return {"source": value} if isinstance(value, str) else value


def _gpus(value: Tree) -> Tree:
    return [{"count": -1}] if value == "all" else value


def _external(value: Tree) -> Tree:
    """Move the old ``external: {name: N}`` to ``external: true`` and ``name: N``."""
    external = value.get("external")
    if not isinstance(external, dict):
        return value
    name = external.get("name")
    if name and value.get("name", name) != name:
        raise ValueError("'name' and 'external.name' contradict each other")
    named = {"name": name} if "name" in external else {}
    return value | {"external": True} | named


def _include(value: Tree) -> Tree:
    return {"path": value} if isinstance(value, str) else value


_FORMS: Patterns[Form] = Patterns(
    [
        ("include.*", _include),
        ("include.*.path", _listed),
        ("include.*.env_file", _listed),
        ("services.*.annotations", pairs),
        ("services.*.build", _build_forms),
        ("services.*.build.additional_contexts", _contexts),
        ("services.*.build.args", pairs),
        ("services.*.build.extra_hosts", hosts),
        ("services.*.build.labels", pairs),
        ("services.*.build.secrets.*", _mount),
        ("services.*.build.ssh", pairs),
        ("services.*.configs.*", _mount),
        ("services.*.depends_on", _depends_on),
        ("services.*.deploy.labels", pairs),
        ("services.*.deploy.resources.reservations.devices.*.options", pairs),
        ("services.*.develop.watch.*.exec.environment", pairs),
        ("services.*.develop.watch.*.ignore", _listed),
        ("services.*.devices.*", _device),
        ("services.*.dns", _listed),
        ("services.*.dns_search", _listed),
        ("services.*.env_file", _env_file),
        ("services.*.environment", pairs),
        ("services.*.extends", _extends),
        ("services.*.extra_hosts", hosts),
        ("services.*.gpus", _gpus),
        ("services.*.gpus.*.options", pairs),
        ("services.*.label_file", _listed),
        ("services.*.labels", pairs),
        ("services.*.networks", _attachments),
        ("services.*.ports.*", _ports),
        ("services.*.post_start.*.environment", pairs),
        ("services.*.pre_stop.*.environment", pairs),
        ("services.*.secrets.*", _mount),
        ("services.*.sysctls", pairs),
        ("services.*.tmpfs", _listed),
        ("services.*.volumes.*", _volume),
        ("networks.*", _external),
        ("networks.*.labels", pairs),
        ("volumes.*", _external),
        ("volumes.*.labels", pairs),
        ("secrets.*", _external),
        ("secrets.*.labels", pairs),
        ("configs.*", _external),
        ("configs.*.labels", pairs),
    ]
)
