"""What engines say when they refuse (recorded words), and what is made of it."""

from __future__ import annotations

import pytest

from dockwright.engine.errors import build_failed, refused
from dockwright.errors import (
    AddressPoolError,
    ConflictError,
    DiskFullError,
    EngineError,
    EnginePermissionError,
    ImageBuildError,
    ImageMissingError,
    NoSuchObjectError,
    PortInUseError,
)


@pytest.mark.parametrize(
    ("status", "words", "error", "text", "hint"),
    [
        (
            500,
            "driver failed programming external connectivity on endpoint web (4f0d): Bind for "
            "0.0.0.0:8080 failed: port is already allocated",
            PortInUseError,
            "host port 8080 is in use",
            "ss -ltnp",
        ),
        (
            500,
            "driver failed programming external connectivity on endpoint web (4f0d): Error "
            "starting userland proxy: listen tcp4 0.0.0.0:5432: bind: address already in use",
            PortInUseError,
            "host port 5432 is in use",
            "engine chooses a free one",
        ),
        (
            500,
            "driver failed programming external connectivity on endpoint web: Bind for :::443 "
            "failed: port is already allocated",
            PortInUseError,
            "host port 443 is in use",
            "ss -ltnp",
        ),
        (
            500,
            "driver failed programming external connectivity on endpoint web: Bind for ::1:18082 "
            "failed: port is already allocated",
            PortInUseError,
            "host port 18082 is in use",
            "ss -ltnp",
        ),
        (
            500,
            "failed to set up container networking: driver failed programming external "
            "connectivity on endpoint web (4f0d): failed to bind host port for "
            "127.0.0.1:34471:172.17.0.2:80/tcp: address already in use",
            PortInUseError,
            "host port 34471 is in use",
            "ss -ltnp",
        ),
        (
            500,
            "driver failed programming external connectivity on endpoint web (4f0d): failed to "
            "bind host port for [::1]:52215:172.17.0.2:80/tcp: address already in use",
            PortInUseError,
            "host port 52215 is in use",
            "ss -ltnp",
        ),
        (
            500,
            "failed to bind host port 0.0.0.0:18082/tcp: address already in use",
            PortInUseError,
            "host port 18082 is in use",
            "ss -ltnp",
        ),
        (
            500,
            "failed to bind host port [::]:18082/tcp: address already in use",
            PortInUseError,
            "host port 18082 is in use",
            "ss -ltnp",
        ),
        (
            500,
            "rootlessport listen tcp 0.0.0.0:8081: bind: address already in use",
            PortInUseError,
            "host port 8081 is in use",
            "ss -ltnp",
        ),
        (
            500,
            "Ports are not available: exposing port TCP 0.0.0.0:3000 -> 0.0.0.0:0: listen tcp "
            "0.0.0.0:3000: bind: address already in use",
            PortInUseError,
            "host port 3000 is in use",
            "ss -ltnp",
        ),
        (
            500,
            "mkdir /var/lib/docker/overlay2/5c: no space left on device",
            DiskFullError,
            "no space left on device",
            "docker system df",
        ),
        (
            500,
            "could not find an available, non-overlapping IPv4 address pool among the defaults to "
            "assign to the network",
            AddressPoolError,
            "cannot do it: could not find an available",
            "default-address-pools",
        ),
        (
            500,
            "all predefined address pools have been fully subnetted",
            AddressPoolError,
            "fully subnetted",
            "dockwright clean",
        ),
        (
            404,
            "No such image: redis:77",
            ImageMissingError,
            "image redis:77 is not on the engine",
            "docker pull redis:77",
        ),
        (
            404,
            "redis:77: image not known",
            ImageMissingError,
            "image redis:77 is not on the engine",
            "docker pull redis:77",
        ),
        (
            404,
            "failed to find image shop/web:1: docker.io/shop/web:1: No such image",
            ImageMissingError,
            "image shop/web:1 is not on the engine",
            "docker pull shop/web:1",
        ),
        (
            404,
            "no such image: docker.io/library/redis:77: image not known",
            ImageMissingError,
            "image redis:77 is not on the engine",
            "docker pull redis:77",
        ),
        (
            500,
            "can only create exec sessions on running containers: container state improper",
            ConflictError,
            "container state improper",
            "its log may say why",
        ),
        (
            500,
            '"n" has associated containers with it. Use -f to forcibly delete containers and pods: '
            "network is being used",
            ConflictError,
            "network is being used",
            "containers that use it",
        ),
        (
            500,
            "container 18121a has dependent containers which must be removed before it: 7e0f10: "
            "container already exists",
            ConflictError,
            "has dependent containers",
            "containers that use it",
        ),
        (
            500,
            "cannot listen on the TCP port: listen tcp6 [::1]:52753: bind: address already in use",
            PortInUseError,
            "host port 52753 is in use",
            "ss -ltnp",
        ),
        (
            400,
            'invalid mount config for type "bind": bind source path does not exist: /gone',
            EngineError,
            "bind source path does not exist: /gone",
            "create it on the engine's host first",
        ),
        (
            400,
            "unable to find user nobody42: no matching entries in passwd file",
            EngineError,
            "unable to find user nobody42",
            "use a user that the image has",
        ),
        (
            500,
            "failed to create shim task: OCI runtime create failed: runc create failed: unable to "
            "start container process: error during container init: open "
            "/proc/sys/net/nope: no such file or directory: unknown",
            EngineError,
            "/proc/sys/net/nope",
            "check `sysctls:`",
        ),
        (
            500,
            'error gathering device information while adding custom device "/dev/nope": no such '
            "file or directory",
            EngineError,
            "/dev/nope",
            "check `devices:`",
        ),
        (
            404,
            "image with reference web:1 was found but does not match the specified platform: "
            "wanted win/9, actual: linux/amd64",
            ImageMissingError,
            "wanted win/9",
            "leave out `platform:`",
        ),
        (
            404,
            "image with reference web:1 was found but does not provide the specified platform "
            "(linux/arm64)",
            ImageMissingError,
            "does not provide the specified platform (linux/arm64)",
            "leave out `platform:`",
        ),
        (400, "unknown or invalid runtime name: nope", EngineError, "nope", "`docker info` lists"),
        (
            400,
            'error looking up logging plugin nope: plugin "nope" not found',
            EngineError,
            "logging plugin nope",
            "`docker info` lists",
        ),
        (400, "Unknown runtime specified nope", EngineError, "runtime", "`docker info` lists"),
        (404, "No such container: c", NoSuchObjectError, "No such container: c", "removed"),
        (404, "get v: no such volume", NoSuchObjectError, "no such volume", "removed"),
        (
            409,
            'Conflict. The container name "/web" is already in use by container "ab". You have to '
            "remove (or rename) that container to be able to reuse that name.",
            ConflictError,
            'The container name "/web" is already in use',
            "choose another name",
        ),
        (
            403,
            "error while removing network: network n id 1 has active endpoints",
            ConflictError,
            "has active endpoints",
            "containers that use it",
        ),
        (
            403,
            "authorization denied by plugin opa: no",
            EnginePermissionError,
            "authorization denied",
            "ask the engine's administrator",
        ),
        (
            400,
            'OCI runtime create failed: exec: "x": executable file not found in $PATH: unknown',
            EngineError,
            "executable file not found",
            "check the command",
        ),
        (401, "unauthorized", EnginePermissionError, "unauthorized", "log in"),
    ],
)
def test_a_refusal_becomes_the_right_error_with_a_hint(
    status: int, words: str, error: type[EngineError], text: str, hint: str
) -> None:
    found = refused(status, words, "do it")
    assert type(found) is error
    assert found.message.startswith("cannot do it: ")
    assert text in found.message
    assert hint in str(found.hint)


@pytest.mark.parametrize(
    ("status", "error"), [(409, ConflictError), (500, EngineError), (400, EngineError)]
)
def test_other_refusals_keep_the_engines_words(status: int, error: type[EngineError]) -> None:
    found = refused(status, "something new.\n", "do it")
    assert type(found) is error
    assert found.message == "cannot do it: something new"
    assert found.hint is None
    assert refused(status, "", "do it").message == f"cannot do it: HTTP status {status}"


def test_a_build_that_fills_the_disk_is_a_full_disk() -> None:
    found = build_failed("shop", "exit code: 1", ["tar: write error: No space left on device"])
    assert isinstance(found, DiskFullError)
    assert "cannot build image shop: exit code: 1" in found.message


def test_a_build_that_fails_ends_with_its_last_lines() -> None:
    found = build_failed("shop", "exit code: 1", ["one", "two"])
    assert type(found) is ImageBuildError
    assert found.message == "cannot build image shop: exit code: 1\n    one\n    two"
