"""Stacks of which two copies cannot run side by side, and what is taken out so that they can."""

from __future__ import annotations

from pathlib import Path

import pytest

from dockwright.compose import LoadOptions, load
from dockwright.engine import Engine
from dockwright.stack import sole_reason
from tests.stack.conftest import StackMaker

SOLE = {
    "host": (
        "web: {image: x, network_mode: host}",
        "",
        "service web is in the host's network, where each port exists only once",
    ),
    "foreign-network": (
        "web: {image: x, network_mode: 'container:vpn'}",
        "",
        "service web is in the network of a container outside the project (container:vpn)",
    ),
    "external-network": (
        "web: {image: x, networks: [proxy]}",
        "networks: {proxy: {external: true, name: traefik}}",
        "services of two copies would have the same names in the external network proxy",
    ),
    "external-volume": (
        "web: {image: x, volumes: ['data:/data']}",
        "volumes: {data: {external: true}}",
        "service web may write to the external volume data",
    ),
    "interface": (
        "web: {image: x, networks: [lan]}",
        "networks: {lan: {driver: macvlan, driver_opts: {parent: eth0}}}",
        "network lan takes an interface of the host (`parent`) for itself",
    ),
}
SEVERAL = {
    "plain": ("web: {image: x, ports: ['80:80'], container_name: web}", ""),
    "shared": (
        "a: {image: x, container_name: a}\n  b: {image: x, network_mode: 'container:a'}",
        "",
    ),
    "read-only": (
        "web: {image: x, volumes: ['data:/data:ro']}",
        "volumes: {data: {external: true}}",
    ),
    "unused": ("web: {image: x}", "networks: {proxy: {external: true}}"),
    "privileged": ("web: {image: x, privileged: true, pid: host, volumes: ['/:/host']}", ""),
    "fixed": (
        "web: {image: x, networks: {n: {ipv4_address: 10.1.1.2, mac_address: 02-42-ac-11-65-43}}}",
        "networks: {n: {ipam: {config: [{subnet: 10.1.1.0/24}]}}}",
    ),
}


def reason(directory: Path, services: str, top: str) -> str:
    (directory / "compose.yaml").write_text(f"services:\n  {services}\n{top}\n")
    return sole_reason(load(LoadOptions(start=directory, environ={})))


@pytest.mark.parametrize(("services", "top", "why"), SOLE.values(), ids=SOLE)
def test_resources_that_allow_one_copy_are_named(
    services: str, top: str, why: str, tmp_path: Path
) -> None:
    assert reason(tmp_path, services, top) == why


@pytest.mark.parametrize(("services", "top"), SEVERAL.values(), ids=SEVERAL)
def test_unused_and_adjustable_resources_allow_copies(
    services: str, top: str, tmp_path: Path
) -> None:
    assert reason(tmp_path, services, top) == ""


@pytest.mark.engine
def test_fixed_addresses_and_interfaces_are_dropped_in_copies(
    make_stack: StackMaker, engine: Engine
) -> None:
    text = """
services:
  web:
    image: IMAGE
    command: ["sh", "-c", "while :; do sleep 0.1; done"]
    container_name: fixed
    networks: {n: {ipv4_address: 10.213.7.9, mac_address: "02:42:ac:11:65:43"}}
networks:
  n:
    name: fixed
    ipam: {config: [{subnet: 10.213.7.0/24, gateway: 10.213.7.1}]}
    driver_opts: {com.docker.network.bridge.name: dwfixed0}
"""
    one, two = make_stack(text), make_stack(text)
    one.start()
    two.start()
    for stack in (one, two):
        details = engine.inspect_container(stack.containers["web"])
        (network,) = details["NetworkSettings"]["Networks"].values()
        assert not network["IPAddress"].startswith("10.213.7.")
        assert network["MacAddress"] == "02:42:ac:11:65:43"
