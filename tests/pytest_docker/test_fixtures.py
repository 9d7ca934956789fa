"""Suites written for pytest-docker run unchanged."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path

import pytest

from tests._support.suite import COMPOSE, Suite, output

ON = "[pytest]\ndockwright_compat = pytest-docker\n"

FIXED_PORT = COMPOSE.replace('ports: ["8000"]', 'ports: ["8977:8000"]')

SERVICE = """
import pytest
import urllib.request

def is_responsive(url):
    try:
        return urllib.request.urlopen(url, timeout=10).status == 200
    except OSError:
        return False

@pytest.fixture(scope="session")
def http_service(docker_ip, docker_services):
    url = "http://{}:{}/index.html".format(docker_ip, docker_services.port_for("web", 8000))
    docker_services.wait_until_responsive(
        timeout=30.0, pause=0.1, check=lambda: is_responsive(url)
    )
    return url
"""


@pytest.fixture
def moved(suite: Suite) -> Suite:
    """A suite as pytest-docker's documentation teaches it, with the one setting."""
    (suite.path / "compose.yaml").unlink()
    suite.compose("tests/docker-compose.yml", FIXED_PORT)
    suite.write("pytest.ini", ON)
    suite.write("tests/conftest.py", SERVICE)
    return suite


@pytest.mark.engine
def test_the_documented_suite(moved: Suite) -> None:
    moved.write(
        "tests/test_it.py",
        """
        import os
        import subprocess

        import pytest
        from conftest import is_responsive

        def test_service(http_service):
            assert is_responsive(http_service)

        def test_ports(docker_services):
            assert docker_services.port_for("web", 8000) == docker_services.port_for("web", 8000)
            with pytest.raises(ValueError) as caught:
                docker_services.port_for("web", 123)
            assert str(caught.value) == 'Could not detect port for "web:123".'
            with pytest.raises(Exception, match="the services are: web"):
                docker_services.port_for("wbe", 8000)

        def test_timeout(docker_services):
            ticks = iter([0.0, 1.0, 2.0, 3.0])
            calls = []
            with pytest.raises(Exception) as caught:
                docker_services.wait_until_responsive(
                    check=lambda: calls.append(1), timeout=3.0, pause=0.01, clock=ticks.__next__
                )
            assert str(caught.value) == "Timeout reached while waiting on service!"
            assert len(calls) == 3

        def test_the_others(
            docker_ip, docker_compose_file, docker_compose_project_name, docker_setup,
            docker_cleanup, docker_compose_command,
        ):
            here = os.path.dirname(os.path.abspath(__file__))
            assert docker_ip == "127.0.0.1"
            assert docker_compose_file == os.path.join(here, "docker-compose.yml")
            assert docker_setup == ["up --build --wait"]
            assert docker_cleanup == ["down -v"]
            assert docker_compose_command == "docker compose"
            ps = subprocess.run(["docker", "ps"], capture_output=True, text=True, timeout=30)
            assert f"{docker_compose_project_name}-web-1" in ps.stdout
        """,
    )
    result = moved.passes(passed=4)
    result.stdout.fnmatch_lines(["1 stack started, 1 lease, *"])


@pytest.mark.engine
def test_each_worker_has_a_stack_of_its_own(moved: Suite) -> None:
    moved.write(
        "tests/test_workers.py",
        """
        import os
        import pathlib
        import pytest
        from dockwright.wait import Continue, Ready, until

        SEEN = pathlib.Path(__file__).with_name("seen")

        def both():
            workers = {line.split()[0] for line in SEEN.read_text().splitlines()}
            return Ready() if len(workers) == 2 else Continue("one worker only")

        @pytest.mark.parametrize("number", range(4))
        def test_it(http_service, docker_compose_project_name, number):
            line = f"{os.environ['PYTEST_XDIST_WORKER']} {docker_compose_project_name}\\n"
            with SEEN.open("a") as file:
                file.write(line)
            until(both, subject="a test in each worker", timeout_s=60)
        """,
    )
    moved.passes("-n", "2", passed=4)
    seen = {tuple(line.split()) for line in (moved.path / "tests/seen").read_text().splitlines()}
    assert len(seen) == len({worker for worker, _ in seen}) == len({name for _, name in seen}) == 2


