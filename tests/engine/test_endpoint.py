"""Where the engine is: the order of the docker command, and what is said of wrong settings."""

from __future__ import annotations

import json
import socket
import tempfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from dockwright.engine import Endpoint, resolve_endpoint, usual_sockets
from dockwright.engine.endpoint import TlsFiles, first_answering
from dockwright.errors import SettingsError


@pytest.fixture
def home() -> Iterator[Path]:
    # Not tmp_path: a socket's path may have no more than 107 bytes.
    with tempfile.TemporaryDirectory(prefix="dw") as directory:
        yield Path(directory)


def write_context(config: Path, name: str, host: str, **endpoint: object) -> Path:
    """Write a context as the docker command does; return the directory for its TLS files."""
    digest = sha256(name.encode()).hexdigest()
    meta = config / "contexts/meta" / digest / "meta.json"
    meta.parent.mkdir(parents=True)
    document = {"Name": name, "Endpoints": {"docker": {"Host": host, **endpoint}}}
    meta.write_text(json.dumps(document))
    return config / "contexts/tls" / digest / "docker"


def write_tls(directory: Path, *names: str) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    for name in names:
        (directory / name).touch()


def listen(path: Path) -> socket.socket:
    path.parent.mkdir(parents=True, exist_ok=True)
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.listen()
    return server


