"""A service without state is kept from test to test; what that may change is found out."""

from __future__ import annotations

import pytest

from dockwright.cli.pool import reset_rows
from dockwright.pytest_plugin.again import DistrustedStacks
from tests._support.served import COMPOSE, IMAGES
from tests._support.suite import Suite, output

TESTS = """
    import pytest
    from urllib.request import urlopen

    def visit(stack, path):
        with urlopen(stack.url("web", 8000, path), timeout=10) as answer:
            return int(answer.read())

    @pytest.mark.parametrize("number", range(4))
    def test_it(stack, number, request):
        with open("containers", "a") as seen:
            print(stack.container("web"), file=seen)
        stack.exec("cache", ["redis-cli", "SET", "key", str(number)])
        BODY
"""


def test_stacks_that_remember_are_remembered(pytester: pytest.Pytester) -> None:
    memory = DistrustedStacks(pytester.parseconfigure())
    assert memory.stacks() == []
    for number in range(60):
        memory.add(f"shop@{number}")
    memory.add("shop@30")
    assert DistrustedStacks(pytester.parseconfigure()).stacks()[-2:] == ["shop@59", "shop@30"]
    assert len(memory.stacks()) == 50
    without = DistrustedStacks(pytester.parseconfigure("-p", "no:cacheprovider"))
    without.add("shop@1")
    assert without.stacks() == []


@pytest.fixture
def served(suite: Suite) -> Suite:
    for image in IMAGES:
        if not suite.engine.has_image(image):
            pytest.skip(f"needs the image {image}: scripts/ensure-images gets it")
    suite.compose(text=COMPOSE)
    return suite


def containers(suite: Suite) -> list[str]:
    """Return which containers the tests of the last run saw, and forget them."""
    file = suite.path / "containers"
    seen = file.read_text().split()
    file.unlink()
    return seen


def write(suite: Suite, body: str) -> None:
    suite.write("test_it.py", TESTS.replace("BODY", body))


@pytest.mark.engine
def test_a_service_that_writes_nothing_is_kept_while_tests_pass(served: Suite) -> None:
    write(served, 'assert visit(stack, "/") == 0')
    result = served.passes("--dockwright-max-stacks=1", passed=4)
    assert len(set(containers(served))) == 1
    result.stdout.fnmatch_lines(
        [
            "stack default: cache (Redis on port 6379) is reset in place; web is kept while it "
            "writes no file and no test fails (x-dockwright: {reset: recreate} replaces it after "
            "each test)"
        ]
    )


@pytest.mark.engine
def test_state_in_the_memory_of_a_service_fails_no_test(served: Suite) -> None:
    write(served, 'assert visit(stack, "/remember") == 1')
    result = served.passes("--dockwright-max-stacks=1", passed=4)
    first, second, *others = containers(served)
    assert first == second
    assert len({first, *others}) == 4  # the second test ran twice
    result.stdout.fnmatch_lines(
        [
            "warning: stack default: web keeps state in memory: test_it.py::test_it[[]1[]] failed "
            "with the container of earlier tests (*), and passed with a new one",
            "  it is replaced after each test from now on; declare x-dockwright: *",
        ]
    )
    again = served.passes("--dockwright-max-stacks=1", passed=4)
    assert len(set(containers(served))) == 4
    assert "keeps state in memory" not in output(again)


@pytest.mark.engine
def test_a_failure_that_is_not_the_services_fault_is_reported_once(served: Suite) -> None:
    write(served, 'visit(stack, "/"); assert number != 1, "wrong"')
    result = served.run("--dockwright-max-stacks=1")
    result.assert_outcomes(passed=3, failed=1)
    result.stdout.fnmatch_lines(
        ["The test ran twice, because web still had the container of earlier tests."]
    )
    assert len(set(containers(served))) == 4  # from the failure on, after each test
    assert "keeps state in memory" not in output(result)


@pytest.mark.soak
@pytest.mark.engine
def test_a_service_is_replaced_where_another_plugin_runs_the_tests(served: Suite) -> None:
    served.write(
        "conftest.py",
        """
        from _pytest.runner import runtestprotocol

        def pytest_runtest_protocol(item, nextitem):
            runtestprotocol(item, nextitem=nextitem)
            return True
        """,
    )
    write(served, 'assert visit(stack, "/remember") == 1')
    served.passes("--dockwright-max-stacks=1", passed=4)
    assert len(set(containers(served))) == 4


def test_the_way_of_a_service_that_may_be_kept_is_shown() -> None:
    web = {"recognised": "", "reset": "recreate", "why": "", "may_stay": True}
    queue = {**web, "may_stay": False}
    stack = {"stack": "shop", "services": {"web": web, "queue": queue}}
    assert list(reset_rows([stack])) == [
        ("shop", "web", "-", "kept unless it changed"),
        ("shop", "queue", "-", "new container"),
    ]
