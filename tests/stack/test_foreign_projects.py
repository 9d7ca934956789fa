"""Copies of Compose projects as people write them, on a real engine."""

from __future__ import annotations

import itertools
import os
import re
import socket
import urllib.request

import pytest

from dockwright.engine import Engine
from dockwright.errors import ComposeError
from dockwright.stack import COMPOSE_PROJECT
from dockwright.stack.naming import Names
from tests._support.owned import Owned
from tests.stack.conftest import StackMaker

pytestmark = pytest.mark.engine

SLEEPER = 'image: IMAGE, command: ["sh", "-c", "while :; do sleep 0.1; done"]'
SERVER = (
    'image: IMAGE, command: ["sh", "-c", '
    '"mkdir /www; echo hello > /www/index.html; exec httpd -f -p PORT -h /www"]'
)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def page(address: object) -> bytes:
    with urllib.request.urlopen(f"http://{address}/", timeout=10) as answer:
        content: bytes = answer.read()
        return content


@pytest.mark.soak(sample=3)
@pytest.mark.parametrize(
    "name", ["db", "the-database", "shop-db-1", "shop_db_1"], ids=["service", "declared", "-", "_"]
)
def test_a_container_name_means_the_service_of_the_same_copy(
    name: str, make_stack: StackMaker
) -> None:
    declared = "container_name: the-database" if name == "the-database" else ""
    alias = "links: [db:shop_db_1]" if name == "shop_db_1" else ""
    text = f"""
name: shop
services:
  db: {{{SLEEPER}, {declared}}}
  web: {{{SLEEPER}, {alias}}}
"""
    one, two = make_stack(text), make_stack(text)
    for stack in (one, two):
        stack.start()
        address = stack.exec("db", ["hostname", "-i"]).stdout.strip()
        assert address in stack.exec("web", ["busybox", "ping", "-c1", "-W1", name]).stdout


def test_everything_that_names_a_container_means_that_of_the_same_copy(
    make_stack: StackMaker,
) -> None:
    text = f"""
name: shop
services:
  links: {{{SLEEPER}, external_links: ["the-database:store", "shop-web-1:front"]}}
  network: {{{SLEEPER}, network_mode: "container:the-database"}}
  pid: {{{SLEEPER}, pid: "container:the-database"}}
  ipc: {{{SLEEPER}, ipc: "container:shop-db-1"}}
  files: {{{SLEEPER}, volumes_from: ["container:the-database:ro"]}}
  web: {{{SLEEPER}}}
  db: {{{SLEEPER}, container_name: the-database, ipc: shareable, volumes: ["/data"]}}
"""
    for stack in (make_stack(text), make_stack(text)):
        stack.start()
        db = stack.containers["db"]
        address = stack.exec("db", ["hostname", "-i"]).stdout.strip()
        assert stack.exec("network", ["hostname", "-i"]).stdout.strip() == address
        assert address in stack.exec("links", ["busybox", "ping", "-c1", "-W1", "store"]).stdout
        web = stack.exec("web", ["hostname", "-i"]).stdout.strip()
        assert web in stack.exec("links", ["busybox", "ping", "-c1", "-W1", "front"]).stdout
        inspect = {
            name: stack.engine.inspect_container(stack.containers[name])["HostConfig"]
            for name in ("pid", "ipc")
        }
        assert inspect["pid"]["PidMode"] == f"container:{db}"
        assert inspect["ipc"]["IpcMode"] == f"container:{db}"
        assert stack.exec("db", ["touch", "/data/mark"]).exit_code == 0
        assert stack.exec("files", ["ls", "/data/mark"]).exit_code == 0
        assert stack.exec("files", ["touch", "/data/other"]).exit_code != 0


def test_services_that_share_a_container_are_replaced_with_it(make_stack: StackMaker) -> None:
    stack = make_stack(
        f"""
services:
  a: {{{SLEEPER}, network_mode: "container:fixed"}}
  b: {{{SLEEPER}, container_name: fixed}}
"""
    )
    stack.start()
    assert stack.recreate(["b"]) == ["b", "a"]


def test_containers_that_need_each_other_are_named(make_stack: StackMaker) -> None:
    with pytest.raises(ComposeError) as caught:
        make_stack(
            f"""
services:
  a: {{{SLEEPER}, container_name: one, pid: "container:two"}}
  b: {{{SLEEPER}, container_name: two, pid: "container:one"}}
"""
        )
    assert "circular dependency: a -> b -> a" in str(caught.value)
    assert caught.value.line == 3


