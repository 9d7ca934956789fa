"""Suites that know the host ports of their Compose file."""

from __future__ import annotations

import pytest

from tests._support.project import free_port
from tests._support.suite import COMPOSE, Suite, output

CONNECTS = """
    import urllib.request

    import pytest

    HOST, PORT = "127.0.0.1", {port}

    def page():
        return urllib.request.urlopen(f"http://{{HOST}}:{{PORT}}/index.html", timeout=10).read()

    @pytest.mark.parametrize("number", range(3))
    def test_page(stack, number):
        assert page() == b"hello\\n"
        assert stack.exec("web", ["sh", "-c", "echo no > /data/www/index.html"]).exit_code == 0
"""


@pytest.fixture
def port(suite: Suite) -> int:
    """The host port that the suite's Compose file declares and its tests connect to."""
    number = free_port()
    suite.compose(text=COMPOSE.replace('ports: ["8000"]', f'ports: ["{number}:8000"]'))
    suite.write("test_page.py", CONNECTS.format(port=number))
    return number


@pytest.mark.engine
@pytest.mark.parametrize("setting", ["declared", "default=declared"])
def test_the_one_copy_has_the_declared_ports(suite: Suite, port: int, setting: str) -> None:
    suite.write("pytest.ini", f"[pytest]\ndockwright_ports = {setting}\n")
    result = suite.passes("-n2" if setting == "declared" else "-q", passed=3)
    assert "1 stack started, 3 leases" in result.stdout.str()
    if setting == "declared":
        assert "it has the host ports that its Compose file declares" in result.stdout.str()
    assert port


@pytest.mark.engine
def test_a_refused_connection_to_a_declared_port_is_explained(suite: Suite, port: int) -> None:
    suite.write(
        "test_other.py",
        """
        def test_other_failure(stack):
            raise ValueError("bad")
        """,
    )
    result = suite.passes("--dockwright-log-tail=0", failed=4)
    result.stdout.fnmatch_lines(
        [
            f"{port} is declared for web; this copy of the stack has *: use "
            'stack.address("web", 8000), or set dockwright_ports = declared'
        ]
    )
    assert output(result).count("is declared for web") == 3


@pytest.mark.parametrize(
    ("value", "said"),
    [
        pytest.param(
            "fixed",
            "ports = 'fixed': expected free or declared, or NAME=MODE for one stack",
            id="unknown mode",
        ),
        pytest.param("=free", "ports = '=free': expected free or declared", id="no name"),
        pytest.param("a=free\n  a=declared", "ports: 'a' is given twice", id="twice"),
    ],
)
def test_a_wrong_mode_is_refused(bare: pytest.Pytester, value: str, said: str) -> None:
    bare.makeini(f"[pytest]\ndockwright_ports =\n  {value}\n")
    result = bare.runpytest_subprocess()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert said in output(result)
