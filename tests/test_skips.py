"""A test that is skipped without a listed reason fails the run where an engine is required."""

from __future__ import annotations

from pathlib import Path

import pytest

SUITE = """
import pytest

def test_that_runs(): pass
def test_allowed(): pytest.skip("make test has a sample in tests/compose")
"""
SKIPPING = """
@pytest.mark.skipif(True, reason="just today")
def test_not_allowed(): pass
"""


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("DOCKWRIGHT_REQUIRE_ENGINE", "1")
    pytester.makeconftest("pytest_plugins = ['tests._support.skips']")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    return pytester


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["alone", "xdist"])
def test_a_skip_that_is_not_listed_fails_the_run(
    suite: pytest.Pytester, workers: tuple[str, ...]
) -> None:
    suite.makepyfile(SUITE + SKIPPING)
    result = suite.runpytest_subprocess(*workers)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        ["*skipped, but not allowed to be*", "*::test_not_allowed: just today", "Make them run*"]
    )
    assert "test_allowed" not in result.stdout.str()


def test_listed_skips_do_not_fail_the_run(suite: pytest.Pytester) -> None:
    suite.makepyfile(SUITE)
    assert suite.runpytest_subprocess().ret == pytest.ExitCode.OK


def test_a_developer_may_skip_what_the_machine_lacks(
    suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DOCKWRIGHT_REQUIRE_ENGINE")
    suite.makepyfile(SUITE + SKIPPING)
    assert suite.runpytest_subprocess().ret == pytest.ExitCode.OK
