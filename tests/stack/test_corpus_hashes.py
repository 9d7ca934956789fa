"""What the projects of the corpus are created from stays the same: long-lived stacks are kept.

An update replaces a container whose configuration hash differs, and the body is what it would be
replaced with. Where a change is meant, run ``python -m tests.stack.test_corpus_hashes``.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dockwright.compose import LoadOptions, load
from dockwright.model import StackSpec
from dockwright.stack.container_config import BodyContext, container_body, has_own_ports
from dockwright.stack.naming import Names, config_hash, guests_of
from tests._support.compose.reference import CORPUS, Case, cases

_GOLDEN = Path(__file__).with_name("corpus_hashes.json")


def hashes_of(case: Case) -> dict[str, Any]:
    """Return the project's content hash, and the hashes of each service: of it and two bodies."""
    spec = _load(case)
    portable = replace(
        spec,
        document=_without_place(spec.document),
        services={
            name: replace(service, config=_without_place(service.config))
            for name, service in spec.services.items()
        },
    )
    found: dict[str, Any] = {
        name: [config_hash(portable, name)[:16], *(_body(spec, name, alone) for alone in (0, 1))]
        for name in spec.services
    }
    if portable == spec:  # no path of this machine is in it
        found["*"] = spec.content_hash[:16]
    return found


def _load(case: Case) -> StackSpec:
    parser = argparse.ArgumentParser()
    parser.add_argument("-f", dest="files", type=Path, action="append", default=[])
    parser.add_argument("--profile", dest="profiles", action="append", default=[])
    parser.add_argument("--env-file", dest="env_files", type=Path, action="append", default=[])
    parser.add_argument("-p", dest="project_name")
    parser.add_argument("--project-directory", dest="working_dir", type=Path)
    given = vars(parser.parse_args(case.arguments))
    lists = {key: tuple(value) for key, value in given.items() if isinstance(value, list)}
    options = {**given, **lists, "environ": case.environment, "runnable": False}
    before = Path.cwd()
    os.chdir(case.directory)
    try:
        return load(LoadOptions(**options))
    finally:
        os.chdir(before)


def _body(spec: StackSpec, name: str, alone: int) -> str:
    context = BodyContext(
        names=Names(spec, "copy", isolated=not alone),
        image="image:1",
        labels={"owner": "test"},
        anonymous={"/anonymous": "copy_anonymous"},
        host_ports={} if alone else _any_ports(spec, name),
        guests=guests_of(spec, name),
    )
    body = json.dumps(container_body(spec.services[name], context), default=list, sort_keys=True)
    return hashlib.sha256(body.replace(str(CORPUS), "/CORPUS").encode()).hexdigest()[:16]


def _any_ports(spec: StackSpec, name: str) -> dict[str, list[dict[str, str]]]:
    """Return what an isolated copy publishes, where this host cannot reach the containers."""
    if not has_own_ports(spec.services[name]):
        return {}
    sharers = (spec.services[name], *guests_of(spec, name))
    ports = [port for each in sharers for port in each.declared_ports]
    return {str(port): [{"HostIp": "127.0.0.1", "HostPort": ""}] for port in ports}


def _without_place(document: Any) -> Any:
    return json.loads(json.dumps(document, default=list).replace(str(CORPUS), "/CORPUS"))


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_hashes_and_container_bodies_stay_the_same(case: Case) -> None:
    assert hashes_of(case) == json.loads(_GOLDEN.read_text())[case.name]


if __name__ == "__main__":
    found = {case.name: hashes_of(case) for case in cases()}
    _GOLDEN.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
