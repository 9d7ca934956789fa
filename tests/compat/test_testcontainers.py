"""Suites written for testcontainers run unchanged, on containers of the pool."""

from __future__ import annotations

import re

import pytest

from tests._support.engine.scratch import SCRATCH
from tests._support.suite import Suite, output
from tests.compat.conftest import ON
from tests.pool.conftest import eventually

pytestmark = pytest.mark.engine

WEB = f"""
from testcontainers.core.container import DockerContainer

def web(**more):
    return DockerContainer(
        "{SCRATCH}",
        command=["sh", "-c", "mkdir -p /www; echo hello > /www/index.html; httpd -f -p 80 -h /www"],
        ports=[80],
        **more,
    )

def get(container, path="index.html"):
    import time
    import urllib.request
    host, port = container.get_container_host_ip(), container.get_exposed_port(80)
    for _ in range(100):
        try:
            with urllib.request.urlopen(f"http://{{host}}:{{port}}/{{path}}", timeout=5) as answer:
                return answer.read().decode()
        except ConnectionError:
            time.sleep(0.05)
    raise TimeoutError
"""


def test_each_test_finds_the_database_as_after_its_start(moved: Suite) -> None:
    moved.write(
        "test_it.py",
        """
        import psycopg
        import pytest
        from testcontainers.postgres import PostgresContainer
        from testcontainers.redis import RedisContainer

        @pytest.fixture
        def postgres():
            with PostgresContainer("postgres:15", driver=None) as container:
                yield container

        @pytest.mark.parametrize("number", range(3))
        def test_writes(postgres, number):
            with psycopg.connect(postgres.get_connection_url()) as connection:
                assert connection.execute("select to_regclass('orders')").fetchone() == (None,)
                connection.execute("create table orders (id int)")
            with open("containers", "a") as file:
                print(postgres.get_container_id(), file=file)
            assert postgres.exec("true").exit_code == 0
            assert b"ready to accept connections" in b"".join(postgres.get_logs())
            assert postgres.get_wrapped_container().status == "running"

        @pytest.mark.parametrize("number", range(2))
        def test_two_at_once(number):
            with RedisContainer("redis:7") as one, RedisContainer("redis:7") as other:
                assert one.get_client().dbsize() == other.get_client().dbsize() == 0
                one.get_client().set("a", 1)
                assert other.get_client().get("a") is None
        """,
    )
    moved.passes(passed=5)
    containers = (moved.path / "containers").read_text().split()
    assert len(set(containers)) < len(containers)


def test_containers_other_than_databases_are_new_for_each_test(moved: Suite) -> None:
    moved.write("web.py", WEB)
    moved.write(
        "test_it.py",
        """
        import pytest
        from docker.errors import NotFound
        from web import get, web

        @pytest.mark.parametrize("number", range(2))
        def test_it(number):
            with web() as container:
                assert get(container) == "hello\\n"
                container.copy_into_container(b"x", "/www/new.txt")
                assert get(container, "new.txt") == "x"
                wrapped = container.get_wrapped_container()
                assert wrapped.exec_run("cat /www/new.txt").output == b"x"
            with pytest.raises(NotFound):
                wrapped.exec_run("true")

        def test_new():
            with web() as container:
                assert get(container) == "hello\\n"
                assert container.exec("cat /www/new.txt").exit_code == 1

        def test_stopped_by_the_test():
            with web() as container:
                container.get_wrapped_container().kill()
            with web() as container:
                assert get(container) == "hello\\n"

        def test_files(tmp_path):
            with web().with_copy_into_container(b"$5", "/price.txt") as container:
                assert container.exec("cat /price.txt").output == b"$5"
        """,
    )
    moved.passes(passed=5)


def test_a_database_joins_the_network_of_an_application(moved: Suite) -> None:
    moved.write("web.py", WEB)
    moved.write(
        "test_it.py",
        """
        import pytest
        from testcontainers.core.container import DockerContainer
        from testcontainers.core.network import Network
        from testcontainers.redis import RedisContainer
        from web import web

        @pytest.fixture
        def network():
            with Network() as network:
                yield network

        @pytest.mark.parametrize("number", range(2))
        def test_it(network, number):
            redis = RedisContainer("redis:7").with_network(network).with_network_aliases("cache")
            with redis, web().with_network(network) as app:
                redis.get_client().set("a", number)
                command = "printf 'GET a\\\\r\\\\nQUIT\\\\r\\\\n' | nc cache 6379"
                answer = app.exec(["sh", "-c", command])
                assert f"{number}".encode() in answer.output, answer
        """,
    )
    result = moved.passes(passed=2)
    result.stdout.fnmatch_lines(
        [
            "*DockerContainer is not leased, but created for each start as testcontainers does: "
            "it may need its network while it starts",
        ]
    )


