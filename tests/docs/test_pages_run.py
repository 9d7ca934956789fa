"""The pages are true: their files and commands work as they stand, on a real engine."""

from __future__ import annotations

import os

import pytest

from dockwright.engine import Engine
from dockwright.paths import project_hash
from dockwright.wait import Continue, Outcome, Ready, until
from tests._support.docs.pages import Command, Page, all_pages
from tests._support.docs.runner import Runner
from tests._support.owned import leftovers

RUNNABLE = [
    page
    for page in all_pages()
    if page.path.parent.name != "guides" and any(isinstance(each, Command) for each in page.steps())
]
FIRST = ("README.md", "docs/tutorial/first-suite.md")
"""The pages that every user reads."""


@pytest.mark.engine
@pytest.mark.timeout(400)  # a page is a small suite of its own, and the machine may be busy
@pytest.mark.parametrize("page", [page for page in RUNNABLE if str(page) in FIRST], ids=str)
def test_a_first_page_does_what_it_says(page: Page, runner: Runner, engine: Engine) -> None:
    _run(page, runner, engine)


@pytest.mark.engine
@pytest.mark.timeout(400)
@pytest.mark.soak(sample=8)
@pytest.mark.parametrize("page", [page for page in RUNNABLE if str(page) not in FIRST], ids=str)
def test_a_page_does_what_it_says(page: Page, runner: Runner, engine: Engine) -> None:
    _run(page, runner, engine)


def _run(page: Page, runner: Runner, engine: Engine) -> None:
    if "isolate" in str(page) and os.geteuid() != 0:
        pytest.skip("only root can make worlds")
    assert runner.run(page) > 0
    ours = {"dev.dockwright.project": project_hash(runner.directory)}

    def nothing_is_left() -> Outcome:  # the broker removes stacks while the prompt is back
        left = leftovers(engine, ours)
        return Continue(", ".join(left)) if left else Ready()

    until(nothing_is_left, subject=f"all that {page} made to go", timeout_s=60)


def test_first_pages_for_users_are_executed() -> None:
    assert {str(page) for page in RUNNABLE} >= set(FIRST)
