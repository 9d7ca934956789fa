"""What a loaded spec says beyond its document: dependencies, checks, hash, warnings."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from dockwright.compose import LoadOptions, load, to_json, to_yaml
from dockwright.model import (
    Build,
    Dependency,
    GivenFile,
    Healthcheck,
    Limits,
    Port,
    StackSpec,
)

TEXT = """\
services:
  web:
    image: w
    depends_on:
      db: {condition: service_healthy}
      cache: {condition: service_started, restart: true}
    environment: {A: "$$x"}
  cache: {image: c, healthcheck: {disable: true}}
  db:
    image: d
    healthcheck:
      {test: pg_isready, interval: 1m30s, timeout: 500ms, retries: 7, start_period: 5s}
    secrets: [pw]
    volumes: [data:/d]
  tool: {image: t, healthcheck: {test: [NONE]}}
volumes: {data: }
secrets: {pw: {file: pw.txt}}
"""


def loaded(directory: Path, text: str = TEXT, **options: object) -> StackSpec:
    directory.mkdir(exist_ok=True)
    (directory / "compose.yaml").write_text(text)
    given = LoadOptions(start=directory, environ={})
    return load(replace(given, **options))  # type: ignore[arg-type]  # each test names its option


def test_dependencies_keep_the_files_order(tmp_path: Path) -> None:
    assert loaded(tmp_path).services["web"].depends_on == (
        Dependency("db", "service_healthy"),
        Dependency("cache", restart=True),
    )


def test_healthchecks_are_in_seconds(tmp_path: Path) -> None:
    services = loaded(tmp_path).services

    test = ("CMD-SHELL", "pg_isready")
    assert services["db"].healthcheck == Healthcheck(test, 90.0, 0.5, 7, 5.0)
    assert services["web"].healthcheck is None
    assert not services["web"].healthcheck_disabled
    assert services["cache"].healthcheck_disabled
    assert services["tool"].healthcheck_disabled


EVERYTHING = """\
services:
  web:
    image: w
    container_name: front
    platform: linux/amd64
    pull_policy: always
    read_only: true
    stop_grace_period: 1m30s
    command: [run]
    environment: {A: 1, B: }
    ports: ["127.0.0.1:8080:80", {target: 53, protocol: udp, app_protocol: DNS}]
    expose: ["90-91", "92/udp"]
    volumes: ["data:/d:ro", "./etc:/etc/w", /anonymous]
    tmpfs: ["/t:size=1m", /u]
    configs: [settings]
    secrets: [{source: pw, target: /x/pw, mode: 0400, uid: "7"}]
    networks: {back: {aliases: [w]}, front: {priority: 5, ipv4_address: 10.1.1.7}}
    volumes_from: ["other:ro"]
    links: ["other:o"]
    mem_limit: 100m
    deploy: {resources: {limits: {memory: 100m, cpus: "2", pids: 9}}}
  built:
    build: {context: ., args: {A: 1, B: }, extra_hosts: ["h:1.2.3.4"], shm_size: 1m, tags: [t:1]}
  other: {image: o, network_mode: none, expose: [1]}
