"""What a test marked stateless changes is undone before it can break another test, and is named."""

from __future__ import annotations

import pytest

from tests._support.suite import Suite, output

COMPOSE = """
services:
  cache:
    image: redis:7
    healthcheck: {test: redis-cli ping, interval: 1s}
"""

TESTS = """
    import pytest

    def keys(stack):
        return stack.exec("cache", ["redis-cli", "DBSIZE"]).stdout.strip()

    @pytest.mark.stateless
    def test_reads(stack):
        assert keys(stack) == "0"

    @pytest.mark.stateless
    def test_writes(stack):
        LIE

    def test_next(stack):
        assert keys(stack) == "0"
        assert stack.exec("cache", ["cat", "/etc/hostname"]).exit_code == 0
"""


@pytest.mark.engine
@pytest.mark.parametrize(
    ("lie", "change"),
    [
        ('stack.exec("cache", ["redis-cli", "SET", "left", "over"])', "cache: key left (added)"),
        (
            'stack.exec("cache", ["redis-cli", "CONFIG", "SET", "timeout", "7"])',
            "cache: setting timeout (changed)",
        ),
        ('stack.exec("cache", ["touch", "/left-over"])', "cache: file /left-over (added)"),
    ],
)
def test_a_test_that_is_wrongly_marked_breaks_no_other_test(
    suite: Suite, lie: str, change: str
) -> None:
    suite.compose(text=COMPOSE)
    suite.write("test_it.py", TESTS.replace("LIE", lie))
    result = suite.passes(passed=3)
    result.stdout.fnmatch_lines(
        [
            f"warning: stack default: tests marked stateless changed it ({change}); *",
            "  * should be marked stateful:",  # also test_reads, unless the stack was idle between
            "    test_it.py::test_writes",
        ]
    )


@pytest.mark.engine
def test_honest_tests_cause_no_warning(suite: Suite) -> None:
    suite.compose(text=COMPOSE)
    suite.write("test_it.py", TESTS.replace("LIE", 'assert keys(stack) == "0"'))
    assert "marked stateless" not in output(suite.passes(passed=3))


@pytest.mark.engine
def test_a_copy_that_its_worker_keeps_is_checked_too(suite: Suite) -> None:
    suite.compose(text=COMPOSE)
    lie = 'stack.exec("cache", ["redis-cli", "SET", "left", "over"])'
    suite.write("test_it.py", TESTS.replace("LIE", lie))
    result = suite.passes("--dockwright-sticky=true", passed=3)
    result.stdout.fnmatch_lines(["warning: stack default: tests marked stateless changed it (*"])
