"""A warm stack serves the next run only if a start would give the same one now."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from dockwright.cache import FileDigests, NotCacheableError, files
from dockwright.compose import LoadOptions
from dockwright.engine import PREFIX, Engine
from dockwright.errors import DockwrightError
from dockwright.paths import project_hash
from dockwright.pool.service import PoolService
from dockwright.settings import Settings
from tests._support.owned import leftovers
from tests.pool.conftest import shared

UP = "trap 'exit 0' TERM; while :; do sleep 0.1; done"


@dataclass
class Warm:
    """A pool that stays between runs, and the files of its project."""

    root: Path
    service: PoolService
    image: str
    name: str = field(default_factory=lambda: f"fresh-{secrets.token_hex(4)}")
    files: dict[str, str] = field(default_factory=dict)

    @property
    def built(self) -> str:
        """The image that the project builds; no other test builds, or removes, the same."""
        return f"dockwright-test/{self.name}"

    def write(self, written: Mapping[str, str]) -> None:
        for name, text in written.items():
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            text = text.replace("IMAGE", self.image).replace("BUILT", self.built)
            text = text.replace("PYTHON", sys.executable).replace("PROJECT", self.name)
            (self.root / name).write_text(text)

    def run(self, read: str) -> tuple[str, str]:
        """Lease the stack as a new run does; return which copy it was, and what `read` printed."""
        options = LoadOptions(start=self.root, environ=dict(os.environ))
        declared = self.service.declare("default", options, None, run=secrets.token_hex(4))
        lease = self.service.pool.acquire(
            shared("test", declared.key), timeout_s=60.0, abandoned=lambda: False
        )
        try:
            printed = lease.leased.exec("box", ["sh", "-c", read]).stdout
            return lease.facts.project, printed.strip()
        finally:
            self.service.release(lease, keep=False)


@pytest.fixture
def warm(
    engine: Engine, scratch: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Warm]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(Engine, "close", lambda _: None)  # it is this process's one engine
    root = tmp_path / "project"
    root.mkdir()
    service = PoolService(Settings(root, max_stacks=2, start_timeout=30.0, cache_baselines=False))
    yield Warm(root, service, scratch)
    service.close()
    assert leftovers(engine, {f"{PREFIX}project": project_hash(root)}) == []


def box(extra: str = "", *, start: str = "true") -> str:
    """Return a Compose file of one service that does something when it starts."""
    return (
        "name: PROJECT\n"
        "services:\n"
        "  box:\n"
        "    image: IMAGE\n"
        f'    command: [sh, -c, "{start}; {UP}"]\n' + extra
    )


BUILT = (
    "name: PROJECT\n"
    "services:\n"
    "  box:\n"
    "    image: BUILT\n"
    "    build: {context: app}\n"
    f'    command: [sh, -c, "{UP}"]\n'
)
DOCKERFILE = "FROM IMAGE\nLABEL test=BUILT\nCOPY . /app\nRUN echo one > /built\n"

EDITS = {
    "a file mounted to initialise from": (
        {
            "compose.yaml": box(
                "    volumes: ['./init:/init']\n", start="cat /init/* > /tmp/state"
            ),
            "init/1.sql": "one",
        },
        {"init/1.sql": "two"},
        "cat /tmp/state",
    ),
    "one more file mounted to initialise from": (
        {
            "compose.yaml": box(
                "    volumes: ['./init:/init']\n", start="cat /init/* > /tmp/state"
            ),
            "init/1.sql": "one",
        },
        {"init/2.sql": " two"},
        "cat /tmp/state",
    ),
    "a file that a running service has mounted": (
        {"compose.yaml": box("    volumes: ['./page.txt:/page.txt:ro']\n"), "page.txt": "one"},
        {"page.txt": "two"},
        "cat /page.txt",
    ),
    "the Compose file": (
        {"compose.yaml": box("    environment: {GREETING: one}\n")},
        {"compose.yaml": box("    environment: {GREETING: two}\n")},
        "echo $GREETING",
    ),
    "the file .env": (
        {"compose.yaml": box(start="echo $GREETING > /tmp/state"), ".env": "GREETING=one\n"},
        {".env": "GREETING=two\n"},
        "cat /tmp/state",
    ),
    "an env_file": (
        {"compose.yaml": box("    env_file: [app.env]\n"), "app.env": "GREETING=one\n"},
        {"app.env": "GREETING=two\n"},
        "echo $GREETING",
    ),
    "a secret's file": (
        {
            "compose.yaml": box("    secrets: [key]\nsecrets: {key: {file: key.txt}}\n"),
            "key.txt": "one",
        },
        {"key.txt": "two"},
        "cat /run/secrets/key",
    ),
    "a config's file": (
        {
            "compose.yaml": box("    configs: [conf]\nconfigs: {conf: {file: conf.txt}}\n"),
            "conf.txt": "one",
        },
        {"conf.txt": "two"},
        "cat /conf",
    ),
    "a secret's variable in .env": (
        {
            "compose.yaml": box("    secrets: [key]\nsecrets: {key: {environment: KEY}}\n"),
            ".env": "KEY=one\n",
        },
        {".env": "KEY=two\n"},
        "cat /run/secrets/key",
    ),
    "a file that is extended": (
        {
            "compose.yaml": box("    extends: {file: base.yaml, service: base}\n"),
            "base.yaml": "services: {base: {image: IMAGE, environment: {GREETING: one}}}\n",
        },
        {"base.yaml": "services: {base: {image: IMAGE, environment: {GREETING: two}}}\n"},
        "echo $GREETING",
    ),
    "a file that is included": (
        {
            "compose.yaml": "name: PROJECT\ninclude: [box.yaml]\n",
            "box.yaml": box("    environment: {GREETING: one}\n").partition("\n")[2],
        },
        {"box.yaml": box("    environment: {GREETING: two}\n").partition("\n")[2]},
        "echo $GREETING",
    ),
    "a file of a build context": (
        {"compose.yaml": BUILT, "app/Dockerfile": DOCKERFILE, "app/sub/main.txt": "one"},
        {"app/sub/main.txt": "two"},
        "cat /app/sub/main.txt",
    ),
    "a Dockerfile": (
        {"compose.yaml": BUILT, "app/Dockerfile": DOCKERFILE},
        {"app/Dockerfile": DOCKERFILE.replace("one", "two")},
        "cat /built",
    ),
    "the code of a native process": (
        {
            "compose.yaml": box()
            + "x-dockwright:\n  processes:\n    app:\n      cwd: native\n"
            + "      command: [PYTHON, -u, app.py]\n      ready: {log: up}\n",
            "native/app.py": "print('up'); import time; time.sleep(600)",
        },
        {"native/app.py": "print('up, again'); import time; time.sleep(600)"},
        "",
    ),
}


@pytest.mark.soak(sample=3)
@pytest.mark.engine
@pytest.mark.soak(sample=8)
@pytest.mark.parametrize("edited", EDITS)
def test_a_run_after_an_edit_uses_the_edited_files(warm: Warm, engine: Engine, edited: str) -> None:
    before, edit, read = EDITS[edited]
    warm.write(before)
    try:
        first = warm.run(read)
        assert warm.run(read) == first
        warm.write(edit)
        project, printed = warm.run(read)
        assert project != first[0]
        assert printed != first[1] or not read
    finally:
        if "build" in before["compose.yaml"]:
            warm.service.close()
            engine.remove_image(warm.built)


@pytest.mark.engine
def test_files_that_no_start_reads_keep_the_stack_warm(warm: Warm, engine: Engine) -> None:
    warm.write(
        {
            "compose.yaml": BUILT + "    volumes: ['./code:/code']\n",
            "app/Dockerfile": DOCKERFILE,
            "app/.dockerignore": "*.log\n",
            "code/tests/test_it.py": "",
        }
    )
    try:
        first = warm.run("true")
        warm.write(
            {
                "app/debug.log": "what .dockerignore names",
                "app/__pycache__/app.pyc": "",
                "code/.pytest_cache/v/lastfailed": "{}",
                "code/__pycache__/app.pyc": "",
                "code/tests/test_it.py": "def test_it(): pass",
            }
        )
        assert warm.run("true") == first
    finally:
        warm.service.close()
        engine.remove_image(warm.built)


@pytest.mark.engine
def test_a_tag_that_means_another_image_gives_another_stack(warm: Warm, engine: Engine) -> None:
    tag = f"dockwright-test/moved:{secrets.token_hex(4)}"
    engine.tag_image(warm.image, tag)
    try:
        warm.write({"compose.yaml": box().replace("IMAGE", tag)})
        first = warm.run("true")
        assert warm.run("true") == first
        engine.tag_image("busybox:1", tag)
        assert warm.run("true") != first
    finally:
        warm.service.close()
        engine.remove_image(tag)


@pytest.mark.engine
def test_a_new_run_retries_a_failed_start(warm: Warm, engine: Engine) -> None:
    # Nothing that the key covers changes: a volume that is not the stack's own lets it start.
    volume = f"dwtest-{secrets.token_hex(4)}"
    engine.create_volume(volume)
    external = (
        f"    volumes: ['flag:/flag']\nvolumes: {{flag: {{external: true, name: {volume}}}}}\n"
    )
    try:
        start = "if mkdir /flag/tried; then exit 1; fi"
        health = "    healthcheck: {test: [CMD-SHELL, 'true']}\n"
        warm.write({"compose.yaml": box(health + external, start=start)})
        with pytest.raises(DockwrightError, match="exit"):
            warm.run("true")
        warm.run("true")
    finally:
        warm.service.close()
        engine.remove_volume(volume)


def test_all_processes_of_a_run_use_the_key_that_the_first_one_found(warm: Warm) -> None:
    warm.write({"compose.yaml": box("    volumes: ['./init:/init']\n"), "init/a": "one"})
    options = LoadOptions(start=warm.root, environ=dict(os.environ))
    first = warm.service.declare("default", options, None, run="same")
    warm.write({"init/a": "two"})
    assert warm.service.declare("default", options, None, run="same").key == first.key
    assert warm.service.declare("default", options, None, run="next").key != first.key


def test_unchanged_files_are_not_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    real = files._read

    def noted(file: Path) -> bytes:
        read.append(file.name)
        return real(file)

    monkeypatch.setattr(files, "_read", noted)
    for name in ("a", "b"):
        (tmp_path / name).write_text("one")
    digests = FileDigests(lambda: (tmp_path / "b").stat().st_mtime_ns + 10**10)
    first = digests.digest(tmp_path)
    assert digests.digest(tmp_path) == first
    assert read == ["a", "b"]
    (tmp_path / "b").write_text("two")
    assert digests.digest(tmp_path) != first
    assert read == ["a", "b", "b"]


def test_a_file_that_changed_just_now_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_text("one")
    times = file.stat()
    digests = FileDigests(lambda: times.st_mtime_ns)
    first = digests.digest(file)
    file.write_text("two")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert digests.digest(file) != first


def test_large_files_are_compared_by_their_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "MOST_BYTES", 2)
    (tmp_path / "a").write_text("one")
    digests = FileDigests()
    with pytest.raises(NotCacheableError):
        digests.digest(tmp_path)
    first = digests.state(tmp_path)
    assert digests.state(tmp_path) == first
    (tmp_path / "a").write_text("longer")
    assert digests.state(tmp_path) != first


@pytest.mark.parametrize(
    "change",
    [lambda file: file.write_text("two"), lambda file: file.unlink(), lambda file: file.chmod(0)],
)
def test_any_change_of_a_file_changes_its_state(
    tmp_path: Path, change: Callable[[Path], object]
) -> None:
    (tmp_path / "a").write_text("one")
    digests = FileDigests()
    first = digests.state(tmp_path)
    change(tmp_path / "a")
    assert digests.state(tmp_path) != first