volumes: {data: {external: true}}
configs: {settings: {content: text}}
secrets: {pw: {environment: PASSWORD}}
networks: {back: , front: {ipam: {config: [{subnet: 10.1.1.0/24}]}}}
"""


def test_ports_mounts_and_files_are_typed(tmp_path: Path) -> None:
    spec = loaded(tmp_path, EVERYTHING)
    web, other = spec.services["web"], spec.services["other"]

    assert web.ports == (
        Port(80, published="8080", host_ip="127.0.0.1"),
        Port(53, "udp", app_protocol="dns"),
    )
    assert [str(port) for port in web.exposed] == ["90/tcp", "91/tcp", "92/udp"]
    assert web.declared_ports == (*web.ports, *web.exposed)
    assert (other.exposed, other.declared_ports) == ((Port(1),), ())
    assert [(each.kind, each.source, each.target, each.read_only) for each in web.mounts] == [
        ("volume", "data", "/d", True),
        ("bind", str(tmp_path / "etc"), "/etc/w", False),
        ("volume", "", "/anonymous", False),
    ]
    assert [each.is_named_volume for each in web.mounts] == [True, False, False]
    assert spec.is_external("volumes", "data")
    assert not spec.is_external("networks", "back")
    assert web.tmpfs == {"/t": "size=1m", "/u": ""}
    assert web.files == (
        GivenFile("config", "settings", "/settings", content="text"),
        GivenFile("secret", "pw", "/x/pw", variable="PASSWORD", mode=0o400, uid=7),
    )


def test_networks_limits_and_builds_are_typed(tmp_path: Path) -> None:
    spec = loaded(tmp_path, EVERYTHING)
    web, built = spec.services["web"], spec.services["built"]

    assert list(web.networks) == ["front", "back"]  # by priority
    assert web.networks["front"].addresses == {"ipv4_address": "10.1.1.7"}
    assert web.networks["back"].aliases == ("w",)
    assert web.limits == Limits(memory_bytes=100 << 20, cpus=2.0, pids=9)
    assert (web.volumes_from, web.links) == (("other:ro",), ("other:o",))
    assert web.environment == {"A": "1", "B": None}
    assert (web.container_name, web.platform, web.stop_grace_s) == ("front", "linux/amd64", 90.0)
    assert (web.read_only, web.pull_policy, web.is_built) == (True, "always", False)
    assert built.build == Build(
        tmp_path,
        dockerfile="Dockerfile",
        tags=("t:1",),
        args={"A": "1"},
        extra_hosts=("h:1.2.3.4",),
        shm_size_bytes=1 << 20,
    )
    assert built.is_built
    assert spec.image_of("built") == f"{spec.name}-built"


def test_a_dollar_is_doubled_only_where_it_is_written_out(tmp_path: Path) -> None:
    spec = loaded(tmp_path)

    assert spec.services["web"].config["environment"] == {"A": "$x"}
    assert '"A": "$$x"' in to_json(spec)
    assert "A: $$x" in to_yaml(spec)


def test_the_hash_is_independent_of_the_project_name(tmp_path: Path) -> None:
    one = loaded(tmp_path / "one", "services: {a: {image: x, networks: [n]}}\nnetworks: {n: }")
    two = loaded(tmp_path / "two", "services: {a: {image: x, networks: [n]}}\nnetworks: {n: }")

    assert one.name != two.name
    assert one.content_hash == two.content_hash
    assert (
        loaded(tmp_path / "one", TEXT, project_name="p").content_hash
        == loaded(tmp_path / "one", TEXT, project_name="q").content_hash
    )


CHANGES = {
    "image": ("image: w", "image: v"),
    "variable": ("$$x", "$$y"),
    "check": ("500ms", "600ms"),
    "volume": ("data: }", "data: {name: fixed}}"),
    "reset": ("image: c,", "image: c, x-dockwright: {reset: volume},"),
    "process": ("services:", "x-dockwright: {processes: {p: {command: a}}}\nservices:"),
}


@pytest.mark.parametrize(("old", "new"), CHANGES.values(), ids=CHANGES)
def test_the_hash_covers_everything_that_a_stack_is_made_of(
    old: str, new: str, tmp_path: Path
) -> None:
    before = loaded(tmp_path)

    assert old in TEXT
    assert loaded(tmp_path, TEXT.replace(old, new)).content_hash != before.content_hash


def test_the_hash_covers_the_content_of_secrets(tmp_path: Path) -> None:
    (tmp_path / "pw.txt").write_text("one")
    before = loaded(tmp_path)
    (tmp_path / "pw.txt").write_text("two")

    assert loaded(tmp_path).content_hash != before.content_hash


def test_the_warning_for_an_ignored_key_names_its_place(tmp_path: Path) -> None:
    spec = loaded(
        tmp_path,
        "services:\n"
        "  a:\n"
        "    image: ${NOPE}x\n"
        "    develop: {watch: [{path: ., action: rebuild}]}\n"
        "    deploy:\n"
        "      replicas: 3\n"
        "      placement: {constraints: [a]}\n",
    )

    file = tmp_path / "compose.yaml"
    assert [str(warning) for warning in spec.warnings] == [
        f"{file}:3: services.a.image: the variable NOPE is not set; it becomes an empty string",
        f"{file}:4: services.a.develop: is not used: nothing is watched or rebuilt during tests",
        f"{file}:7: services.a.deploy.placement: is not used outside a swarm",
        f"{file}:6: services.a.deploy.replicas: is 3; dockwright runs one container per service",
    ]


def test_a_project_with_refused_keys_can_be_printed(tmp_path: Path) -> None:
    spec = loaded(tmp_path, "services: {a: {image: x, post_start: [{command: b}]}}", runnable=False)

    assert [warning.path for warning in spec.warnings] == ["services.a.post_start"]


def test_an_error_in_the_second_file_names_that_file(tmp_path: Path) -> None:
    over = tmp_path / "over.yaml"
    over.write_text("services:\n  web:\n    networks: [nowhere]\n")
    files = (tmp_path / "compose.yaml", over)

    with pytest.raises(Exception, match=rf"{over}:3: services\.web\.networks: uses the network"):
        loaded(tmp_path, files=files)


def test_a_typical_file_is_loaded_quickly(tmp_path: Path) -> None:
    loaded(tmp_path)  # imports
    times = []
    for _ in range(5):
        began = time.perf_counter()
        loaded(tmp_path)
        times.append(time.perf_counter() - began)

    assert min(times) < 0.03


def test_ignored_build_options_cause_warnings(tmp_path: Path) -> None:
    build = "{context: ., ulimits: {nofile: 9}, privileged: true, secrets: [s]}"
    spec = loaded(
        tmp_path,
        f"services: {{a: {{build: {build}}}}}\nsecrets: {{s: {{environment: S}}}}",
    )
    assert [str(warning).partition("services.")[2] for warning in spec.warnings] == [
        "a.build.ulimits: is not passed on to the build",
        "a.build.privileged: is not passed on to the build",
        "a.build.secrets: is not passed on: build the image first, with pull_policy: never",
    ]


def test_watched_paths_follow_a_symbolic_link(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "here").symlink_to("there")
    watch = "develop: {watch: [{path: here/a, action: rebuild}]}"

    spec = loaded(tmp_path, f"services: {{web: {{image: w, {watch}}}}}")

    assert f"path: {tmp_path / 'there' / 'a'}\n" in to_yaml(spec)
