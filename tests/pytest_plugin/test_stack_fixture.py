"""What a test can do with its stack, and what happens to it afterwards."""

from __future__ import annotations

import pytest

from tests._support.engine.scratch import SCRATCH
from tests._support.suite import Suite

pytestmark = pytest.mark.engine


def test_everything_that_a_stack_can_do(suite: Suite) -> None:
    suite.write(
        "test_api.py",
        """
        import re
        import urllib.request

        import pytest
        from dockwright import stateless
        from dockwright.errors import LeaseClosedError, StackError, UnknownServiceError

        kept = []

        def page(stack):
            return urllib.request.urlopen(stack.url("web", 8000, "index.html"), timeout=10).read()

        @stateless
        def test_questions(stack, stack_urls, docker_client):
            kept.append(stack)
            assert page(stack) == b"hello\\n"
            address = stack.address("web", 8000)
            assert stack.url("web", 8000) == f"http://{address.host}:{address.port}"
            assert stack.url("web", 8000, scheme="ws").startswith("ws://")
            assert stack.services == ("web",)
            assert stack.name == "default"
            assert re.fullmatch(r"dw-[a-z0-9-]+", stack.project)
            assert repr(stack) == f"<stack {stack.project}>"
            assert stack.env == {
                "WEB_HOST": address.host,
                "WEB_PORT": str(address.port),
                "WEB_PORT_8000": str(address.port),
                "WEB_URL": f"http://{address.host}:{address.port}",
            }
            assert stack_urls == {"web": stack.url_for("web")} == {"web": stack.env["WEB_URL"]}
            state = stack.service("web")
            assert (state.name, state.state, state.exit_code) == ("web", "running", None)
            assert "web is up" in state.logs
            container = docker_client.containers.get(stack.container("web"))
            assert container.labels["com.docker.compose.project"] == stack.project
            assert "web is up" in stack.logs("web")
            result = stack.exec("web", ["sh", "-c", "echo out; echo $X >&2; exit 3"],
                                environment={"X": "err"})
            assert (result.exit_code, result.stdout, result.stderr) == (3, "out\\n", "err\\n")

        @stateless
        def test_wrong_names_list_the_right_ones(stack):
            with pytest.raises(UnknownServiceError, match="the services are: web"):
                stack.exec("wbe", ["true"])
            with pytest.raises(UnknownServiceError, match="web"):
                stack.address("wbe", 1)
            with pytest.raises(UnknownServiceError, match="(?s)no such service.*known are: web"):
                stack.url_for("wbe")

        def test_the_lease_ended_with_its_test():
            with pytest.raises(LeaseClosedError, match="test_questions ended") as caught:
                kept[0].url("web", 8000)
            assert "ask for the stack fixture" in str(caught.value)
            assert repr(kept[0]) == "<stack (lease closed)>"

        def test_life(stack):
            stack.restart("web")
            assert page(stack) == b"hello\\n"
            stack.kill("web")
            with pytest.raises((OSError, StackError)):
                page(stack)
            stack.start("web")
            assert page(stack) == b"hello\\n"
            stack.stop()
            stack.start()
            assert page(stack) == b"hello\\n"
        """,
    )
    result = suite.passes(passed=4)
    result.stdout.fnmatch_lines(["*= dockwright =*", "*stack*started, 3 leases*", "wall time *"])


def test_a_broken_stack_is_repaired_before_the_next_test(suite: Suite) -> None:
    suite.write(
        "test_breaking.py",
        """
        import urllib.request

        def whole(stack):
            url = stack.url("web", 8000, "index.html")
            assert urllib.request.urlopen(url, timeout=10).read() == b"hello\\n"
            assert stack.exec("web", ["ls", "/data"]).stdout.split() == ["www"]

        def test_stops(stack):
            whole(stack)
            stack.exec("web", ["touch", "/data/before"])
            stack.stop("web")

        def test_kills(stack):
            whole(stack)
            stack.kill()

        def test_pauses_behind_our_back(stack, docker_client):
            whole(stack)
            docker_client.containers.get(stack.container("web")).pause()

        def test_removes_behind_our_back(stack, docker_client):
            whole(stack)
            docker_client.containers.get(stack.container("web")).remove(force=True)

        def test_is_whole_again(stack):
            whole(stack)
        """,
    )
    suite.passes(passed=5)


