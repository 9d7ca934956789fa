"""Ports in short form: ``8080:80``, ``127.0.0.1::53/udp``, ``3000-3002:3000-3002``."""

from __future__ import annotations

import ipaddress
import re
from typing import Any

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
