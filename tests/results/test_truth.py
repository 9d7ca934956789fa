"""What each kind of change is said to affect is what really runs or reads something else."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from tests._support.forking import ForkingPytest
from tests._support.known import KnownSuite
from tests._support.truth import PLUGIN, truths
from tests.results.test_code_changes import ALL, CHANGES, PROJECT

BY_CONTRACT = {
    "a variable of dockwright",
    "an option of pytest",
    "pytest's configuration",
    "a declared input",
}
"""What counts for every test by definition, whatever it runs."""

_FILES = {
    name: file
    for file, text in PROJECT.items()
    if "/test_" in file
    for name in ALL
    if f"def {name.partition('[')[0]}(" in text
}


def _id(name: str) -> str:
    return f"{_FILES.get(name, 'tests/test_new.py')}::{name}"


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KnownSuite]:
    """The suite, traced by a plugin in processes that are forked."""
    place = tmp_path_factory.mktemp("truth")
    (place / "truth.py").write_text(PLUGIN)
    made = KnownSuite(place / "suite", place / "place", {"PYTHONPATH": str(place)})
    with ForkingPytest(made.variables()) as made.forking:
        yield made


@pytest.fixture(scope="module")
def before(suite: KnownSuite) -> dict[str, str]:
    """What each test runs and reads before any change."""
    return _truths(suite, "nothing")


def _truths(suite: KnownSuite, kind: str) -> dict[str, str]:
    shutil.rmtree(suite.path, ignore_errors=True)
    suite.write(PROJECT)
    CHANGES[kind].make(suite)
    names = sorted(ALL | CHANGES[kind].affects)
    assert suite.forking is not None
    found = truths(suite.forking, suite.path, map(_id, names), CHANGES[kind].options)
    return {name: found[_id(name)] for name in names}


KINDS = [kind for kind in CHANGES if kind not in BY_CONTRACT and not CHANGES[kind].environ]


@pytest.mark.soak(sample=1)
@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", KINDS)
def test_changes_affect_exactly_the_expected_tests(
    suite: KnownSuite, before: dict[str, str], kind: str
) -> None:
    after = _truths(suite, kind)
    changed = {name for name, truth in after.items() if before.get(name) != truth}
    assert changed - {"test_digits[2]"} == CHANGES[kind].affects - {"test_digits[2]"}
