"""Which services keep their containers although no strategy knows them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from dockwright.stack import Baseline, Stack
from tests._support.served import COMPOSE, IMAGES, visit
from tests.stack.conftest import StackMaker

pytestmark = pytest.mark.engine


@contextmanager
def captured(stack: Stack, scratch: Path) -> Iterator[Baseline]:
    for image in IMAGES:
        if not stack.engine.has_image(image):
            pytest.skip(f"needs the image {image}: scripts/ensure-images gets it")
    stack.start()
    baseline = Baseline(stack, scratch)
    try:
        baseline.capture()
        yield baseline
    finally:
        baseline.close()


def ask(stack: Stack, path: str = "") -> str:
    return visit(f"http://{stack.addresses.nearest('web', 8000)}/{path}")


def stays(stack: Stack, change: Callable[[], object]) -> bool:
    """Return whether the web service has the container that it had before."""
    before = stack.containers["web"]
    change()
    return stack.containers["web"] == before


def test_a_service_stays_that_nothing_was_sent_to(make_stack: StackMaker, tmp_path: Path) -> None:
    stack = make_stack(COMPOSE)
    with captured(stack, tmp_path / "scratch") as baseline:
        assert baseline.resets["web"].may_stay
        assert baseline.stays
        assert stays(stack, baseline.reset)
        assert stays(stack, baseline.reset)
        assert baseline.doubted == set()
        ask(stack)
        baseline.heal()  # only looks: tests that shared the stack may have sent it more than this
        assert not stays(stack, baseline.reset)
        assert stays(stack, baseline.reset)


def test_a_service_that_was_talked_to_is_in_doubt_until_it_is_replaced(
    make_stack: StackMaker, tmp_path: Path
) -> None:
    stack = make_stack(COMPOSE)
    with captured(stack, tmp_path / "scratch") as baseline:
        assert ask(stack, "remember") == "1"
        assert stays(stack, lambda: baseline.reset(repeatable=True))
        assert baseline.doubted == {"web"}
        assert stays(stack, lambda: baseline.reset(repeatable=True))
        assert baseline.doubted == {"web"}
        assert not stays(stack, baseline.reset)  # nothing was sent to it, but the doubt is older
        assert baseline.doubted == set()
        ask(stack)
        baseline.reset(repeatable=True)
        assert not stays(stack, baseline.renew)
        assert baseline.doubted == set()
        assert ask(stack) == "0"


def test_a_service_is_replaced_that_wrote_a_file_or_that_somebody_entered(
    make_stack: StackMaker, tmp_path: Path
) -> None:
    stack = make_stack(COMPOSE)
    with captured(stack, tmp_path / "scratch") as baseline:
        ask(stack, "write")
        baseline.heal()  # what a service writes itself, a check of a shared stack lets it keep
        assert not stays(stack, lambda: baseline.reset(repeatable=True))
        stack.engine.sdk.containers.get(stack.containers["web"]).exec_run("true")
        assert not stays(stack, lambda: baseline.reset(repeatable=True))
        assert baseline.doubted == set()


@pytest.mark.soak(sample=1)
@pytest.mark.parametrize(
    ("declared", "otherwise"),
    [
        ("depends_on: [cache]", ""),
        ('ports: ["8000"]', 'expose: ["8000"]'),
        ("depends_on: [cache]", "depends_on: [cache]\n    x-dockwright: {reset: recreate}"),
        ("depends_on: [cache]", "depends_on: [cache]\n    volumes: ['.:/host']"),
    ],
    ids=["no database", "no published port", "declared", "bind mount"],
)
def test_a_service_is_never_in_doubt_that_may_keep_its_state_itself(
    make_stack: StackMaker, tmp_path: Path, declared: str, otherwise: str
) -> None:
    stack = make_stack(COMPOSE.replace(declared, otherwise))
    with captured(stack, tmp_path / "scratch") as baseline:
        assert not baseline.resets["web"].may_stay
        ask(stack)
        assert not stays(stack, lambda: baseline.reset(repeatable=True))


@pytest.mark.soak
def test_a_service_is_replaced_with_what_it_depends_on(
    make_stack: StackMaker, tmp_path: Path
) -> None:
    queue = "  queue: {image: IMAGE, command: [sleep, '600']}\nconfigs:"
    text = COMPOSE.replace("configs:\n", f"{queue}\n").replace("[cache]", "[cache, queue]")
    stack = make_stack(text)
    with captured(stack, tmp_path / "scratch") as baseline:
        assert stays(stack, baseline.reset)
        stack.exec("queue", ["touch", "/left"])
        assert not stays(stack, lambda: baseline.reset(repeatable=True))
