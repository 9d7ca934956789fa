"""After a change of what a stack is made of, exactly the tests that use this stack run."""

from __future__ import annotations

import io
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from dockwright.engine import PREFIX, Engine
from dockwright.paths import project_hash
from dockwright.results import ResultStore
from tests._support.known import KnownSuite
from tests._support.owned import leftovers, remove_frozen

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

UP = "trap 'exit 0' TERM; while :; do sleep 0.1; done"
MAIL = "dockwright-test/results-mail:1"

PROJECT = {
    "pyproject.toml": """
        [tool.pytest.ini_options]
        dockwright_stacks = ["shop=shop/compose.yaml", "mail=mail/compose.yaml", "stock=stock.yaml"]
        dockwright_seed_inputs = ["seed.txt"]
        """,
    "conftest.py": """
        from seeds import seed

        def dockwright_seed(stack, name):
            if name == "stock":
                seed(stack)
        """,
    "seeds.py": """
        import pathlib

        def seed(stack):
            text = pathlib.Path(__file__).with_name("seed.txt").read_text().strip()
            stack.exec("box", ["sh", "-c", f"echo {text} > /data/seed"])
        """,
    "seed.txt": "seed",
    "shop/compose.yaml": f"""
        services:
          box:
            image: TAG
            command: [sh, -c, "{UP}"]
            environment: ["MODE=$MODE"]
            env_file: [box.env]
            volumes: ["./page:/page:ro"]
            secrets: [key]
            configs: [conf]
        secrets: {{key: {{file: key.txt}}}}
        configs: {{conf: {{file: conf.txt}}}}
        """,
    "shop/.env": "MODE=slow\n",
    "shop/box.env": "LEVEL=1\n",
    "shop/key.txt": "key",
    "shop/conf.txt": "conf",
    "shop/page/index.html": "page",
    "shop/notes.txt": "notes",
    "mail/compose.yaml": f"""
        services:
          box:
            image: {MAIL}
            build: {{context: app, args: {{LANGUAGE: en}}}}
            command: [sh, -c, "{UP}"]
        """,
    "mail/app/Dockerfile": "FROM IMAGE\nARG LANGUAGE\nCOPY . /app\n",
    "mail/app/.dockerignore": "*.log\n",
    "mail/app/main.txt": "main",
    "mail/app/debug.log": "log",
    "stock.yaml": f"""
        services:
          box:
            image: IMAGE
            command: [sh, -c, "{UP}"]
            volumes: ["./init:/init:ro", "data:/data"]
        volumes: {{data: {{}}}}
        """,
    "init/1.sql": "create",
    "test_all.py": """
        import pytest

        def read(stack, path):
            return stack.exec("box", ["cat", path]).stdout

        @pytest.mark.stack("shop")
        @pytest.mark.stateless
        def test_page(stack):
            assert read(stack, "/page/index.html")

        @pytest.mark.stack("shop")
        def test_key(stack):
            assert read(stack, "/run/secrets/key")

        @pytest.mark.stack("mail")
        def test_mail(stack):
            assert read(stack, "/app/main.txt")

        @pytest.fixture(scope="module")
        def stock(stack_factory):
            with stack_factory.lease("stock", exclusive=False) as stack:
                yield stack

        def test_init(stock):
            assert read(stock, "/init/1.sql")

        def test_seed(stock):
            assert read(stock, "/data/seed")

        def test_plain():
            pass
        """,
}
SHOP, STOCK = {"test_page", "test_key"}, {"test_init", "test_seed"}
STACKS = SHOP | STOCK | {"test_mail"}
ALL = STACKS | {"test_plain"}


@dataclass(frozen=True)
class Built:
    """The suite after its first run, and the tag of an image that it uses."""

    suite: KnownSuite
    engine: Engine
    tag: str


def edit(name: str, old: str, new: str) -> Callable[[Built], object]:
    return lambda built: built.suite.replace(name, old, new)


def write(name: str, text: str) -> Callable[[Built], object]:
    return lambda built: built.suite.write({name: text})


