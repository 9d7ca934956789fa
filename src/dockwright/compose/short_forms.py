"""Short forms such as ``8080:80`` or ``A=1``: read, and replaced by the long form."""

from __future__ import annotations

import ipaddress
import posixpath
import re
from typing import Any

from dockwright.compose.read_yaml import go_text
from dockwright.compose.shapes import Expand, Shape
from dockwright.compose.source import DocPath, Origins, Tree

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
        raise ValueError(f"{text!r} has no container port")
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
        raise ValueError(f"{whole!r} has a range whose end is before its start")
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
    sections = _mount_sections(text)
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
    """Return whether a volume's source is a path of the host rather than a volume's name."""
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


def _mount_sections(text: str) -> list[str]:
    """Split at colons, but not after the letter of a Windows drive."""
    sections = [""]
    for char in text:
        drive = len(sections[-1]) == 1 and sections[-1].isalpha()
        if char == ":" and not drive:
            sections.append("")
        else:
            sections[-1] += char
    return sections


class Listed(dict[str, Any]):
    """Pairs that were written as a list, or merged.

    Compose keeps them as a list, so ``!reset`` and ``!override`` cannot remove one entry.
    """


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
            name: [_without_brackets(a) for a in (entry if isinstance(entry, list) else [entry])]
            for name, entry in value.items()
        }
    result: dict[str, list[str]] = Listed()
    for entry in value:
        name, found, addresses = entry.partition("=" if "=" in entry else ":")
        if not found or not name or ":" in name:
            raise ValueError(f"{entry!r} is not a host and an address, such as 'db=10.0.0.2'")
        result.setdefault(name, []).extend(map(_without_brackets, addresses.split(",")))
    return result


def _without_brackets(text: str) -> str:
    return text[1:-1] if text.startswith("[") and text.endswith("]") else text


def lengthen(tree: Tree, shape: Shape | None, origins: Origins, path: DocPath = ()) -> Tree:
    """Return `tree` in long form.

    Raises:
        ComposeError: a short form that cannot be read.
    """
    if shape is None or tree is None:
        return tree
    if shape.expand:
        try:
            tree = shape.expand(tree)
        except ValueError as exc:
            raise origins.error(path, str(exc)) from exc
        if shape.expand in _GROWING:
            origins.spend(path, values=3 * len(tree))
    if isinstance(tree, dict):
        return type(tree)(
            (k, lengthen(v, shape.child(k), origins, (*path, k))) for k, v in tree.items()
        )
    if isinstance(tree, list):
        entries = [lengthen(e, shape.child(i), origins, (*path, i)) for i, e in enumerate(tree)]
        spread = [entry if isinstance(entry, list) else [entry] for entry in entries]
        return [entry for part in spread for entry in part]
    return tree


def listed(value: Tree) -> Tree:
    """Return one text as a list."""
    return [value] if isinstance(value, str) else value


def text_as(key: str) -> Expand:
    """Return the expansion of a text that stands for a mapping with this one key."""
    return lambda value: {key: value} if isinstance(value, str) else value


def port(value: Tree) -> list[dict[str, Any]]:
    """Return the long forms of one port or range of ports."""
    if isinstance(value, dict):
        if "target" not in value:
            raise ValueError("has no target port")
        if isinstance(value["target"], int) and not 0 <= value["target"] <= MAX_PORT:
            raise ValueError(f"has the invalid target port {value['target']}")
        return [{"mode": "ingress", "protocol": "tcp"} | value]
    return parse_port(str(value))  # a fraction is reported as an invalid port


def volume(value: Tree) -> Tree:
    """Return the long form of a volume."""
    return parse_volume(value) if isinstance(value, str) else value


def device(value: Tree) -> Tree:
    """Return the long form of a device."""
    return parse_device(value) if isinstance(value, str) else value


def contexts(value: Tree) -> Tree:
    """Return additional build contexts by name."""
    for entry in value if isinstance(value, list) else ():
        if "=" not in entry:
            raise ValueError(f"{entry!r} is not a name and a context, such as 'base=./base'")
    return pairs(value)


def depends_on(value: Tree) -> Tree:
    """Return the conditions of dependencies by service."""
    if isinstance(value, list):
        return {name: {"condition": "service_started", "required": True} for name in value}
    return value


def env_file(value: Tree) -> Tree:
    """Return the path of an env file, and whether it is required."""
    return {"required": True} | ({"path": value} if isinstance(value, str) else value)


def attachments(value: Tree) -> Tree:
    """Return the settings of a service's networks by name."""
    return dict.fromkeys(value) if isinstance(value, list) else value


def gpus(value: Tree) -> Tree:
    """Return the device requests that ``all`` stands for."""
    return [{"count": -1}] if value == "all" else value


def external(value: Tree) -> Tree:
    """Replace the old ``external: {name: N}`` by ``external: true`` and ``name: N``."""
    external = value.get("external")
    if not isinstance(external, dict):
        return value
    name = external.get("name")
    if name and value.get("name", name) != name:
        raise ValueError("'name' and 'external.name' contradict each other")
    named = {"name": name} if "name" in external else {}
    return value | {"external": True} | named


_GROWING = (port, depends_on)
"""Expansions that make many values of a few characters."""