TARGETS = (
    "/a/b", "/a-b", "/a_b", "/a.b", "/a@b", "/a b", "/a+b", "/aéb", "/a/anonymous/b",
    "/a-anonymous-b", "/データ", "/" + "long/" * 60 + "path",
)  # fmt: skip


def test_every_anonymous_volume_is_a_volume_of_its_own(
    make_stack: StackMaker, engine: Engine
) -> None:
    volumes = ", ".join(f'"{target}"' for target in TARGETS)
    text = f"services:\n  web: {{{SLEEPER}, volumes: [{volumes}]}}\n"
    text += f'  web-anonymous-a: {{{SLEEPER}, volumes: ["/b", "/a/b"]}}\n'
    text += f'  other: {{{SLEEPER}, volumes: ["web-anonymous-a.b:/x"]}}\n'
    text += "volumes: {web-anonymous-a.b: }\n"
    for isolated in (True, False):
        stack = make_stack(text, isolated=isolated)
        stack.start()
        names = [
            mount["Name"]
            for container in stack.containers.values()
            for mount in engine.inspect_container(container)["Mounts"]
        ]
        assert len(names) == len(set(names)) == len(TARGETS) + 3
        for number, target in enumerate(TARGETS):
            assert stack.exec("web", ["touch", f"{target}/{number}"]).exit_code == 0
        for number, target in enumerate(TARGETS):
            assert stack.exec("web", ["ls", target]).stdout.split() == [str(number)]