CHANGES: dict[str, tuple[Callable[[Built], object], set[str]]] = {
    "a page that the service reads": (edit("shop/page/index.html", "page", "site"), SHOP),
    "one more page": (write("shop/page/more.html", "more"), SHOP),
    "the mode of a page": (
        lambda built: (built.suite.path / "shop/page/index.html").chmod(0o600),
        SHOP,
    ),
    "a file beside the Compose file": (edit("shop/notes.txt", "notes", "more"), set()),
    "a secret": (edit("shop/key.txt", "key", "lock"), SHOP),
    "a config": (edit("shop/conf.txt", "conf", "set"), SHOP),
    "the file .env": (edit("shop/.env", "slow", "fast"), SHOP),
    "an env_file": (edit("shop/box.env", "1", "2"), SHOP),
    "a Compose file": (
        edit("shop/compose.yaml", "secrets: [key]", "init: true\n    secrets: [key]"),
        SHOP,
    ),
    "a comment in a Compose file": (
        edit("shop/compose.yaml", "services:", "# ours\nservices:"),
        set(),
    ),
    "the Dockerfile": (edit("mail/app/Dockerfile", "COPY", "ENV A=1\nCOPY"), {"test_mail"}),
    "a file in a build's context": (edit("mail/app/main.txt", "main", "other"), {"test_mail"}),
    "a new file in a build's context": (write("mail/app/new.txt", "new"), {"test_mail"}),
    "a file that .dockerignore names": (edit("mail/app/debug.log", "log", "logs"), set()),
    "an argument of a build": (edit("mail/compose.yaml", "en", "de"), {"test_mail"}),
    "an init script": (edit("init/1.sql", "create", "drop"), STOCK),
    "what a seed reads": (edit("seed.txt", "seed", "corn"), STACKS),
    "a seed's helper": (edit("seeds.py", "/data/seed", "/data/seed; true"), STACKS),
    "an image moved under the same tag": (
        lambda built: built.engine.tag_image("busybox:1", built.tag),
        SHOP,
    ),
    "the body of a test with a stack": (
        edit("test_all.py", '"/app/main.txt")', '"/app/main.txt") != 1'),
        {"test_mail"},
    ),
    "a helper of tests with stacks": (edit("test_all.py", ".stdout", ".stdout or 1"), STACKS),
}


@pytest.fixture(scope="module")
def first(
    engine: Engine, scratch: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Built]:
    """The suite after its first run."""
    tag = f"dockwright-test/moving:{secrets.token_hex(4)}"
    engine.tag_image(scratch, tag)
    suite = KnownSuite(tmp_path_factory.mktemp("first"), tmp_path_factory.mktemp("place"))
    suite.write({name: _named(text, scratch, tag) for name, text in PROJECT.items()})
    try:
        done = suite.run()
        assert done.exit_code == 0, done.text
        assert done.ran == ALL, done.text
        suite.copy_results("results-at-first")
        shutil.copytree(suite.path, suite.place / "project-at-first")
        yield Built(suite, engine, tag)
    finally:
        for image in (tag, MAIL):
            if engine.has_image(image):
                engine.remove_image(image)
        remove_frozen(engine, suite.place)
    assert leftovers(engine, {f"{PREFIX}project": project_hash(suite.path)}) == []


def _named(text: str, image: str, tag: str) -> str:
    return text.replace("IMAGE", image).replace("TAG", tag)


@pytest.fixture
def built(first: Built, scratch: str) -> Iterator[Built]:
    """The suite as it was after its first run."""
    suite = first.suite
    shutil.rmtree(suite.path)
    shutil.copytree(suite.place / "project-at-first", suite.path)
    suite.restore_results("results-at-first")
    yield first
    first.engine.tag_image(scratch, first.tag)


@pytest.mark.soak(sample=2)
@pytest.mark.parametrize("kind", CHANGES)
def test_tests_that_a_change_can_affect_run(built: Built, kind: str) -> None:
    change, affects = CHANGES[kind]
    change(built)
    done = built.suite.run()
    assert done.ran == affects, done.text
    assert done.exit_code == 0, done.text


def test_nothing_is_started_if_nothing_has_to_run(built: Built) -> None:
    before = time.time()
    done = built.suite.run()
    assert done.reused == ALL, done.text
    assert not done.ran
    labels = {"label": f"{PREFIX}project={project_hash(built.suite.path)}"}
    events = built.engine.sdk.api.events(
        since=int(before), until=int(time.time()) + 1, filters=labels, decode=True
    )
    assert [event["Action"] for event in events] == []


def test_a_missing_image_makes_the_test_run(built: Built) -> None:
    built.engine.remove_image(built.tag)
    try:
        done = built.suite.run()
    finally:
        built.engine.tag_image("busybox:1", built.tag)
    assert done.ran == SHOP
    assert "stack shop: the image of box is not on the engine" in done.text


def test_a_file_of_a_stack_that_changes_during_the_run_is_no_input_to_trust(
    built: Built,
) -> None:
    built.suite.write(
        {
            "test_edit.py": """
            import pathlib, pytest

            @pytest.mark.stack("shop")
            def test_edit(stack):
                pathlib.Path("shop/page/index.html").write_text("edited")
            """
        }
    )
    done = built.suite.run("test_edit.py")
    assert "changed during the run" in done.text
    assert built.suite.run("test_edit.py").ran == {"test_edit"}


def test_results_of_stacks_hold_in_another_checkout(built: Built, tmp_path: Path) -> None:
    there = KnownSuite(tmp_path / "there", built.suite.place)
    shutil.copytree(
        built.suite.path, there.path, ignore=shutil.ignore_patterns("__pycache__", ".pytest_cache")
    )
    place = there.place / "cache" / "results"
    archive = io.BytesIO()
    ResultStore(place / project_hash(built.suite.path)).export(archive)
    archive.seek(0)
    ResultStore(place / project_hash(there.path)).merge(archive)
    done = there.run()
    assert done.reused == ALL, done.text