@pytest.mark.engine
def test_container_scope_ends_leases_and_resets_stacks(moved: Suite) -> None:
    for name in ("test_one", "test_two"):
        moved.write(
            f"tests/{name}.py",
            """
            import subprocess

            def sh(project, command):
                argv = ["docker", "exec", f"{project}-web-1", "sh", "-c", command]
                return subprocess.run(argv, capture_output=True, text=True, timeout=30).stdout

            def test_first(docker_services, docker_compose_project_name):
                assert sh(docker_compose_project_name, "ls /data").split() == ["www"]
                sh(docker_compose_project_name, "touch /data/mark")

            def test_second(docker_services, docker_compose_project_name):
                assert sh(docker_compose_project_name, "ls /data").split() == ["mark", "www"]

            def test_fails(docker_services, docker_compose_project_name):
                sh(docker_compose_project_name, "echo last words > /proc/1/fd/1")
                assert False
            """,
        )
    result = moved.passes("--container-scope", "module", passed=4, failed=2)
    result.stdout.fnmatch_lines(["*log of web since the test began*", "last words"])
    result.stdout.fnmatch_lines(["*started, 2 leases, *"])
    wrong = moved.run("--container-scope", "test")
    assert wrong.ret == pytest.ExitCode.USAGE_ERROR
    assert "argument --container-scope: invalid choice: 'test'" in output(wrong)


@pytest.mark.engine
def test_overridden_fixtures(moved: Suite) -> None:
    moved.compose("deploy/base.yml", FIXED_PORT)
    moved.write(
        "deploy/more.yml",
        "services: {web: {environment: {COLOUR: $COLOUR}}, idle: {image: none, profiles: [no]}}",
    )
    moved.write(
        "tests/conftest.py",
        """
        import os
        import pathlib
        import pytest

        @pytest.fixture(scope="session")
        def docker_compose_file(pytestconfig):
            os.environ["COLOUR"] = "green"
            deploy = pathlib.Path(str(pytestconfig.rootdir), "deploy")
            return [deploy / "base.yml", str(deploy / "more.yml")]

        @pytest.fixture(scope="session")
        def docker_compose_project_name():
            return "my-compose-project"

        @pytest.fixture(scope="session")
        def docker_compose_command():
            return "docker-compose --ansi never"

        @pytest.fixture(scope="session")
        def docker_setup():
            return ["down -v", "up --build --wait"]

        @pytest.fixture(scope="session")
        def docker_cleanup():
            return "down -v"
        """,
    )
    moved.write(
        "tests/test_it.py",
        """
        import docker

        def test_it(docker_services, docker_client, docker_compose_project_name):
            port = docker_services.port_for("web", 8000)
            assert docker_compose_project_name == "my-compose-project"
            [container] = docker_client.containers.list(filters={"publish": str(port)})
            assert "COLOUR=green" in container.attrs["Config"]["Env"]
        """,
    )
    moved.passes(passed=1)


@pytest.mark.engine
def test_no_cleanup_keeps_the_stack_and_no_setup_uses_it(moved: Suite) -> None:
    moved.write(
        "tests/test_it.py",
        """
        import pathlib

        import pytest

        kept = pathlib.Path(__file__).with_name("kept")

        @pytest.fixture(scope="session")
        def docker_cleanup():
            return None

        def test_it(http_service, docker_compose_project_name):
            kept.write_text(docker_compose_project_name)
        """,
    )
    result = moved.run()
    result.assert_outcomes(passed=1)
    project = (moved.path / "tests/kept").read_text()
    assert f"container /{project}-web-1" in moved.left()
    result.stdout.fnmatch_lines(
        [f"kept the stack of docker_services of *, as its docker_cleanup does not*: {project}"]
    )
    moved.write(
        "tests/test_it.py",
        f"""
        import pytest

        @pytest.fixture(scope="session")
        def docker_setup():
            return False

        @pytest.fixture(scope="session")
        def docker_compose_project_name():
            return "{project}"

        def test_it(http_service, docker_services):
            with pytest.raises(ValueError, match="Could not detect port"):
                docker_services.port_for("web", 1)
        """,
    )
    result = moved.run()
    result.assert_outcomes(passed=1)
    result.stdout.no_fnmatch_line("*started*lease*")
    assert f"container /{project}-web-1" in moved.left()


@pytest.mark.engine
@pytest.mark.parametrize(
    ("commands", "said"),
    [
        ("['up --wait', 'run --rm web true']", "`run` would make containers that no pool knows of"),
        ("['up --wait', 'exec web true']", "needs Docker Compose, but `no-such-compose` does not"),
    ],
)
def test_commands_that_need_compose_are_explained(moved: Suite, commands: str, said: str) -> None:
    moved.write(
        "tests/test_it.py",
        f"""
        import pytest

        @pytest.fixture(scope="session")
        def docker_setup():
            return {commands}

        @pytest.fixture(scope="session")
        def docker_compose_command():
            return "no-such-compose"

        def test_it(docker_services): pass
        """,
    )
    text = output(moved.passes(errors=1))
    assert said in text
    assert "hint: dockwright" in text