def test_names_of_volumes_are_valid_and_never_meet(make_stack: StackMaker) -> None:
    stack = make_stack(f"services: {{web: {{{SLEEPER}}}}}")
    names = Names(stack.spec, "p", isolated=True)
    parts = ["a", "b", "-", "a-b", "anonymous", "a.b", "@", " ", "é", "x" * 120]
    targets = {
        f"/{'/'.join(words)}" for n in (1, 2, 3) for words in itertools.product(parts, repeat=n)
    }
    services = ["s", "s-anonymous-a", "s-anonymous", "a"]
    made = [names.anonymous_volume(service, target) for service in services for target in targets]
    assert len(set(made)) == len(made)
    assert all(re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+", name) for name in made)
    assert max(map(len, made)) <= 255


def test_a_long_lived_stack_keeps_the_volume_that_an_earlier_version_named(
    make_stack: StackMaker, engine: Engine
) -> None:
    stack = make_stack(f'services: {{web: {{{SLEEPER}, volumes: ["/my-data"]}}}}', isolated=False)
    old = f"{stack.identity.project}_web-anonymous-my-data"
    engine.create_volume(old, {"Labels": stack.identity.volume_labels("web:/my-data")})
    stack.start()
    assert stack.volumes_of("web") == {"/my-data": old}
    mounts = engine.inspect_container(stack.containers["web"])["Mounts"]
    assert [mount["Name"] for mount in mounts] == [old]


@pytest.mark.parametrize("isolated", [True, False])
def test_two_keys_with_one_name_are_one_volume_and_one_network(
    isolated: bool, make_stack: StackMaker, unique_name: str
) -> None:
    text = f"""
services:
  a: {{{SLEEPER}, volumes: ["one:/data"], networks: [left]}}
  b: {{{SLEEPER}, volumes: ["two:/data"], networks: [right]}}
volumes: {{one: {{name: {unique_name}-same}}, two: {{name: {unique_name}-same}}}}
networks: {{left: {{name: {unique_name}-net}}, right: {{name: {unique_name}-net}}}}
"""
    stack = make_stack(text, isolated=isolated)
    stack.start()
    assert stack.exec("a", ["touch", "/data/mark"]).exit_code == 0
    assert stack.exec("b", ["ls", "/data/mark"]).exit_code == 0
    assert stack.exec("a", ["busybox", "ping", "-c1", "-W1", "b"]).exit_code == 0


@pytest.mark.parametrize("ports", ["ports: ['PORT']", "expose: ['PORT']", "ports: ['PORT:PORT']"])
def test_a_service_in_the_host_network_answers(ports: str, make_stack: StackMaker) -> None:
    port = str(free_port())
    text = f"services:\n  web: {{{SERVER}, network_mode: host, {ports}}}\n".replace("PORT", port)
    stack = make_stack(text)
    stack.start()
    assert page(stack.address("web", int(port))) == b"hello\n"
    assert stack.addresses.published("web") == {f"{port}/tcp": f"127.0.0.1:{port}"}
    assert stack.addresses.host("web") == "127.0.0.1"
    assert stack.addresses.nearest("web", int(port)) == stack.address("web", int(port))


@pytest.mark.soak(sample=3)
@pytest.mark.parametrize("isolated", [True, False])
@pytest.mark.parametrize("mode", ["service:front", "container:fixed-HOST"])
def test_a_service_in_the_network_of_another_one_answers(
    mode: str, isolated: bool, make_stack: StackMaker, unique_name: str
) -> None:
    mode = mode.replace("HOST", unique_name)
    text = f"""
services:
  side: {{{SERVER.replace("PORT", "8001")}, network_mode: "{mode}", ports: ["8001"], expose: ["9"]}}
  third: {{{SERVER.replace("PORT", "8002")}, network_mode: "service:side", expose: ["8002"]}}
  front: {{{SERVER.replace("PORT", "8000")}, container_name: fixed-{unique_name}, ports: ["8000"]}}
"""
    stack = make_stack(text, isolated=isolated)
    stack.start()
    for service, port in (("front", 8000), ("side", 8001), ("third", 8002)):
        assert page(stack.address(service, port)) == b"hello\n"
    assert set(stack.addresses.published("side")) == {"8001/tcp"}
    assert page(stack.addresses.published("side")["8001/tcp"]) == b"hello\n"


@pytest.mark.parametrize("isolated", [True, False])
def test_a_read_only_service_gets_the_files_that_are_given_by_content(
    isolated: bool, make_stack: StackMaker, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKEN", "secret words")
    text = f"""
services:
  web:
    {SLEEPER.replace(", command", chr(10) + "    command")}
    read_only: true
    configs: [{{source: conf, target: /etc/a b/conf.d/own.conf}}, plain]
    secrets: [{{source: token, uid: "7", gid: "8", mode: 0440}}]
configs:
  conf: {{content: "one\\ntwo\\n"}}
  plain: {{content: plain}}
secrets: {{token: {{environment: TOKEN}}}}
"""
    stack = make_stack(text, isolated=isolated)
    stack.start()
    for _ in range(2):
        files = ["/etc/a b/conf.d/own.conf", "/plain", "/run/secrets/token"]
        found = [stack.exec("web", ["cat", file]).stdout for file in files]
        assert found == ["one\ntwo\n", "plain", "secret words"]
        owner = stack.exec("web", ["stat", "-c", "%u:%g %a", "/run/secrets/token"]).stdout
        assert owner == "7:8 440\n"
        assert stack.exec("web", ["touch", "/plain"]).exit_code != 0
        assert stack.exec("web", ["touch", "/new"]).exit_code != 0
        stack.recreate(["web"])
    assert engine.list_containers({COMPOSE_PROJECT: f"{stack.identity.project}-helper"}) == []


@pytest.mark.parametrize("read_only", ["true", "false"])
@pytest.mark.parametrize("mount", ["tmpfs: [/run]", "volumes: [{type: tmpfs, target: /run}]"])
def test_a_file_below_a_file_system_in_memory_is_seen(
    mount: str, read_only: str, make_stack: StackMaker
) -> None:
    stack = make_stack(
        f"""
services:
  web: {{{SLEEPER}, read_only: {read_only}, {mount}, secrets: [token]}}
secrets: {{token: {{environment: HOME}}}}
"""
    )
    stack.start()
    assert stack.exec("web", ["cat", "/run/secrets/token"]).stdout == os.environ["HOME"]


def test_a_service_in_the_network_of_a_container_outside_the_project_answers(
    make_stack: StackMaker, owned: Owned, scratch: str
) -> None:
    outside = owned.run(scratch, "sh", "-c", "while :; do sleep 0.1; done")
    server = SERVER.replace("PORT", "8000")
    stack = make_stack(
        f'services: {{web: {{{server}, network_mode: "container:{outside}", expose: [8000]}}}}'
    )
    stack.start()
    assert page(stack.address("web", 8000)) == b"hello\n"