def test_a_container_that_cannot_be_leased_is_created_as_before_and_reported_once(
    moved: Suite,
) -> None:
    moved.write("web.py", WEB)
    moved.write(
        "test_it.py",
        """
        import os

        import pytest
        from web import get, web

        NAME = f"dwtest-named-{os.getpid()}"

        @pytest.mark.parametrize("number", range(2))
        def test_it(number):
            with web(name=NAME) as container:
                assert get(container) == "hello\\n"
                assert container.get_wrapped_container().name == NAME
        """,
    )
    text = output(moved.passes(passed=2))
    assert text.count("it has a name of its own, 'dwtest-named-") == 1


@pytest.mark.soak
def test_a_failed_test_shows_the_log_of_its_container_and_keeps_it(moved: Suite) -> None:
    moved.write(
        "test_it.py",
        """
        import pytest
        from testcontainers.redis import RedisContainer

        @pytest.fixture(scope="module")
        def cache():
            with RedisContainer("redis:7") as container:
                yield container

        def test_it(cache):
            cache.get_client().bgsave()  # writes to its log
            assert cache.get_client().dbsize() == 1
        """,
    )
    result = moved.run("--dockwright-keep-failed")
    result.assert_outcomes(failed=1)
    text = output(result)
    assert "log of redis since the test began" in text
    assert "kept the stack of the first failed test: dw-redis-" in text
    assert any("container" in each for each in moved.left())


@pytest.mark.soak
def test_the_summary_and_records_know_containers_by_their_class(moved: Suite) -> None:
    moved.write(
        "test_it.py",
        """
        from testcontainers.redis import RedisContainer

        def test_it():
            with RedisContainer("redis:7"):
                pass
        """,
    )
    moved.passes("--dockwright-report=run.json", passed=1)
    report = (moved.path / "run.json").read_text()
    assert re.search(r'"RedisContainer-[0-9a-f]{8}"', report)


@pytest.mark.soak
def test_a_session_keeps_its_containers_and_resets_them_on_request(moved: Suite) -> None:
    moved.write(
        "test_it.py",
        """
        import pytest
        from testcontainers.redis import RedisContainer

        @pytest.fixture(scope="session")
        def cache():
            with RedisContainer("redis:7") as container:
                yield container.get_client()

        def test_writes(cache):
            cache.set("a", 1)

        def test_sees_it(cache):
            assert cache.get("a") == b"1"

        @pytest.mark.reset_leases
        def test_wants_it_clean(cache):
            assert cache.get("a") is None
        """,
    )
    moved.passes(passed=3)


@pytest.mark.soak
def test_the_next_run_starts_its_containers_while_it_collects(moved: Suite) -> None:
    moved.write(
        "test_it.py",
        """
        import pytest
        from testcontainers.redis import RedisContainer

        def test_it():
            with RedisContainer("redis:7") as container:
                assert container.get_client().ping()
        """,
    )
    moved.pytester.runpytest_subprocess("-q").assert_outcomes(passed=1)
    moved.write("test_it.py", "def test_it():\n    pass\n")
    result = moved.pytester.runpytest_subprocess("-q")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["1 stack started, 0 leases*"])


@pytest.mark.soak
def test_containers_that_start_while_pytest_collects_work(moved: Suite) -> None:
    moved.write(
        "conftest.py",
        """
        from testcontainers.redis import RedisContainer

        cache = RedisContainer("redis:7").start()

        def pytest_unconfigure():
            cache.stop()
        """,
    )
    moved.write(
        "test_it.py",
        """
        from conftest import cache

        def test_it():
            assert cache.get_client().dbsize() == 0
        """,
    )
    text = output(moved.passes(passed=1))
    assert text.count("a container was started before any test ran") == 1


def test_no_reaper_container_is_started(moved: Suite) -> None:
    moved.write(
        "test_it.py",
        """
        from testcontainers.core.container import Reaper
        from testcontainers.redis import RedisContainer

        def test_it(monkeypatch):
            with RedisContainer("redis:7"):
                assert Reaper._container is None
        """,
    )
    moved.passes(passed=1)


def test_a_killed_run_leaves_nothing(moved: Suite) -> None:
    moved.write("web.py", WEB)
    moved.write(
        "test_it.py",
        """
        import os
        import signal

        from testcontainers.core.network import Network
        from testcontainers.redis import RedisContainer
        from web import web

        def test_it():
            named = web(name=f"dwtest-killed-{os.getpid()}")
            with Network(), RedisContainer("redis:7"), named:
                os.kill(os.getpid(), signal.SIGKILL)
        """,
    )
    moved.run()
    eventually(lambda: moved.left() == [], "what the killed run made to be gone")


def test_the_setting_names_several_tools(moved: Suite) -> None:
    moved.write("pytest.ini", f"{ON}".rstrip() + ", pytest-docker\n")
    moved.compose("tests/docker-compose.yml")
    moved.write(
        "test_it.py",
        """
        from testcontainers.redis import RedisContainer

        def test_it(docker_services):
            assert docker_services.port_for("web", 8000)
            with RedisContainer("redis:7") as container:
                assert container.get_client().ping()
        """,
    )
    moved.passes(passed=1)
