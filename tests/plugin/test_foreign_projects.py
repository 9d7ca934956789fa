"""Suites on Compose projects as people write them."""

from __future__ import annotations

import os

import pytest

from tests.plugin.suite import Suite

pytestmark = pytest.mark.engine

PAGE = """
    import urllib.request

    def test_page(stack):
        assert urllib.request.urlopen(stack.url("web", 8000), timeout=10).read() == b"hello\\n"
"""


def test_a_suite_below_its_compose_file_in_a_directory_without_ascii_letters(
    suite: Suite, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite.compose("テスト/compose.yaml")
    root = suite.write("テスト/tests/test_page.py", PAGE).parent
    suite.write("テスト/tests/pytest.ini", "[pytest]\ndockwright_compose = ../compose.yaml\n")
    monkeypatch.chdir(root)

    result = suite.run(f"--rootdir={root}", f"-c{root}/pytest.ini", os.fspath(root))

    result.assert_outcomes(passed=1)
    assert "warning" not in result.stdout.str()
