"""Images built on the real engine, and Dockerfiles that it cannot build."""

from __future__ import annotations

import os
import re
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dockwright.engine import BuildRequest, Engine
from dockwright.engine.build import arguments, buildkit_feature, has_buildx
from dockwright.errors import EngineError, EngineTimeoutError, ImageBuildError
from tests._support.owned import Owned


@pytest.fixture
def tag(engine: Engine, owned: Owned) -> Iterator[str]:
    name = f"{owned.name}:built"
    yield name
    owned.remove()  # an image that a container uses only loses its name
    engine.remove_image(name, force=True)


@pytest.fixture
def classic_only(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Hide the docker command, so that only the engine's own builder is there."""
    monkeypatch.setenv("PATH", str(tmp_path_factory.mktemp("empty")))


def _context(directory: Path, dockerfile: str, **files: str) -> Path:
    (directory / "Dockerfile").write_text(dockerfile)
    for name, content in files.items():
        (directory / name.replace("__", ".")).write_text(content)
    return directory


@pytest.mark.engine
def test_args_labels_target_and_inherited_files(
    engine: Engine, scratch: str, owned: Owned, tag: str, tmp_path: Path, classic_only: None
) -> None:
    context = _context(
        tmp_path,
        f"FROM {scratch} AS base\nARG GREETING\nRUN echo $GREETING > /greeting\n"
        "COPY kept /kept\nFROM base AS unwanted\nRUN false\n",
        kept="kept\n",
    )
    lines: list[str] = []
    image = engine.build_image(
        BuildRequest(
            context=context,
            tags=(tag,),
            args={"GREETING": "hello"},
            labels={"dockwright-test": "built"},
            target="base",
        ),
        on_progress=lines.append,
    )
    assert engine.inspect_image(tag)["Id"] == image
    assert engine.inspect_image(image)["Config"]["Labels"]["dockwright-test"] == "built"
    assert any(line.upper().startswith("STEP 1/") for line in lines)
    container = owned.run(tag, "sleep", "60")
    assert engine.exec(container, ["cat", "/greeting", "/kept"]).stdout == b"hello\nkept\n"


@pytest.mark.engine
def test_dockerignore_keeps_files_out(
    engine: Engine, scratch: str, owned: Owned, tag: str, tmp_path: Path, classic_only: None
) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "big.log").write_text("x")
    (tmp_path / "logs" / "keep.log").write_text("x")
    context = _context(
        tmp_path,
        f"FROM {scratch}\nCOPY . /data/\n",
        __dockerignore="# comment\nlogs/*\n!logs/keep.log\n*.tmp\n",
        a__tmp="x",
        b__txt="x",
    )
    engine.build_image(BuildRequest(context=context, tags=(tag,)))
    container = owned.run(tag, "sleep", "60")
    found = engine.exec(container, ["sh", "-c", "cd /data; ls -A . logs"]).stdout.decode().split()
    assert "b.txt" in found
    assert "keep.log" in found
    assert not {"a.tmp", "big.log"} & set(found)


@pytest.mark.engine
@pytest.mark.parametrize("place", ["inline", "outside"])
def test_a_dockerfile_need_not_be_in_the_context(
    engine: Engine,
    scratch: str,
    owned: Owned,
    tag: str,
    tmp_path: Path,
    classic_only: None,
    place: str,
) -> None:
    text = f"FROM {scratch}\nCOPY . /data/\n"
    (tmp_path / "context").mkdir()
    (tmp_path / "context" / "file").write_text("x")
    (tmp_path / "Dockerfile.outside").write_text(text)
    request = BuildRequest(
        context=tmp_path / "context",
        tags=(tag,),
        dockerfile="../Dockerfile.outside" if place == "outside" else None,
        dockerfile_inline=text if place == "inline" else None,
    )
    engine.build_image(request)
    container = owned.run(tag, "sleep", "60")
    listed = engine.exec(container, ["ls", "-A", "/data"]).stdout.decode().split()
    assert [name for name in listed if name != ".dockerignore"] == ["file"]


@pytest.mark.engine
def test_network_and_extra_hosts_reach_the_run_steps(
    engine: Engine, scratch: str, tag: str, tmp_path: Path, classic_only: None
) -> None:
    context = _context(tmp_path, f"FROM {scratch}\nRUN grep '192.0.2.7.*example.test' /etc/hosts\n")
    request = BuildRequest(
        context=context, tags=(tag,), network="host", extra_hosts=("example.test:192.0.2.7",)
    )
    assert engine.build_image(request).startswith("sha256:")


@pytest.mark.engine
def test_a_failing_step_shows_the_builders_last_lines(
    engine: Engine, scratch: str, tag: str, tmp_path: Path, classic_only: None
) -> None:
    context = _context(tmp_path, f"FROM {scratch}\nRUN echo about to fail; exit 9\n")
    with pytest.raises(ImageBuildError) as caught:
        engine.build_image(BuildRequest(context=context, tags=(tag,)))
    assert f"cannot build image {tag}: " in caught.value.message
    assert re.search(r"(returned a non-zero code:|exit status) 9\b", caught.value.message)
    assert "    about to fail" in caught.value.message.splitlines()[-2:]


