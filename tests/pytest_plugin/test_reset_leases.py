"""Stacks that fixtures of a wider scope hold are reset while they are held."""

from __future__ import annotations

import pytest

from tests._support.suite import COMPOSE, Suite, output

HOOK = """
    import pytest

    told = []

    def dockwright_reset(stack, services, connections_lost):
        told.append((stack.project, services, connections_lost))

    @pytest.fixture(scope="session")
    def lease(stack_factory):
        lease = stack_factory.lease()
        yield lease
        lease.close()

    @pytest.fixture(scope="session")
    def shop(lease):
        return lease.stack

    def names(stack):
        return stack.exec("web", ["ls", "/data"]).stdout.split()

    def write(stack):
        assert names(stack) == ["www"]
        stack.exec("web", ["touch", "/data/mark"])
"""


@pytest.fixture
def shop(suite: Suite) -> Suite:
    """A suite whose fixture of session scope holds a stack."""
    suite.write("conftest.py", HOOK)
    return suite


@pytest.mark.engine
def test_a_lease_is_reset_by_hand_and_by_the_marker(shop: Suite) -> None:
    shop.write(
        "test_shop.py",
        """
        import urllib.request

        import pytest
        from conftest import names, told, write
        from dockwright.errors import UsageError

        def test_writes(shop):
            write(shop)

        def test_by_hand(shop, lease):
            address = shop.address("web", 8000)
            lease.reset()
            assert told == [(shop.project, ("web",), ("web",))]  # this service is replaced
            assert shop.address("web", 8000) == address
            assert urllib.request.urlopen(shop.url("web", 8000), timeout=10).status == 200
            write(shop)

        def test_not_by_itself(shop):
            assert names(shop) == ["mark", "www"]

        @pytest.mark.reset_leases
        def test_by_marker(shop):
            assert len(told) == 2
            write(shop)

        @pytest.mark.reset_leases
        def test_of_others_changes_nothing():
            assert len(told) == 2

        def test_a_shared_lease_is_not_reset(stack_factory):
            with stack_factory.lease(exclusive=False):
                lease = stack_factory.lease(exclusive=False)
                with pytest.raises(UsageError, match="is shared: a reset would change the stack"):
                    lease.reset()
                lease.close()
        """,
    )
    shop.passes(passed=6)


@pytest.mark.engine
def test_docker_services_is_reset_between_tests_by_the_setting(suite: Suite) -> None:
    suite.compose("tests/docker-compose.yml", COMPOSE)
    suite.write("pytest.ini", "[pytest]\ndockwright_compat = pytest-docker\n")
    suite.write(
        "test_it.py",
        """
        import subprocess
        import urllib.request

        import pytest

        @pytest.fixture(scope="session")
        def url(docker_services):
            return f"http://127.0.0.1:{docker_services.port_for('web', 8000)}/"

        def page(url):
            return urllib.request.urlopen(url + "index.html", timeout=10).read()

        @pytest.mark.parametrize("number", range(3))
        def test_writes(url, docker_compose_project_name, number):
            assert page(url) == b"hello\\n"
            container = f"{docker_compose_project_name}-web-1"
            write = ["sh", "-c", "echo bad > /data/www/index.html"]
            subprocess.run(["docker", "exec", container, *write], check=True, timeout=60)

        def test_by_hand(url, docker_services):
            docker_services.reset()
            assert page(url) == b"hello\\n"
        """,
    )
    result = suite.passes("--dockwright-reset-leases=yes", passed=4)
    assert "1 lease," in output(result)


@pytest.mark.engine
def test_sticky_leases_give_a_worker_the_same_copy(shop: Suite) -> None:
    shop.write(
        "test_sticky.py",
        """
        import os
        import pathlib

        import pytest
        from conftest import told, write

        @pytest.mark.parametrize("number", range(6))
        def test_it(stack, number):
            write(stack)
            line = f"{os.environ['PYTEST_XDIST_WORKER']} {stack.project} {len(told)}\\n"
            with pathlib.Path(__file__).with_name("seen").open("a") as file:
                file.write(line)
        """,
    )
    shop.passes("-n2", "--dockwright-sticky=yes", passed=6)
    seen = [line.split() for line in (shop.path / "seen").read_text().splitlines()]
    of_workers = {
        worker: {project for other, project, _ in seen if other == worker} for worker, _, _ in seen
    }
    assert all(len(projects) == 1 for projects in of_workers.values())
    assert len({*map(frozenset, of_workers.values())}) == len(of_workers)
    for worker in of_workers:  # told before each test but the first
        assert [int(count) for other, _, count in seen if other == worker] == [
            *range(len([other for other, _, _ in seen if other == worker]))
        ]


@pytest.mark.engine
def test_a_hook_with_other_arguments_is_refused_by_name(suite: Suite) -> None:
    suite.write("conftest.py", "def dockwright_reset(stack, pools): pass\n")
    suite.write(
        "test_it.py",
        """
        def test_it(stack_factory):
            lease = stack_factory.lease()
            lease.reset()
        """,
    )
    result = suite.run()
    result.assert_outcomes(failed=1)
    assert "write def dockwright_reset(stack, services, connections_lost)" in output(result)
