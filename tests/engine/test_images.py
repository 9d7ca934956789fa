"""Images: looked up, tagged, pulled, with the docker command's credentials."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from dockwright.engine import Endpoint, Engine, PullProgress, connect, credentials
from dockwright.engine.types import registry_of, split_reference
from dockwright.errors import DiskFullError, EngineError, ImageMissingError
from dockwright.wait.processes import find_processes
from tests._support.engine.answering import VERSION, answering, reply


@pytest.mark.parametrize(
    ("reference", "name", "version", "registry"),
    [
        ("redis", "redis", "latest", "docker.io"),
        ("redis:7", "redis", "7", "docker.io"),
        ("library/redis:7", "library/redis", "7", "docker.io"),
        ("localhost:5000/a/b", "localhost:5000/a/b", "latest", "localhost:5000"),
        ("localhost/a:1", "localhost/a", "1", "localhost"),
        ("ghcr.io/o/i:v1@sha256:abc", "ghcr.io/o/i", "sha256:abc", "ghcr.io"),
        ("redis@sha256:abc", "redis", "sha256:abc", "docker.io"),
    ],
)
def test_references_are_taken_apart(reference: str, name: str, version: str, registry: str) -> None:
    assert split_reference(reference) == (name, version)
    assert registry_of(reference) == registry


@pytest.mark.engine
def test_an_image_is_found_tagged_and_removed(
    engine: Engine, scratch: str, unique_name: str
) -> None:
    tag = f"{unique_name}:1"
    assert engine.has_image(scratch)
    assert not engine.has_image(tag)
    engine.tag_image(scratch, tag)
    try:
        assert engine.inspect_image(tag)["Id"] == engine.inspect_image(scratch)["Id"]
    finally:
        engine.remove_image(tag)
    engine.remove_image(tag)  # gone: fine
    assert engine.has_image(scratch)
    with pytest.raises(ImageMissingError, match=f"image {tag} is not on the engine"):
        engine.inspect_image(tag)


@pytest.mark.engine
def test_images_are_listed_by_label(engine: Engine, scratch: str) -> None:
    assert engine.list_images({"no.such.label": None}) == []
    tags = {tag for each in engine.list_images({}) for tag in each["RepoTags"] or []}
    assert {scratch, f"docker.io/{scratch}"} & tags  # Podman names the registry


@pytest.mark.engine
def test_an_unreachable_registry_is_reported(engine: Engine) -> None:
    with pytest.raises(ImageMissingError) as caught:
        engine.pull_image("localhost:1/nothing:7")
    assert caught.value.message.startswith("image localhost:1/nothing:7 cannot be pulled: ")
    assert "cannot pull image" not in caught.value.message
    assert "the engine cannot reach the registry localhost:1" in str(caught.value.hint)


@pytest.mark.engine
def test_an_impossible_name_is_reported(engine: Engine) -> None:
    with pytest.raises(ImageMissingError, match=r"invalid reference format|must be lowercase"):
        engine.pull_image("Not/Lower:1")


# --- against a registry that is not here ------------------------------------------------------


class Pulls:
    """An engine that pulls from a registry, as recorded from Docker 20.10."""

    def __init__(self, *messages: dict[str, object], status: int = 200) -> None:
        self.queries: list[dict[str, list[str]]] = []
        self.logins: list[dict[str, str] | None] = []
        self._messages = messages
        self._status = status

    def __call__(self, request: BaseHTTPRequestHandler) -> None:
        if request.path == "/version":
            reply(request, VERSION)
            return
        self.queries.append(parse_qs(urlsplit(request.path).query))
        login = request.headers.get("X-Registry-Auth")
        self.logins.append(json.loads(base64.urlsafe_b64decode(login)) if login else None)
        if self._status != 200:
            reply(request, dict(self._messages[0]), self._status)
            return
        reply(request, b"\r\n".join(json.dumps(each).encode() for each in self._messages))


@pytest.fixture
def docker_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The docker command's configuration directory, empty."""
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    return tmp_path / "config.json"


def pull(pulls: Pulls, reference: str, **options: object) -> list[PullProgress]:
    seen: list[PullProgress] = []
    with answering(pulls) as address:
        engine = connect(Endpoint(address, "a test"))
        try:
            engine.pull_image(reference, on_progress=seen.append, **options)  # type: ignore[arg-type]  # platform only
        finally:
            engine.close()
    return seen


def test_progress_adds_up_the_layers_and_is_reported_at_the_end(docker_config: Path) -> None:
    pulls = Pulls(
        {"status": "Pulling from library/redis", "id": "7"},
        {"status": "Pulling fs layer", "progressDetail": {}, "id": "a"},
        {"status": "Already exists", "progressDetail": {}, "id": "b"},
        {"status": "Downloading", "progressDetail": {"current": 10, "total": 100}, "id": "a"},
        {"status": "Extracting", "progressDetail": {"current": 5, "total": 100}, "id": "a"},
        {"status": "Pull complete", "progressDetail": {}, "id": "a"},
        {"status": "Digest: sha256:1"},
    )
    seen = pull(pulls, "redis:7", platform="linux/arm64")
    assert seen[-1] == PullProgress(
        "redis:7", layers=2, done=2, received_bytes=100, total_bytes=100
    )
    assert len(seen) < len(pulls._messages)  # throttled
    assert pulls.queries == [{"fromImage": ["redis"], "tag": ["7"], "platform": ["linux/arm64"]}]
    assert pulls.logins == [None]


