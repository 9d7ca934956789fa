"""Images that are built for stacks do not pile up, and can be removed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dockwright.cli.errors import run
from dockwright.pool.reaper import BuiltImages
from tests._support.engine.scratch import SCRATCH
from tests._support.suite import Suite

pytestmark = pytest.mark.engine


@pytest.fixture
def image(suite: Suite, unique_name: str) -> Iterator[str]:
    """The name of an image that the suite's only service is built as."""
    suite.compose(
        text=f"""
        name: {unique_name}
        services:
          web:
            image: {unique_name}
            build: .
            command: [sleep, "3600"]
            stop_signal: SIGKILL
        """
    )
    suite.write("test_it.py", "def test_it(stack): pass")
    yield unique_name
    built(suite, unique_name).remove(suite.engine, named=True)


def build(suite: Suite, version: int) -> None:
    suite.write("Dockerfile", f"FROM {SCRATCH}\nLABEL version={version}\n")
    suite.passes(passed=1)


def built(suite: Suite, project: str) -> BuiltImages:
    return BuiltImages.find(suite.engine, {project})


def test_the_last_one_is_kept_for_the_next_run_until_clean_removes_it(
    suite: Suite, image: str, capsys: pytest.CaptureFixture[str]
) -> None:
    build(suite, 1)
    first = suite.engine.inspect_image(image)["Id"]
    build(suite, 2)
    found = built(suite, image)
    assert (found.named, found.superseded) == ((f"{image}:latest",), ())
    assert not suite.engine.has_image(first)

    capsys.readouterr()
    assert run(["clean"]) == 0
    err = capsys.readouterr().err
    assert "nothing to remove\n1 image built for test stacks (" in err
    assert ") kept for the next run; remove with `dockwright clean --images`\n" in err
    assert run(["clean", "--images", "--dry-run"]) == 0
    assert "would remove 1 image built for test stacks\n" in capsys.readouterr().err
    assert suite.engine.has_image(image)
    assert run(["clean", "--images"]) == 0
    told = capsys.readouterr().err
    assert told.startswith("nothing to remove\nremoved 1 image built for test stacks\n")
    assert not suite.engine.has_image(image)


@pytest.mark.soak
def test_without_a_cache_it_is_removed_with_its_owner(
    suite: Suite, image: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKWRIGHT_CACHE_BASELINES", "false")
    build(suite, 1)
    assert not suite.engine.has_image(image)
    assert built(suite, image).named == ()


def test_an_image_that_a_container_uses_stays(suite: Suite, image: str) -> None:
    build(suite, 1)
    container = suite.engine.create_container(f"{image}-uses-it", {"Image": image, "Cmd": ["true"]})
    try:
        assert built(suite, image).remove(suite.engine, named=True) == 0
        assert suite.engine.has_image(image)
    finally:
        suite.engine.remove_container(container)
