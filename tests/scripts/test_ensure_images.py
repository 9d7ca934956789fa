"""scripts/ensure-images as it is called: idle on the default engine, at work on a private one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests._support.engine.private import PrivateEngine, why_not
from tests._support.registry import Registry

SCRIPT = str(Path(__file__).parents[2] / "scripts" / "ensure-images")
NEEDED = ["postgres:15", "redis:7", "mariadb:10.11", "python:3.11-slim", "busybox:1"]
BASE = "dockwright-equivalent-base:bookworm"


def call(
    *arguments: str, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [SCRIPT, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_help_lists_the_options_and_exits_with_0() -> None:
    done = call("--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Usage: scripts/ensure-images ")
    for option in ("--only NAME", "--no-pull", "--remove", "--list", "--help"):
        assert f"\n  {option} " in done.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--prune"], "unknown option --prune"),
        (["postgres"], "unknown option postgres"),
        (["--only"], "--only needs a name"),
        (["--only", ""], "--only : no such image; one of: postgres redis mariadb python busybox"),
        (
            ["--only", "mysql"],
            "--only mysql: no such image; one of: postgres redis mariadb python busybox",
        ),
    ],
)
def test_wrong_usage_is_named_and_exits_with_2(arguments: list[str], message: str) -> None:
    done = call(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        f"ensure-images: error: {message}",
        "ensure-images: try scripts/ensure-images --help",
    ]


def test_without_an_engine_it_says_so(tmp_path: Path) -> None:
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    done = call(environment=environment | {"DOCKER_HOST": f"unix://{tmp_path}/none.sock"})
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert done.stderr.startswith("ensure-images: error: no engine answers: ")
    assert done.stderr.endswith("; run scripts/ensure-engine\n")


def test_without_the_docker_command_it_says_so(tmp_path: Path) -> None:
    for tool in ("bash", "env", "cat", "dirname"):
        found = shutil.which(tool)
        assert found
        (tmp_path / tool).symlink_to(found)
    done = call(environment={"PATH": str(tmp_path), "HOME": str(tmp_path)})
    assert done.returncode == 1
    assert done.stderr == (
        "ensure-images: error: the docker command is not installed;"
        " scripts/ensure-engine says how to get it\n"
    )


def image_ids() -> list[str]:
    done = subprocess.run(
        ["docker", "image", "inspect", "--format", "{{.Id}}", *NEEDED],
        capture_output=True, text=True, timeout=30, check=True,
    )  # fmt: skip
    return done.stdout.split()


@pytest.fixture
def images(engine: object) -> list[str]:
    """The needed images are on the default engine, as `make test` sees to before."""
    try:
        return image_ids()
    except subprocess.CalledProcessError:
        pytest.skip("needs the images: run scripts/ensure-images")


@pytest.mark.engine
def test_a_further_run_finds_everything_and_does_nothing(images: list[str]) -> None:
    done = call()
    assert done.returncode == 0
    assert done.stdout == ""
    assert done.stderr == f"ensure-images: all present: {' '.join(NEEDED)}\n"
    assert image_ids() == images


@pytest.mark.engine
def test_the_list_shows_what_is_present(images: list[str]) -> None:
    done = call("--list")
    assert (done.returncode, done.stderr) == (0, "")
    rows = {line.split()[1]: line.split()[2] for line in done.stdout.splitlines()}
    assert list(rows) == list(NEEDED)
    assert {rows[tag] for tag in NEEDED} == {"present"}


@pytest.fixture(scope="module")
def registry() -> Iterator[Registry]:
    registry = Registry()
    yield registry
    registry.close()


@pytest.fixture(scope="module")
def private(registry: Registry) -> Iterator[PrivateEngine]:
    """An engine without any image, whose registry is `registry`."""
    reason = why_not()
    if reason:
        pytest.skip(f"a second daemon {reason}")
    with tempfile.TemporaryDirectory(prefix="dwtest-engine-") as home:
        private = PrivateEngine(Path(home), "--registry-mirror", registry.url)
        try:
            private.wait_until_it_answers()
            yield private
        finally:
            private.close()


def labels_of(private: PrivateEngine, image: str) -> dict[str, str]:
    done = private.run("docker", "image", "inspect", image)
    assert done.returncode == 0, done.stderr
    labels: dict[str, str] | None = json.loads(done.stdout)[0]["Config"]["Labels"]
    return labels or {}


@pytest.mark.engine
def test_a_missing_image_is_pulled_from_a_registry(
    images: list[str], private: PrivateEngine, registry: Registry
) -> None:
    registry.mood = "serves"
    registry.publish("busybox:1")
    private.run("docker", "image", "rm", "busybox:1")
    done = private.run(SCRIPT, "--only", "busybox")
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines() == [
        "ensure-images: busybox:1: pulled",
        "ensure-images: all present: busybox:1",
    ]
    assert private.run("docker", "image", "inspect", "busybox:1").returncode == 0


@pytest.mark.engine
@pytest.mark.timeout(180)
def test_without_a_registry_equivalents_are_built_and_removed_again(
    images: list[str], private: PrivateEngine, registry: Registry
) -> None:
    if subprocess.run(
        ["docker", "image", "inspect", BASE], capture_output=True, check=False
    ).returncode:
        pytest.skip("needs the base of the equivalents: the images here came from a registry")
    registry.mood = "hangs"
    private.run("docker", "image", "rm", "busybox:1")
    private.load(BASE)
    done = private.run(SCRIPT, "--only", "busybox", DOCKWRIGHT_REGISTRY_TIMEOUT_S="1")
    assert done.returncode == 0, done.stderr
    output = done.stderr.splitlines()
    assert output[0] == "ensure-images: no registry can be reached"
    assert output[1].startswith("ensure-images: busybox:1: equivalent built (")
    assert output[2:] == ["ensure-images: all present: busybox:1"]
    assert labels_of(private, "busybox:1")["dev.dockwright.equivalent"] == "1"

    # What somebody built from an equivalent inherits its labels, but is not ours to remove.
    private.run("docker", "tag", "busybox:1", "redis:7")
    removed = private.run(SCRIPT, "--remove")
    assert removed.returncode == 0, removed.stderr
    assert removed.stderr.splitlines() == [
        "ensure-images: busybox:1: removed",
        f"ensure-images: {BASE}: removed",
    ]
    left = private.run("docker", "image", "ls", "--format", "{{.Repository}}:{{.Tag}}")
    assert left.stdout.split() == ["redis:7"]
    again = private.run(SCRIPT, "--remove")
    assert again.stderr == "ensure-images: there are no equivalents to remove\n"
    private.run("docker", "image", "rm", "redis:7")