@pytest.mark.parametrize(
    ("address", "url"),
    [
        ("unix:///run/x.sock", "unix:///run/x.sock"),
        ("/run/x.sock", "unix:///run/x.sock"),
        ("tcp://host", "tcp://host:2375"),
        ("tcp://host:1234/", "tcp://host:1234"),
        ("host:1234", "tcp://host:1234"),
        ("http://host", "tcp://host:2375"),
        ("tcp://[::1]:2375", "tcp://[::1]:2375"),
        ("ssh://user@host:22", "ssh://user@host:22"),
        ("ssh://host/", "ssh://host"),
        (" tcp://host:1 ", "tcp://host:1"),
    ],
)
def test_docker_host_has_all_the_forms_that_the_docker_command_takes(
    home: Path, address: str, url: str
) -> None:
    found = resolve_endpoint({"DOCKER_HOST": address}, home)
    assert found == Endpoint(url, "DOCKER_HOST")


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("ftp://host", "the scheme is not one of unix, tcp, http, https, ssh"),
        ("unix://relative/path.sock", "a socket needs an absolute path"),
        ("unix://", "a socket needs an absolute path"),
        ("tcp://", "the host is missing"),
        ("tcp://host:port", "Port could not be cast"),
        ("tcp://host:99999", "Port out of range"),
        ("ssh://user:secret@host", "a password does not belong in the address"),
        ("ssh://host/run/docker.sock", "a path after the host is not supported"),
        ("ssh://-oProxyCommand=x", "neither user nor host may begin with '-'"),
        ("npipe:////./pipe/docker_engine", "the scheme is not one of"),
    ],
)
def test_a_malformed_address_is_named_with_its_source(
    home: Path, address: str, reason: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        resolve_endpoint({"DOCKER_HOST": address}, home)
    assert caught.value.message.startswith("DOCKER_HOST: ")
    assert "is not the address of an engine" in caught.value.message
    assert reason in caught.value.message
    assert "unix:///var/run/docker.sock" in str(caught.value.hint)
    assert "secret" not in caught.value.message


def test_the_order_is_explicit_then_host_then_context_then_current_context(home: Path) -> None:
    config = home / ".docker"
    write_context(config, "named", "tcp://named:1")
    write_context(config, "current", "tcp://current:1")
    (config / "config.json").write_text('{"currentContext": "current"}')
    environ = {"DOCKER_HOST": "tcp://host:1", "DOCKER_CONTEXT": "named"}
    found = [resolve_endpoint(environ, home, explicit="tcp://explicit:1")]
    found.append(resolve_endpoint(environ, home))
    found.append(resolve_endpoint({"DOCKER_CONTEXT": "named"}, home))
    found.append(resolve_endpoint({}, home))
    assert [(each.url, each.source) for each in found] == [
        ("tcp://explicit:1", "the option"),
        ("tcp://host:1", "DOCKER_HOST"),
        ("tcp://named:1", "context named"),
        ("tcp://current:1", "context current"),
    ]


def test_docker_config_moves_the_contexts(home: Path) -> None:
    write_context(home / "elsewhere", "far", "tcp://far:1")
    environ = {"DOCKER_CONFIG": str(home / "elsewhere"), "DOCKER_CONTEXT": "far"}
    assert resolve_endpoint(environ, home).url == "tcp://far:1"


def test_the_default_context_means_the_sockets(home: Path) -> None:
    found = resolve_endpoint({"DOCKER_CONTEXT": "default"}, home)
    assert found.source in {"socket", "default"}


def test_an_unknown_context_lists_the_known_ones(home: Path) -> None:
    write_context(home / ".docker", "beta", "tcp://b:1")
    write_context(home / ".docker", "alpha", "tcp://a:1")
    with pytest.raises(SettingsError) as caught:
        resolve_endpoint({"DOCKER_CONTEXT": "gamma"}, home)
    assert caught.value.message == "DOCKER_CONTEXT: unknown docker context 'gamma'"
    assert caught.value.hint == "known contexts: default, alpha, beta"


def test_an_unknown_current_context_names_the_file(home: Path) -> None:
    config = home / ".docker/config.json"
    config.parent.mkdir()
    config.write_text('{"currentContext": "gone"}')
    with pytest.raises(SettingsError, match=r"config\.json: unknown docker context 'gone'"):
        resolve_endpoint({}, home)


@pytest.mark.parametrize("content", ["{broken", "[]", '"text"', "[" * 100_000, "\0"])
def test_a_broken_config_is_named(home: Path, content: str) -> None:
    config = home / ".docker/config.json"
    config.parent.mkdir()
    config.write_text(content)
    with pytest.raises(SettingsError, match=r"config\.json is not valid: "):
        resolve_endpoint({}, home)


@pytest.mark.parametrize(
    ("kind", "reason"), [("directory", "is a directory"), ("device", "is a device, not a file")]
)
def test_a_config_that_is_not_a_file_is_reported(home: Path, kind: str, reason: str) -> None:
    config = home / ".docker/config.json"
    config.parent.mkdir()
    if kind == "directory":
        config.mkdir()
    else:
        config.symlink_to("/dev/zero")
    with pytest.raises(SettingsError, match=rf"config\.json is not valid: {reason}"):
        resolve_endpoint({}, home)


def test_a_broken_context_is_named(home: Path) -> None:
    write_context(home / ".docker", "bad", "")
    with pytest.raises(SettingsError, match="docker context 'bad' names no engine"):
        resolve_endpoint({"DOCKER_CONTEXT": "bad"}, home)
    for odd in ('{"Endpoints": "text"}', '{"Endpoints": {"docker": [1]}}'):
        next((home / ".docker").rglob("meta.json")).write_text(odd)
        with pytest.raises(SettingsError, match="docker context 'bad' names no engine"):
            resolve_endpoint({"DOCKER_CONTEXT": "bad"}, home)
    write_context(home / ".docker", "worse", "gopher://x")
    with pytest.raises(SettingsError, match="docker context 'worse': 'gopher://x' is not the"):
        resolve_endpoint({"DOCKER_CONTEXT": "worse"}, home)


def test_a_broken_config_does_not_matter_where_docker_host_is_set(home: Path) -> None:
    config = home / ".docker/config.json"
    config.parent.mkdir()
    config.write_text("{broken")
    assert resolve_endpoint({"DOCKER_HOST": "tcp://h:1"}, home).url == "tcp://h:1"


def test_a_contexts_tls_files_are_used(home: Path) -> None:
    tls = write_context(home / ".docker", "secure", "tcp://far:2376")
    write_tls(tls, "ca.pem", "cert.pem", "key.pem")
    found = resolve_endpoint({"DOCKER_CONTEXT": "secure"}, home)
    assert found.tls == TlsFiles(
        verify=True, ca=tls / "ca.pem", cert=tls / "cert.pem", key=tls / "key.pem"
    )


def test_a_context_may_skip_the_check_of_the_certificate(home: Path) -> None:
    write_context(home / ".docker", "lax", "tcp://far:2376", SkipTLSVerify=True)
    assert resolve_endpoint({"DOCKER_CONTEXT": "lax"}, home).tls == TlsFiles(verify=False)


def test_tls_variables_need_all_their_files(home: Path) -> None:
    write_tls(home / "certs", "ca.pem")
    environ = {"DOCKER_HOST": "tcp://far:2376", "DOCKER_CERT_PATH": str(home / "certs")}
    with pytest.raises(
        SettingsError, match=r"cert.pem, key.pem missing, needed for tcp://far:2376"
    ):
        resolve_endpoint(environ | {"DOCKER_TLS_VERIFY": "1"}, home)
    write_tls(home / "certs", "cert.pem", "key.pem")
    found = resolve_endpoint(environ, home).tls
    assert found is not None
    assert not found.verify
    verified = resolve_endpoint(environ | {"DOCKER_TLS_VERIFY": "1"}, home).tls
    assert verified is not None
    assert verified.verify
    assert verified.cert == home / "certs" / "cert.pem"


def test_tls_variables_do_not_matter_for_a_socket(home: Path) -> None:
    environ = {"DOCKER_HOST": "unix:///run/x.sock", "DOCKER_TLS_VERIFY": "1"}
    assert resolve_endpoint(environ, home).tls is None


def test_https_means_tls_with_the_systems_authorities(home: Path) -> None:
    found = resolve_endpoint({"DOCKER_HOST": "https://far"}, home)
    assert (found.url, found.tls) == ("tcp://far:2376", TlsFiles(verify=True))


def test_the_first_socket_that_accepts_is_taken(home: Path) -> None:
    stale, absent, alive = home / "stale.sock", home / "absent.sock", home / "alive.sock"
    listen(stale).close()
    with listen(alive):
        assert first_answering([stale, absent, alive]) == Endpoint(f"unix://{alive}", "socket")


def test_a_socket_that_exists_goes_before_one_that_does_not(home: Path) -> None:
    stale = home / "stale.sock"
    listen(stale).close()
    assert first_answering([home / "absent.sock", stale]).url == f"unix://{stale}"


def test_without_any_socket_the_default_one_is_used(home: Path) -> None:
    found = first_answering([home / "a.sock", home / "b.sock"])
    assert found == Endpoint(f"unix://{home}/a.sock", "default")


def test_the_usual_sockets_hold_rootless_and_podman_ones(home: Path) -> None:
    sockets = [str(path) for path in usual_sockets({"XDG_RUNTIME_DIR": "/run/user/7"}, home)]
    assert sockets[:2] == ["/var/run/docker.sock", "/run/user/7/docker.sock"]
    assert f"{home}/.colima/default/docker.sock" in sockets
    assert sockets.index("/run/user/7/podman/podman.sock") > sockets.index(
        "/run/user/7/docker.sock"
    )
    assert "/run/podman/podman.sock" in sockets


@pytest.mark.parametrize(
    ("url", "is_local", "host"),
    [
        ("unix:///x", True, "127.0.0.1"),
        ("tcp://127.0.0.1:2375", True, "127.0.0.1"),
        ("tcp://localhost:2375", True, "localhost"),
        ("tcp://10.0.0.7:2375", False, "10.0.0.7"),
        ("ssh://user@build.example", False, "build.example"),
    ],
)
def test_published_ports_are_reached_where_the_engine_is(
    url: str, is_local: bool, host: str
) -> None:
    endpoint = Endpoint(url, "test")
    assert (endpoint.is_local, endpoint.host_ip) == (is_local, host)
