"""Keys that an engine is too old for are named, and refused where they change what runs."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from dockwright.compose import LoadOptions, load
from dockwright.compose.fields import PROJECT
from dockwright.compose.shapes import Shape
from dockwright.engine import Engine, EngineVersion
from dockwright.errors import ComposeUnsupportedError
from dockwright.model import StackSpec
from dockwright.stack.engine_needs import (
    NETWORK_KEYS,
    SERVICE_KEYS,
    engine_warnings,
    require_engine,
)
from tests.compose.test_specification import below
from tests.stack.conftest import StackMaker

OLD = EngineVersion("20.10.24", "1.41", "docker", "linux", "amd64", "")

REFUSED = {
    "annotations": ("annotations: {a: b}", "annotations", "1.43", "Docker 24"),
    "subpath": (
        "volumes: [{type: bind, source: /tmp, target: /b}, "
        "{type: volume, source: v, target: /a, volume: {subpath: s}}]",
        "volumes[1].volume.subpath",
        "1.45",
        "Docker 26",
    ),
    "recursive": (
        "volumes: [{type: bind, source: /tmp, target: /b, read_only: true, "
        "bind: {recursive: readonly, propagation: rprivate}}]",
        "volumes[0].bind.recursive",
        "1.44",
        "Docker 25",
    ),
    "hardware": (
        "networks: {m: , n: {mac_address: '02:42:ac:11:65:43'}}",
        "networks.n.mac_address",
        "1.44",
        "Docker 25",
    ),
}
TOP = "volumes: {v: }\nnetworks: {n: , m: }\n"


def spec_of(directory: Path, line: str, top: str = TOP) -> StackSpec:
    file = directory / "compose.yaml"
    file.write_text(f"services: {{web: {{image: IMAGE, {line}}}}}\n{top}")
    return load(LoadOptions(files=(file,), environ={}))


@pytest.mark.parametrize(("line", "path", "api", "product"), REFUSED.values(), ids=REFUSED)
def test_keys_that_would_change_behaviour_are_refused(
    line: str, path: str, api: str, product: str, tmp_path: Path
) -> None:
    spec = spec_of(tmp_path, line)

    with pytest.raises(ComposeUnsupportedError) as caught:
        require_engine(spec, ["web"], OLD)

    assert caught.value.message == (
        f"services.web.{path}: needs an engine with API {api} ({product}) or newer; "
        "this one has API 1.41 (docker 20.10.24)"
    )
    assert caught.value.hint == "use a newer engine, or leave the key out"
    require_engine(spec, ["web"], replace(OLD, api=api))
    require_engine(spec, [], OLD)
    assert engine_warnings(spec, OLD) == ()


def test_a_network_without_ipv4_is_refused(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, "networks: [n]", "networks: {n: {enable_ipv4: false}}")

    with pytest.raises(ComposeUnsupportedError, match=r"^networks\.n\.enable_ipv4: needs an engin"):
        require_engine(spec, ["web"], OLD)
    require_engine(spec, ["web"], replace(OLD, api="1.48"))


@pytest.mark.parametrize(
    "line",
    [
        "networks: {n: {mac_address: '02:42:ac:11:65:43'}}",
        "mac_address: '02:42:ac:11:65:43'",
        "volumes: [{type: bind, source: /a, target: /b, bind: {recursive: disabled}}]",
        "networks: {m: , n: {mac_address: '02:42:ac:11:65:43', priority: 1}}",
    ],
)
def test_keys_that_every_engine_supports_are_accepted(line: str, tmp_path: Path) -> None:
    require_engine(spec_of(tmp_path, line), ["web"], OLD)


def test_ignored_keys_are_named(tmp_path: Path) -> None:
    spec = spec_of(tmp_path, "healthcheck: {test: 'true', start_interval: 1s}")

    require_engine(spec, ["web"], OLD)

    assert [str(each) for each in engine_warnings(spec, OLD)] == [
        "services.web.healthcheck.start_interval: is not used: it needs API 1.44 (Docker 25); "
        "the engine runs its own checks at the usual interval from the start"
    ]
    assert engine_warnings(spec, replace(OLD, api="1.44")) == ()


def test_the_tables_name_keys_of_compose_that_the_documentation_lists() -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "compose-support.md").read_text()
    tables = [("services.*.", SERVICE_KEYS), ("networks.*.", NETWORK_KEYS)]
    for prefix, table in tables:
        for key, need in table.items():
            shapes: list[Shape] = [PROJECT]
            for part in f"{prefix}{key}".split("."):
                steps = [part, "[]"] if part == "*" else [part]
                shapes = [
                    found for shape in shapes for step in steps for found in below(shape, step)
                ]
            assert shapes, key
            name = key.replace("*.", "")
            rows = re.findall(rf"^\|.*`{re.escape(name)}`.*\|$", page, re.MULTILINE)
            assert any(f"API {need.api}, {need.product} " in row for row in rows), name


@pytest.mark.engine
@pytest.mark.parametrize(
    "name", [name for name in REFUSED if name != "subpath"]
)  # a sub-path has to be there before
def test_unsupported_needs_are_refused_before_anything_is_created(
    name: str, make_stack: StackMaker, engine: Engine
) -> None:
    line, path, api, _ = REFUSED[name]
    used = "volumes: {v: }\n" if "source: v" in line else ""
    nets = f"networks: {{{', '.join(f'{n}: ' for n in 'nm' if f'{n}:' in line)}}}\n"
    command = '["sh", "-c", "while :; do sleep 0.1; done"]'
    stack = make_stack(
        f"services: {{web: {{image: IMAGE, command: {command}, {line}}}}}\n{used}"
        + (nets if "networks" in line else "")
    )
    if engine.version().api_at_least(api):
        stack.start()
        return
    with pytest.raises(ComposeUnsupportedError, match=re.escape(f"services.web.{path}: needs")):
        stack.start()
    assert stack.containers == {}


@pytest.mark.engine
def test_a_fixed_hardware_address_is_that_of_the_container(
    make_stack: StackMaker, engine: Engine
) -> None:
    address = "02:42:ac:11:65:43"
    command = '["sh", "-c", "while :; do sleep 0.1; done"]'
    stack = make_stack(
        f"""
services:
  a: {{image: IMAGE, command: {command}, networks: {{n: {{mac_address: "{address}"}}}}}}
  b: {{image: IMAGE, command: {command}, networks: [m], mac_address: "{address}"}}
networks: {{n: , m: }}
"""
    )
    stack.start()
    for service in ("a", "b"):
        details = engine.inspect_container(stack.containers[service])
        (network,) = details["NetworkSettings"]["Networks"].values()
        assert network["MacAddress"] == address