def test_the_login_of_the_registry_is_sent(docker_config: Path) -> None:
    auth = base64.b64encode(b"me:secret").decode()
    docker_config.write_text(json.dumps({"auths": {"ghcr.io": {"auth": auth}}}))
    pulls = Pulls({"status": "done"})
    pull(pulls, "ghcr.io/o/i:1")
    assert pulls.logins[0] is not None
    assert (pulls.logins[0]["username"], pulls.logins[0]["password"]) == ("me", "secret")
    other = Pulls({"status": "done"})
    pull(other, "redis:7")
    assert other.logins == [None]


@pytest.mark.parametrize(
    "config", ['{"credsStore": "test"}', '{"credHelpers": {"ghcr.io": "test"}}']
)
def test_a_credential_helper_is_asked(
    docker_config: Path, monkeypatch: pytest.MonkeyPatch, config: str
) -> None:
    docker_config.write_text(config)
    helper = docker_config.parent / "docker-credential-test"
    helper.write_text(
        "#!/bin/sh\ncat >/dev/null\n"
        """echo '{"ServerURL": "ghcr.io", "Username": "me", "Secret": "s3cret"}'\n"""
    )
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{docker_config.parent}:/usr/bin:/bin")
    pulls = Pulls({"status": "done"})
    pull(pulls, "ghcr.io/o/i:1")
    assert pulls.logins[0] is not None
    assert pulls.logins[0]["Password"] == "s3cret"


def test_a_missing_credential_helper_is_reported(docker_config: Path) -> None:
    docker_config.write_text('{"credsStore": "no-such-helper"}')
    with pytest.raises(
        EngineError, match=r"the credentials for docker\.io cannot be read"
    ) as caught:
        pull(Pulls({"status": "done"}), "redis:7")
    assert "docker-credential-no-such-helper" in caught.value.message
    assert "credsStore" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("reason", "hint"),
    [
        ("pull access denied for x, repository does not exist", "`docker login` to the registry"),
        ("unauthorized: authentication required", "`docker login` to the registry docker.io"),
        ("manifest for redis:77 not found: manifest unknown: manifest unknown", "name and tag"),
        ("toomanyrequests: You have reached your pull rate limit", "limits anonymous pulls"),
        ("no matching manifest for linux/arm64 in the manifest list", "set `platform:`"),
        ('Get "https://x/v2/": net/http: TLS handshake timeout', "cannot reach the registry"),
    ],
)
@pytest.mark.parametrize("in_stream", [True, False])
def test_why_a_pull_failed_is_explained(
    docker_config: Path, reason: str, hint: str, in_stream: bool
) -> None:
    pulls = Pulls({"error": reason}) if in_stream else Pulls({"message": reason}, status=500)
    with pytest.raises(ImageMissingError) as caught:
        pull(pulls, "redis:77")
    assert caught.value.message == (f"image redis:77 cannot be pulled: {reason}")
    assert hint in str(caught.value.hint)


def test_a_disk_that_fills_up_during_a_pull_is_reported(docker_config: Path) -> None:
    words = "failed to register layer: write /usr/lib/x: no space left on device"
    with pytest.raises(DiskFullError, match="no space left on device") as caught:
        pull(Pulls({"error": words}), "redis:7")
    assert "docker system df" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ('{"credHelpers": "text"}', ": AttributeError: "),
        ('{"credsStore": 5}', "docker-credential-5 is not installed"),
    ],
)
def test_a_damaged_config_is_reported(docker_config: Path, config: str, reason: str) -> None:
    docker_config.write_text(config)
    with pytest.raises(EngineError, match=r"^the credentials for docker\.io cannot be") as caught:
        pull(Pulls({"status": "done"}), "redis:7")
    assert reason in caught.value.message


@pytest.mark.parametrize("output", ["no JSON", "[1]", "5", "[" * 100_000])
def test_garbage_from_a_credential_helper_is_reported(
    docker_config: Path, monkeypatch: pytest.MonkeyPatch, output: str
) -> None:
    write_helper(docker_config, monkeypatch, f"cat >/dev/null; echo '{output}'")
    with pytest.raises(EngineError, match=r"^the credentials for docker\.io cannot be read: "):
        pull(Pulls({"status": "done"}), "redis:7")


@pytest.mark.parametrize("timeout_s", [0.5, 0.0], ids=["started", "not yet started"])
@pytest.mark.parametrize("script", ["sleep {}; true", "(while :; do sleep {} & sleep 0.01; done)"])
def test_a_credential_helper_that_hangs_is_ended(
    docker_config: Path, monkeypatch: pytest.MonkeyPatch, timeout_s: float, script: str
) -> None:
    monkeypatch.setattr(credentials, "HELPER_TIMEOUT_S", timeout_s)
    marker = f"6{os.getpid()}"
    write_helper(docker_config, monkeypatch, script.format(marker))
    zombie = subprocess.Popen(["true"])  # an ended process that nobody waits for
    os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
    with pytest.raises(EngineError, match="cannot be read: a credential helper did not answer"):
        pull(Pulls({"status": "done"}), "redis:7")
    assert find_processes(f"sleep {marker}") == []
    zombie.wait()


def write_helper(docker_config: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    docker_config.write_text('{"credsStore": "test"}')
    helper = docker_config.parent / "docker-credential-test"
    helper.write_text(f"#!/bin/sh\n{script}\n")
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{docker_config.parent}:/usr/bin:/bin")