def test_one_pool_serves_all_workers(suite: Suite) -> None:
    suite.write(
        "test_many.py",
        """
        import os
        import pathlib
        import pytest
        from dockwright import stateless

        @stateless
        @pytest.mark.parametrize("number", range(6))
        def test_read(stack, number):
            note(stack)
            assert stack.exec("web", ["ls", "/data"]).stdout.split() == ["www"]

        @pytest.mark.parametrize("number", range(4))
        def test_write(stack, number):
            note(stack)
            assert stack.exec("web", ["ls", "/data"]).stdout.split() == ["www"]
            stack.exec("web", ["touch", "/data/written"])

        def note(stack):
            line = f"{os.environ['PYTEST_XDIST_WORKER']} {stack.project}\\n"
            with pathlib.Path(__file__).with_name("seen").open("a") as file:
                file.write(line)
        """,
    )
    result = suite.passes("-n", "2", passed=10)
    seen = [line.split() for line in (suite.path / "seen").read_text().splitlines()]
    assert {worker for worker, _ in seen} == {"gw0", "gw1"}
    sessions = {project.rsplit("-", 2)[1] for _, project in seen}
    assert len(sessions) == 1
    result.stdout.fnmatch_lines(["*stack*started, 10 leases*"])


def test_a_new_container_after_each_test_is_worth_a_hint(suite: Suite) -> None:
    late = 'command: ["sh", "-c", "sleep 0.5; exec httpd -f -p 80"]\n    ports: ["80"]\n'
    suite.compose(text=f"services:\n  web:\n    image: {SCRATCH}\n    {late}")
    suite.write(
        "test_it.py",
        """
        import pytest

        @pytest.mark.parametrize("number", range(6))
        def test_it(stack, number):
            stack.exec("web", ["true"])
        """,
    )
    result = suite.passes("--dockwright-max-stacks", "1", passed=6)
    result.stdout.fnmatch_lines(
        [
            "hint: * resets of stack default gave web a new container, * s each time",
            "  a service without state of its own is spared that by x-dockwright: {reset: none}",
        ]
    )


def test_a_strategy_that_cannot_work_is_a_line_in_the_summary(suite: Suite) -> None:
    suite.compose(
        text="""
        services:
          cache:
            image: redis:7
            command: ["sh", "-c", "echo requirepass hidden | redis-server -"]
            healthcheck: {test: [CMD, redis-cli, -a, hidden, ping], interval: 10s}
        """
    )
    suite.write(
        "test_it.py",
        """
        import pytest

        @pytest.mark.parametrize("number", range(2))
        def test_it(stack, number):
            pass
        """,
    )
    result = suite.passes("--dockwright-max-stacks=1", passed=2)
    result.stdout.re_match_lines(
        [
            r"warning: stack default: cache is not reset in place: "
            r"strategy redis cannot work: .*Authentication required",
            r"  1 reset gave it a new container, \d+\.\d\d s each time; x-dockwright: "
            r"\{reset: recreate\} silences this",
        ]
    )


def test_a_port_without_a_listener_is_reported(suite: Suite) -> None:
    serve = 'command: ["sh", "-c", "exec httpd -f -p 80"]\n    ports: ["80", "9229"]\n'
    suite.compose(text=f"services:\n  web:\n    image: {SCRATCH}\n    {serve}")
    suite.write("test_it.py", "def test_it(stack): pass\n")
    result = suite.passes("--dockwright-listen-timeout=1s", passed=1)
    result.stdout.fnmatch_lines(
        [
            "warning: stack default: nothing listened on port 9229 of web within *",
            "  hint: declare a health check for web, or x-dockwright: {ready: running}; *",
        ]
    )
