"""Every kind of wrong Compose input has a message that names file, line and path."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from dockwright.compose import LoadOptions, load
from dockwright.errors import ComposeError, ComposeUnsupportedError, NoComposeFileError


@dataclass(frozen=True)
class Bad:
    """One wrong project: its files, and what is said about it (``@`` is its directory)."""

    name: str
    text: str
    message: str
    others: dict[str, str] = field(default_factory=dict)


_SERVICE = "services:\n  web:\n    image: x\n"


def web(lines: str) -> str:
    """A project whose service web has `lines` from line 4 on."""
    return _SERVICE + "".join(f"    {line}\n" for line in lines.split("\n"))


BAD = [
    Bad("tab", "services:\n\tweb: {}", "@/compose.yaml:2: not YAML: while scanning for the next"),
    Bad("unclosed", "services: [a", "@/compose.yaml:1: not YAML: while parsing a flow sequence"),
    Bad("control", web("user: a\x07"), "4: not YAML: the character U+0007 is not allowed"),
    Bad("empty", "# nothing\n", "@/compose.yaml: the Compose file is empty"),
    Bad("list", "- a\n", "@/compose.yaml:1: a Compose file must be a mapping, not a list"),
    Bad(
        "duplicate-key",
        web("image: y"),
        "4: services.web: key 'image' is already defined at line 3",
    ),
    Bad("number-key", web("x-a: {1: a}"), "4: services.web.x-a: keys must be strings, not 1"),
    Bad("no-anchor", web("user: *nobody"), "4: no anchor named 'nobody'"),
    Bad("self-anchor", web("x-a: &a {b: *a}"), "4: anchor 'a' contains itself"),
    Bad("merge-scalar", web("<<: text"), "4: services.web: '<<' needs a mapping or a list of"),
    Bad("bad-tag", web("x-a: !!int b"), "4: services.web.x-a: 'b' is not a !!int"),
    Bad(
        "unknown-key",
        "services:\n  web:\n    imagee: x\n",
        "@/compose.yaml:3: services.web: unknown key 'imagee'; did you mean 'image'?",
    ),
    Bad("unknown-section", "servces: {}\n", "1: unknown key 'servces'; did you mean 'services'?"),
    Bad(
        "former-key",
        web("volume_driver: local"),
        "4: services.web: the key 'volume_driver' belongs to an old version of the Compose format",
    ),
    Bad("pull-policy", web("pull_policy: hourly"), "must be one of always, never, if_not_present"),
    Bad("no-document", "services: {}\n---\n", "compose.yaml:3: a Compose file must be a mapp"),
    Bad(
        "text-for-number",
        web("volumes: [{type: tmpfs, target: /a, tmpfs: {mode: '755'}}]"),
        "services.web.volumes[0].tmpfs.mode: must be a number of at least 0, not '755'",
    ),
    Bad("below-zero", web("healthcheck: {retries: -1}"), "healthcheck.retries: must be a number"),
    Bad("wrong-type", web("ports: 80"), "4: services.web.ports: must be a list, not the number 80"),
    Bad("null", web("volumes:"), "4: services.web.volumes: must be a list, not empty"),
    Bad("bad-name", "services: {a b: {image: x}}", "1: services.a b: 'a b' is not a valid name"),
    Bad("choice", web("cgroup: own"), "4: services.web.cgroup: must be one of host, private, not"),
    Bad("too-big", web("oom_score_adj: 2000"), "oom_score_adj: must be at most 1000, not 2000"),
    Bad(
        "repeated",
        web("security_opt: [a, a]"),
        "4: services.web.security_opt[1]: duplicate entry: 'a'",
    ),
    Bad("nested-type", web("environment:\n  A: [b]"), "5: services.web.environment.A: must be a"),
    Bad("no-image", "services:\n  web:\n    user: u\n", "2: services.web: has neither 'image' nor"),
    Bad("duration", web("stop_grace_period: 1d"), "'1d' has the unknown unit 'd'; use h, m, s, ms"),
    Bad("no-unit", web('stop_grace_period: "90"'), "'90' has no unit; write for example '90s'"),
    Bad(
        "not-a-duration",
        web("healthcheck:\n  interval: soon"),
        "5: services.web.healthcheck.interval",
    ),
    Bad("size", web("mem_limit: 1x"), "4: services.web.mem_limit: '1x' is not a size; write"),
    Bad("port", web('ports: ["99999:80"]'), "ports[0]: '99999:80' has the invalid port '99999'"),
    Bad("port-range", web('ports: ["80:1-2"]'), "'80:1-2' has ranges of different lengths"),
    Bad("port-order", web('ports: ["5-3"]'), "'5-3' has a range whose end is before its start"),
    Bad("port-zero", web('ports: ["0"]'), "ports[0]: '0' has the invalid container port '0'"),
    Bad("port-ipv6", web('ports: ["::1:80:80"]'), "'::1:80:80' needs an IPv6 address without zone"),
    Bad(
        "infinite", web("x-a: .inf"), "4: services.web.x-a: '.inf' is not a finite number; quote it"
    ),
    Bad("only-version", 'version: "3"\n', "@/compose.yaml: the Compose file is empty"),
    Bad("include-url", "include: ['oci://x/y']", "1: include[0]: 'oci://x/y' is a remote file"),
    Bad(
        "extends-url",
        web("extends: {service: a, file: 'https://x/y.git'}"),
        "services.web.extends.file: 'https://x/y.git' is a remote file, and dockwright does",
    ),
    Bad(
        "env-file-directory",
        web("env_file: [{path: sub, required: false}]"),
        "@/sub: is a directory, not a file",
        {"sub/x": ""},
    ),
    Bad("protocol", web('ports: ["80/foo"]'), "'80/foo' has the unknown protocol 'foo'"),
    Bad("host-address", web('ports: ["h:80:80"]'), "'h:80:80' has the invalid host address 'h'"),
    Bad(
        "no-target-port",
        web("ports: [{published: 3}]"),
        "4: services.web.ports[0]: has no target",
    ),
    Bad("target-port", web("ports: [{target: -1}]"), "ports[0]: has the invalid target port -1"),
    Bad("null-entry", web("volumes: [null]"), "4: services.web.volumes[0]: must be a string or a"),
    Bad("volume-section", web('volumes: ["aa:"]'), "'aa:' has an empty section between colons"),
    Bad("volume-colons", web('volumes: ["aa:bb:cc:dd"]'), "'aa:bb:cc:dd' has too many colons"),
    Bad(
        "no-mount-target", web("volumes: [{type: tmpfs}]"), "volumes[0]: has no target, the path in"
    ),
    Bad(
        "no-device",
        web("devices: [{source: /dev/a}]"),
        "services.web.devices[0]: has no target, the",
    ),
    Bad("no-bind-source", web("volumes: [{type: bind, target: /a}]"), "is a bind mount without a"),
    Bad(
        "device", web('devices: ["a:b:c:d"]'), "4: services.web.devices[0]: 'a:b:c:d' has too many"
    ),
    Bad(
        "host", web("extra_hosts: [db]"), "'db' is not a host and an address, such as 'db=10.0.0.2'"
    ),
    Bad("host-colon", web("extra_hosts: ['a:b=10.0.0.2']"), "'a:b=10.0.0.2' is not a host and an"),
    Bad("command-quote", web("command: sh -c 'a"), 'services.web.command: the closing "\'" is'),
    Bad(
        "health-command", web("healthcheck: {test: [curl]}"), "must begin with NONE, CMD, CMD-SHELL"
    ),
    Bad("boolean", web("privileged: maybe"), "privileged: 'maybe' is neither true nor false"),
    Bad("integer", web("scale: some"), "4: services.web.scale: 'some' is not an integer"),
    Bad(
        "template",
        web("user: ${1}"),
        "4: services.web.user: '${1}' contains an invalid variable reference",
    ),
    Bad("open-template", web("user: ${A"), "'${A' contains an invalid variable reference"),
    Bad("required", web("user: ${A:?say who}"), "required variable A is missing a value: say who"),
    Bad(
        "required-silent",
        web("user: ${A?}"),
        "4: services.web.user: required variable A is missing a",
    ),
    Bad("network", web("networks: [n]"), "uses the network 'n', which is not declared under 'netw"),
    Bad("volume", web("volumes: [data:/d]"), "uses the volume 'data', which is not declared under"),
    Bad(
        "secret",
        web("secrets: [s]"),
        "uses the secret 's', which is not declared under 'secrets:'",
    ),
    Bad(
        "config",
        web("configs: [c]"),
        "uses the config 'c', which is not declared under 'configs:'",
    ),
    Bad(
        "secret-source", web("user: u") + "secrets:\n  s: {}\n", "6: secrets.s: has no source; give"
    ),
    Bad(
        "secret-sources", _SERVICE + "secrets: {s: {file: a, environment: B}}", "exclude each other"
    ),
    Bad("unused-secret", _SERVICE + "secrets: {s: {driver: d}}", "secrets.s: needs 'file' or 'env"),
    Bad("external", _SERVICE + "volumes: {v: {external: true, driver: d}}", "cannot have 'driver'"),
    Bad(
        "dependency",
        web("depends_on: [db]"),
        "services.web.depends_on.db: no enabled service 'db'",
    ),
    Bad("self-dependency", web("depends_on: [web]"), "circular dependency: web -> web"),
    Bad(
        "cycle",
        "services:\n  a: {image: x, depends_on: [b]}\n  b: {image: x, depends_on: [a]}\n",
        "@/compose.yaml:2: services.a.depends_on: circular dependency: a -> b -> a",
    ),
    Bad("condition", web("depends_on: {web: {}}"), "depends_on.web: needs the key 'condition'"),
    Bad(
        "disabled-dependency",
        "services:\n  a: {image: x, depends_on: [b]}\n  b: {image: x, profiles: [p]}\n",
        "2: services.a.depends_on.b: no enabled service 'b'",
    ),
    Bad("extends-whom", web("extends: {file: a}"), "services.web.extends: needs the key 'service'"),
    Bad(
        "extends-nothing",
        web("extends: base"),
        "4: services.web.extends: no service 'base'",
    ),
    Bad(
        "extends-cycle",
        "services:\n  a: {extends: b}\n  b: {extends: a}\n",
        "2: services.a.extends: circular 'extends': a -> b -> a",
    ),
    Bad(
        "extends-no-file",
        web("extends: {service: a, file: no.yaml}"),
        "4: services.web.extends.file: file not found: @/no.yaml",
    ),
    Bad(
        "extended-key",
        web("extends: {service: a, file: base.yaml}"),
        "@/base.yaml:2: services.a: unknown key 'imag'; did you mean 'image'?",
        {"base.yaml": "services:\n  a: {imag: x}\n"},
    ),
    Bad("include-nothing", "include: [no.yaml]", "1: include[0]: file not found: @/no.yaml"),
    Bad(
        "include-cycle",
        "include: [other.yaml]",
        "@/other.yaml:1: include[0]: circular 'include': @/compose.yaml -> @/other.yaml -> @",
        {"other.yaml": "include: [compose.yaml]"},
    ),
    Bad(
        "include-conflict",
        "include: [other.yaml]\nservices: {a: {image: x}}",
        "2: services.a: is defined here, and differently in a file that compose.yaml includes",
        {"other.yaml": "services: {a: {image: y}}"},
    ),
    Bad(
        "included-key",
        "include: [other.yaml]",
        "@/other.yaml:1: services.a: unknown key 'imag'; did you mean 'image'?",
        {"other.yaml": "services: {a: {imag: x}}"},
    ),
    Bad(
        "env-file",
        web("env_file: no.env"),
        "4: services.web.env_file[0]: file not found: @/no.env",
    ),
    Bad(
        "env-file-syntax",
        web("env_file: a.env"),
        '@/a.env:2: the quote " is not closed',
        {"a.env": 'A=1\nB="x\n'},
    ),
    Bad(
        "env-file-name",
        web("env_file: a.env"),
        "@/a.env:1: the variable name 'A B' contains a space",
        {"a.env": "A B=1\n"},
    ),
    Bad("env-file-format", web("env_file: [{path: a, format: ini}]"), "unknown format 'ini'"),
    Bad("label-file", web("label_file: no.labels"), "label_file[0]: file not found: @/no.labels"),
    Bad("network-mode", web("network_mode: host\nnetworks: [default]"), "exclude each other"),
    Bad("dockerfiles", web("build: {dockerfile: a, dockerfile_inline: b}"), "exclude each other"),
    Bad(
        "platform",
        web("platform: a\nbuild: {platforms: [b]}"),
        "must include the service's platform",
    ),
    Bad("scale", web("scale: 2\ndeploy: {replicas: 3}"), "contradict each other"),
    Bad("names", web("scale: 2\ncontainer_name: one"), "'container_name' allows no more than one"),
    Bad("limits", web("cpus: 1\ndeploy: {resources: {limits: {memory: 1m}}}"), "contradict each"),
    Bad(
        "no-reservation",
        web("mem_reservation: 1m\ndeploy: {resources: {reservations: {}}}"),
        "'mem_reservation' and 'deploy.resources.reservations.memory' contradict each other",
    ),
    Bad(
        "in-a-profile",
        web("profiles: [no]\nmem_limit: 1x"),
        "services.web.mem_limit: '1x' is not a",
    ),
    Bad("devices", web("gpus: [{count: 1, device_ids: [a]}]"), "gpus[0]: 'count' and 'device_ids'"),
    Bad(
        "watch", web("develop: {watch: [{path: a, action: sync}]}"), "needs a target for the action"
    ),
    Bad(
        "watch-nothing",
        web("develop: {watch: [{path: '', action: rebuild}]}"),
        "services.web.develop.watch[0]: has an empty path",
    ),
    Bad(
        "fraction",
        web("expose: [1e3]"),
        "services.web.expose: 1000.0 is a fraction in YAML; quote it",
    ),
    Bad("date", web("user: 2024-01-01"), "web.user: 2024-01-01T00:00:00Z is a date in YAML"),
    Bad("storage-opt", web("storage_opt: {size: 1.5}"), "storage_opt.size: must be text or a"),
    Bad(
        "context-of-service",
        web("build: {context: ., additional_contexts: {base: 'service:web2'}}"),
        "contexts.base: no enabled service 'web2' with a build",
    ),
    Bad("no-services", "services:\ninclude: []\n", "1: services: must be a mapping, not empty"),
    Bad("empty-name", "name: ${NO:-}\n" + _SERVICE, "cannot derive a project name from 'name: '"),
    Bad(
        "default-that-is-not-used",
        web("environment: {E: 1, A: '${A:-${B:?say B}}'}"),
        "environment.A: required variable B is missing a value: say B",
    ),
    Bad("ulimit", web("ulimits: {nofile: {soft: 1}}"), "ulimits.nofile: needs the key 'hard'"),
    Bad("contexts", web("build: {additional_contexts: [a]}"), "'a' is not a name and a context"),
    Bad("binary", web("x-a: !!binary ä"), "4: services.web.x-a: 'ä' is not a !!binary"),
]


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.name)
def test_an_error_names_the_place_and_the_problem(bad: Bad, tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text(bad.text)
    for name, text in bad.others.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)

    with pytest.raises(ComposeError) as caught:
        load(LoadOptions(start=tmp_path, environ={}))

    assert bad.message.replace("@", str(tmp_path)) in str(caught.value)


UNSUPPORTED = {
    "provider": ("provider: {type: cloud}", "web.provider: is not supported: services provided by"),
    "models": ("models: [llm]", "services.web.models: is not supported: models are run by Docker"),
    "api-socket": ("use_api_socket: true", "use_api_socket: is not supported: the engine's socket"),
    "interface": (
        "networks: {default: {interface_name: eth7}}",
        "services.web.networks.default.interface_name: is not supported: interface names",
    ),
    "image-mount": (
        "volumes: [{type: image, source: a, target: /a}]",
        "services.web.volumes[0]: is not supported: images are not mounted as volumes",
    ),
    "image-path": (
        "volumes: [{type: volume, target: /a, image: {subpath: b}}]",
        "services.web.volumes[0].image: is not supported: images are not mounted",
    ),
    "post-start": (
        "post_start: [{command: a}]",
        "services.web.post_start: dockwright does not run hooks after the start",
    ),
    "pre-start": (
        "pre_start: [{image: a, command: b, per_replica: true}]",
        "services.web.pre_start: dockwright does not run hooks before the start of a container",
    ),
    "npipe": (
        "volumes: [{type: npipe, source: a, target: /a}]",
        "services.web.volumes[0]: named pipes are for Windows containers",
    ),
    "cluster": (
        "volumes: [{type: cluster, source: a, target: /a}]",
        "services.web.volumes[0]: cluster volumes need a swarm, which dockwright does not support",
    ),
    "pre-stop": (
        "pre_stop: [{command: a}]",
        "services.web.pre_stop: dockwright does not run hooks before the stop",
    ),
}


@pytest.mark.parametrize(("line", "message"), UNSUPPORTED.values(), ids=UNSUPPORTED)
def test_unsupported_keys_are_refused(line: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text(web(line))

    with pytest.raises(ComposeUnsupportedError) as caught:
        load(LoadOptions(start=tmp_path, environ={}))

    assert message in str(caught.value)
    assert caught.value.line == 4


def test_a_disabled_service_may_use_unsupported_keys(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text(
        f"{_SERVICE}  ai: {{profiles: [ai], provider: {{type: model}}, models: [llm]}}\n"
        "models: {llm: {model: ai/smollm2}}\n"
    )

    spec = load(LoadOptions(start=tmp_path, environ={}))

    assert list(spec.services) == ["web"]
    assert spec.warnings == ()


NEWER = {
    "build.no_cache_filter": "build: {context: ., no_cache_filter: [a]}",
    "build.provenance": "build: {context: ., provenance: mode=max}",
    "build.sbom": "build: {context: ., sbom: true}",
    "pull_policy": "pull_policy: every_12h",
    "networks.default.gw_priority": "networks: {default: {gw_priority: 3}}",
    "pull_refresh_after": "pull_refresh_after: 1d",
    "volumes[0].volume.labels": "volumes: [{type: volume, target: /a, volume: {labels: [a=b]}}]",
    "develop": "develop: {watch: [{path: ., action: rebuild, include: [a], initial_sync: on}]}",
}


@pytest.mark.parametrize(("path", "line"), NEWER.items(), ids=NEWER)
def test_keys_of_newer_versions_without_effect_cause_a_warning(
    path: str, line: str, tmp_path: Path
) -> None:
    (tmp_path / "compose.yaml").write_text(web(line))

    warnings = load(LoadOptions(start=tmp_path, environ={})).warnings

    assert [warning.path for warning in warnings] == [f"services.web.{path}"]
    assert "is not" in warnings[0].message


def test_an_alias_bomb_is_refused(tmp_path: Path) -> None:
    levels = ["x-a0: &a0 [b, b, b, b, b, b, b, b, b, b]"]
    levels += [f"x-a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    (tmp_path / "compose.yaml").write_text("\n".join(levels))

    with pytest.raises(ComposeError, match="aliases and merge keys add more than 50,000 values"):
        load(LoadOptions(start=tmp_path, environ={}))


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("web: {image: x}", "is this a file of version 1? Write 'services:' above its services"),
        (web("log_driver: json-file"), "write 'driver' under 'logging:'"),
    ],
)
def test_files_of_old_versions_get_a_hint(text: str, hint: str, tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text(text)

    with pytest.raises(ComposeError) as caught:
        load(LoadOptions(start=tmp_path, environ={}))

    assert caught.value.hint == hint


def test_the_error_for_no_file_names_the_directory_searched(tmp_path: Path) -> None:
    with pytest.raises(ComposeError) as caught:
        load(LoadOptions(start=tmp_path, environ={}))

    assert f"no Compose file in {tmp_path} or above it" in str(caught.value)
    assert caught.value.hint == (
        "call it compose.yaml, or name one: with dockwright_compose in pytest's settings, "
        "with -f for `dockwright stack`, or with COMPOSE_FILE for both"
    )


def test_the_error_for_no_file_names_directories_and_broken_links(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").mkdir()
    (tmp_path / "docker-compose.yml").symlink_to("gone.yml")
    with pytest.raises(NoComposeFileError) as caught:
        load(LoadOptions(start=tmp_path, environ={}))

    assert "compose.yaml is a directory" in caught.value.message
    assert "docker-compose.yml is a broken symbolic link" in caught.value.message


def test_a_named_file_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ComposeError, match=r"absent\.yaml: no such file"):
        load(LoadOptions(files=(tmp_path / "absent.yaml",), environ={}))


def test_a_directory_is_not_a_file(tmp_path: Path) -> None:
    with pytest.raises(ComposeError, match="is a directory, not a file"):
        load(LoadOptions(files=(tmp_path,), environ={}))


def test_a_file_must_be_utf8(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_bytes(b"services: \xff\xfe")

    with pytest.raises(ComposeError, match=r"compose\.yaml: is not UTF-8 text \(byte 10\)"):
        load(LoadOptions(start=tmp_path, environ={}))


def test_an_invalid_project_name(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").write_text(_SERVICE)

    with pytest.raises(ComposeError, match="invalid project name 'Not This'"):
        load(LoadOptions(start=tmp_path, environ={}, project_name="Not This"))