@pytest.mark.engine
def test_other_commands_are_run_by_compose_on_the_copy(moved: Suite, compose_v2: Path) -> None:
    moved.write(
        "tests/test_it.py",
        f"""
        import pytest

        @pytest.fixture(scope="session")
        def docker_setup():
            return ["up --wait", "exec -T web touch /data/from-setup"]

        @pytest.fixture(scope="session")
        def docker_cleanup():
            return ["exec -T web ls /data > listed", "down -v"]

        @pytest.fixture(scope="session")
        def docker_compose_command():
            return "{compose_v2}"

        def test_it(docker_services):
            out = docker_services._docker_compose.execute("exec -T web ls /data")
            assert out.split() == [b"from-setup", b"www"]
            with pytest.raises(Exception, match='returned .*: \"\"\".*nobody'):
                docker_services._docker_compose.execute("exec -T nobody ls", ignore_stderr=False)
        """,
    )
    moved.passes(passed=1)
    assert (moved.path / "listed").read_text().split() == ["from-setup", "www"]


@pytest.fixture(scope="session")
def compose_v2() -> Path:
    """A working Compose v2, where one was made available."""
    found = Path(__file__).parents[2] / (
        ".cache/compose/unpacked/usr/libexec/docker/cli-plugins/docker-compose"
    )
    if not os.access(found, os.X_OK):
        pytest.skip("needs Compose: run scripts/ensure-compose")
    return found


ORIGINAL = """
    import pytest

    def pytest_addoption(parser):
        parser.getgroup("docker").addoption("--container-scope", type=str, default="session")

    @pytest.fixture(scope="session")
    def docker_ip():
        return "the original's"
    """


@pytest.fixture
def beside(bare: pytest.Pytester) -> pytest.Pytester:
    """A suite beside a plugin that is installed as pytest-docker is, and has its fixtures."""
    bare.makepyfile(pytest_docker=ORIGINAL)
    installed = bare.mkdir("pytest_docker-3.2.dist-info")
    (installed / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: pytest-docker\nVersion: 3.2\n"
    )
    (installed / "entry_points.txt").write_text("[pytest11]\ndocker = pytest_docker\n")
    bare.syspathinsert()
    return bare


def test_without_the_setting_the_original_works_beside_it(beside: pytest.Pytester) -> None:
    beside.makepyfile('def test_it(docker_ip): assert docker_ip == "the original\'s"')
    beside.runpytest_subprocess("-p", "no:randomly").assert_outcomes(passed=1)


@pytest.mark.parametrize("how", ["entry point", "-p", "pytest_plugins", "two workers"])
def test_with_the_setting_it_takes_the_originals_place(beside: pytest.Pytester, how: str) -> None:
    beside.makeini(ON)
    if how == "pytest_plugins":
        beside.makeconftest("pytest_plugins = ['pytest_docker']")
    beside.makepyfile(
        """
        def test_it(docker_ip, pytestconfig):
            assert docker_ip == "127.0.0.1"
            assert pytestconfig.pluginmanager.hasplugin("docker")
        """
    )
    more = {"-p": ["-p", "docker"], "two workers": ["-n", "2"]}.get(how, [])
    result = beside.runpytest_subprocess("-p", "no:randomly", "--container-scope=module", *more)
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*pytest-docker's own plugin is switched off for this run"])


@pytest.mark.parametrize("where", ["beside", "bare"])
def test_a_scope_that_there_is_not_is_refused(request: pytest.FixtureRequest, where: str) -> None:
    suite: pytest.Pytester = request.getfixturevalue(where)
    suite.makeini(ON)
    result = suite.runpytest_subprocess("--container-scope=forever")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert "forever" in output(result)
    assert re.search("session'?, '?package'?, '?module'?, '?class'?, '?function", output(result))
    assert "Traceback" not in output(result)


def test_without_the_setting_nothing_is_added(bare: pytest.Pytester) -> None:
    bare.makepyfile("def test_it(docker_services): pass")
    result = bare.runpytest_inprocess("-p", "no:randomly")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*fixture 'docker_services' not found"])
    assert bare.runpytest_inprocess("--container-scope", "class").ret == pytest.ExitCode.USAGE_ERROR


@pytest.mark.engine
@pytest.mark.parametrize("free", [True, False], ids=["free", "taken"])
def test_a_suite_that_knows_the_declared_port_gets_it_if_it_is_free(
    moved: Suite, free: bool
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        if free:
            server.close()
        moved.compose(
            "tests/docker-compose.yml",
            COMPOSE.replace('ports: ["8000"]', f'ports: ["{port}:8000"]'),
        )
        moved.write(
            "tests/test_it.py",
            f"""
            import urllib.request

            def test_it(docker_services):
                assert (docker_services.port_for("web", 8000) == {port}) is {free}
                if {free}:
                    url = "http://localhost:{port}/index.html"
                    assert urllib.request.urlopen(url, timeout=10).read() == b"hello\\n"
            """,
        )
        moved.passes(passed=1)