@pytest.mark.engine
def test_a_base_image_that_cannot_be_pulled_is_explained(
    engine: Engine, tag: str, tmp_path: Path, classic_only: None
) -> None:
    context = _context(tmp_path, "FROM localhost:1/no-such-image:1\n")
    with pytest.raises(ImageBuildError) as caught:
        engine.build_image(BuildRequest(context=context, tags=(tag,)))
    assert "localhost:1" in caught.value.message
    assert "cannot reach the registry of its base image" in str(caught.value.hint)


@pytest.mark.engine
def test_buildkit_features_without_buildx_are_refused_by_name(
    engine: Engine, scratch: str, tag: str, tmp_path: Path, classic_only: None
) -> None:
    line = "RUN --mount=type=tmpfs,target=/tmp true"
    context = _context(tmp_path, f"# syntax=docker/dockerfile:1\nFROM {scratch}\n{line}\n")
    if engine.can.builds_any_dockerfile:
        assert engine.build_image(BuildRequest(context=context, tags=(tag,)))
        return
    with pytest.raises(
        ImageBuildError, match=r"line 3 of its Dockerfile uses RUN --mount"
    ) as caught:
        engine.build_image(BuildRequest(context=context, tags=(tag,)))
    assert "docker-buildx" in str(caught.value.hint)


@pytest.mark.engine
def test_secrets_without_buildx_are_refused(
    engine: Engine, scratch: str, tag: str, tmp_path: Path, classic_only: None
) -> None:
    context = _context(tmp_path, f"FROM {scratch}\n")
    request = BuildRequest(context=context, tags=(tag,), secret_variables={"token": "TOKEN"})
    reason = "only BuildKit" if engine.can.builds_with_buildx else "this engine's API does not"
    with pytest.raises(ImageBuildError, match=f"`build:` asks for secrets, which {reason}"):
        engine.build_image(request)


@pytest.mark.engine
def test_a_missing_dockerfile_or_context_is_named(engine: Engine, tag: str, tmp_path: Path) -> None:
    with pytest.raises(ImageBuildError, match="the Dockerfile cannot be read") as caught:
        engine.build_image(BuildRequest(context=tmp_path, tags=(tag,)))
    assert str(tmp_path / "Dockerfile") in caught.value.message
    with pytest.raises(ImageBuildError, match="absent is not a directory"):
        engine.build_image(BuildRequest(context=tmp_path / "absent", tags=(tag,)))


@pytest.mark.engine
def test_a_silent_build_can_be_cancelled(
    engine: Engine, scratch: str, tag: str, tmp_path: Path, classic_only: None
) -> None:
    silent = threading.Event()
    context = _context(tmp_path, f"FROM {scratch}\nRUN tail -f /dev/null\n")

    def note(line: str) -> None:
        if "Running in" in line or line.startswith("STEP 2/"):
            silent.set()

    with pytest.raises(ImageBuildError, match="did not report an image"):
        engine.build_image(
            BuildRequest(context=context, tags=(tag,)), on_progress=note, unwanted=silent.is_set
        )
    assert silent.is_set()


@pytest.mark.engine
@pytest.mark.skipif(not has_buildx(), reason="the docker command has no buildx plugin here")
def test_buildx_builds_what_only_buildkit_can(
    engine: Engine, scratch: str, owned: Owned, tag: str, tmp_path: Path
) -> None:
    if not engine.can.builds_with_buildx:
        pytest.skip("this engine builds without buildx")
    (tmp_path / "secret").write_text("s3cret")
    text = f"FROM {scratch}\nRUN --mount=type=secret,id=token cp /run/secrets/token /token\n"
    request = BuildRequest(
        context=tmp_path,
        tags=(tag,),
        dockerfile_inline=text,
        secret_files={"token": tmp_path / "secret"},
    )
    lines: list[str] = []
    image = engine.build_image(request, on_progress=lines.append)
    assert engine.inspect_image(tag)["Id"] == image
    container = owned.run(tag, "sleep", "60")
    assert engine.exec(container, ["cat", "/token"]).stdout == b"s3cret"
    assert lines


@pytest.mark.engine
def test_an_unchanged_image_keeps_its_id_over_ten_builds(
    engine: Engine, scratch: str, tag: str, tmp_path: Path
) -> None:
    context = _context(tmp_path, f"FROM {scratch}\nCOPY Dockerfile /\nRUN touch /made\n")
    request = BuildRequest(context=context, tags=(tag,))
    ids = {engine.build_image(request) for _ in range(10)}
    assert ids == {engine.inspect_image(tag)["Id"]}


@pytest.mark.engine
@pytest.mark.skipif(not has_buildx(), reason="the docker command has no buildx plugin here")
def test_a_failing_buildx_build_shows_its_last_lines(
    engine: Engine, scratch: str, tag: str, tmp_path: Path
) -> None:
    context = _context(tmp_path, f"FROM {scratch}\nRUN echo about to fail; exit 9\n")
    with pytest.raises(ImageBuildError, match="about to fail"):
        engine.build_image(BuildRequest(context=context, tags=(tag,)))


