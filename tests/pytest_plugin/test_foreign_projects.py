"""Suites on Compose projects as people write them."""

from __future__ import annotations

import os

import pytest

from tests._support.project import free_port
from tests._support.suite import COMPOSE, Suite

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


def test_a_service_in_the_host_network_answers_and_the_summary_says_why_tests_wait(
    suite: Suite,
) -> None:
    port = free_port()
    text = COMPOSE.replace('    ports: ["8000"]', f'    network_mode: host\n    ports: ["{port}"]')
    suite.compose(text=text.replace("8000", str(port)))
    suite.write(
        "test_host.py",
        f"""
        import time
        import urllib.request

        import pytest

        @pytest.mark.parametrize("number", range(6))
        def test_page(stack, number):
            assert stack.env["WEB_PORT"] == stack.env["WEB_PORT_{port}"] == "{port}"
            assert str(stack.address("web", {port})) == "127.0.0.1:{port}"
            url = stack.url("web", {port})
            assert urllib.request.urlopen(url, timeout=10).read() == b"hello\\n"
            time.sleep(0.2)  # two workers wait for one stack
        """,
    )

    result = suite.passes("-n2", passed=6)

    result.stdout.fnmatch_lines(
        [
            "*hint: stack default had one copy only, so that tests waited for each other: service "
            "web is in the host's network, where each port exists only once"
        ]
    )