@pytest.fixture
def slow_docker(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A docker command whose builds never end."""
    docker = tmp_path / "bin" / "docker"
    docker.parent.mkdir()
    docker.write_text(
        '#!/bin/sh\n[ "$2" = version ] && exit 0\necho "host $DOCKER_HOST"\nexec sleep 60\n'
    )
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{docker.parent}:{os.environ['PATH']}")


@pytest.mark.engine
def test_a_build_that_takes_too_long_is_a_timeout(
    engine: Engine, tmp_path: Path, slow_docker: None
) -> None:
    if not engine.can.builds_with_buildx:
        pytest.skip("this engine builds without buildx")
    context = _context(tmp_path, "FROM scratch\n")
    lines: list[str] = []
    with pytest.raises(EngineTimeoutError, match=r"cannot build image slow:1: .* than 0\.3 s"):
        engine.build_image(
            BuildRequest(context=context, tags=("slow:1",)),
            on_progress=lines.append,
            timeout_s=0.3,
        )
    assert lines == [f"host {engine.endpoint.url}"]


@pytest.mark.engine
def test_a_listener_that_fails_ends_the_build_at_once(
    engine: Engine, tmp_path: Path, slow_docker: None
) -> None:
    def refuse(line: str) -> None:
        raise KeyboardInterrupt

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        engine.build_image(
            BuildRequest(context=_context(tmp_path, "FROM scratch\n"), tags=("slow:1",)),
            on_progress=refuse,
        )
    assert time.monotonic() - began < 10


def test_buildx_without_the_docker_command_is_not_there(classic_only: None) -> None:
    assert shutil.which("docker") is None
    assert not has_buildx()


def test_buildx_is_asked_for_all_that_a_request_says(tmp_path: Path) -> None:
    options = arguments(
        BuildRequest(
            context=tmp_path,
            tags=("a:1", "b:2"),
            dockerfile="sub/Dockerfile",
            args={"K": "V"},
            labels={"l": "v"},
            target="t",
            cache_from=("c",),
            cache_to=("type=inline",),
            network="host",
            platforms=("linux/amd64",),
            no_cache=True,
            pull=True,
            secret_files={"f": tmp_path / "s"},
            secret_variables={"e": "VAR"},
            ssh=("default",),
            extra_hosts=("h:1.2.3.4",),
            shm_size_bytes=1024,
            additional_contexts={"x": "docker-image://y"},
        )
    )
    assert options == [
        "--load",
        "--progress=plain",
        "--tag=a:1",
        "--tag=b:2",
        "--build-arg=K=V",
        "--label=l=v",
        "--target=t",
        "--cache-from=c",
        "--cache-to=type=inline",
        "--network=host",
        "--platform=linux/amd64",
        f"--secret=id=f,src={tmp_path}/s",
        "--secret=id=e,env=VAR",
        "--ssh=default",
        "--add-host=h:1.2.3.4",
        "--shm-size=1024",
        "--build-context=x=docker-image://y",
        "--no-cache",
        "--pull",
        "--file",
        f"{tmp_path}/sub/Dockerfile",
        "--",
        str(tmp_path),
    ]


@pytest.mark.parametrize(
    ("dockerfile", "expected"),
    [
        ("FROM a\nRUN --mount=type=cache,target=/x make", ("RUN --mount", 2)),
        ("FROM a\n# note\nRUN \\\n  --network=none true", ("RUN --network", 3)),
        ("FROM a\nCOPY --from=b --link x y", ("COPY or ADD --link", 2)),
        ("FROM a\nADD --checksum=sha256:1 http://x y", ("COPY or ADD --checksum", 2)),
        ("FROM a\nRUN <<EOF\necho\nEOF", ("a heredoc", 2)),
        ("FROM a\nCOPY <<'END' /file\nx\nEND", ("a heredoc", 2)),
        ("FROM --platform=$BUILDPLATFORM a", ("$BUILDPLATFORM in FROM", 1)),
        ("# syntax=example.org/front/end:1\nFROM a", ("# syntax=example.org/front/end:1", 1)),
        ("# escape=`\nFROM a\nRUN a `\n --mount=x", None),
        ("# syntax=docker/dockerfile:1\nFROM a\nRUN make", None),
        ("FROM a\nRUN echo $((1<<3)) && cat <<<text", None),
        ("FROM a\nCOPY --chown=1:1 --from=b x y\nRUN tool --mount", None),
    ],
)
def test_buildkit_features_are_found_by_line(
    dockerfile: str, expected: tuple[str, int] | None
) -> None:
    assert buildkit_feature(dockerfile) == expected


@pytest.mark.engine
def test_a_malformed_tag_is_refused_by_the_engine(
    engine: Engine, scratch: str, tmp_path: Path, classic_only: None
) -> None:
    context = _context(tmp_path, f"FROM {scratch}\n")
    with pytest.raises(EngineError, match="cannot build image Not/Lower"):
        engine.build_image(BuildRequest(context=context, tags=("Not/Lower",)))
