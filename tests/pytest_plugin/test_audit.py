"""--dockwright-audit names each test that leaves something, and what; honest tests it does not."""

from __future__ import annotations

import fnmatch
import json
import random
import re
import sys
import uuid
from collections.abc import Collection, Iterator
from pathlib import Path

import pytest

from dockwright.engine import Engine
from tests._support import suite as support
from tests._support.engine.scratch import SCRATCH
from tests._support.liars import COMPOSE, CONFTEST, HONEST, INSIDE, LIES, SEED, TESTS
from tests._support.sample import drawn
from tests._support.suite import Suite, output
from tests.pool.conftest import eventually

_SENTENCE = re.compile(r"audit: test_it\.py::test_(\w+)\[(.*)\] is marked stateless, but left:")


@pytest.fixture
def prefix(engine: Engine) -> Iterator[str]:
    """The beginning of the names of what lies leave on the engine; it is removed in the end."""
    prefix = f"dw-lie-{uuid.uuid4().hex[:12]}"
    yield prefix
    remove_objects(engine, prefix)


def remove_objects(engine: Engine, prefix: str) -> None:
    engine.remove_container(f"{prefix}-container")
    engine.remove_network(f"{prefix}-network")
    engine.remove_volume(f"{prefix}-volume")


def remove_lies(suite: Suite, prefix: str) -> None:
    """Remove what lies leave outside of the stack."""
    remove_objects(suite.engine, prefix)
    (suite.path / "shared" / "left").unlink()


@pytest.fixture
def liars(suite: Suite, prefix: str, monkeypatch: pytest.MonkeyPatch) -> Suite:
    """The suite of liars, in an order that no other run has."""
    suite.compose(text=COMPOSE)
    suite.write("seed.sql", SEED)
    suite.write("shared/README", "")
    suite.write("conftest.py", CONFTEST)
    suite.write("test_it.py", TESTS)
    monkeypatch.setattr(support, "TIMEOUT_S", 500)
    monkeypatch.setenv("PREFIX", prefix)
    monkeypatch.setenv("IMAGE", SCRATCH)
    monkeypatch.setenv("AUDITED", "")
    monkeypatch.setenv("LEFT_OUT", "")
    monkeypatch.setenv("ORDER", str(random.SystemRandom().randrange(1_000_000)))
    return suite


def leave_out(monkeypatch: pytest.MonkeyPatch, lies: Collection[str], *, reads: int) -> None:
    """Run only some of the lies, and some of the honest tests."""
    honest = drawn("honest").sample(HONEST, reads)
    left_out = [each for each in (*LIES, *HONEST) if each not in (*lies, *honest)]
    monkeypatch.setenv("LEFT_OUT", ",".join(left_out))


def reported(result: pytest.RunResult) -> dict[str, list[str]]:
    """Return what the summary says of each test that left something."""
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in result.outlines:
        if sentence := _SENTENCE.match(line):
            lines = found.setdefault(f"{sentence[1]} {sentence[2]}", [])
        elif line.startswith("  "):
            lines.append(line.strip())
        else:
            lines = []
    return found


def check_report(result: pytest.RunResult, prefix: str, lies: Collection[str]) -> None:
    """Check that exactly the liars are named, each with its one lie."""
    found = reported(result)
    assert sorted(found) == sorted(f"lies {lie}" for lie in lies), output(result)
    for lie in lies:
        [line] = found[f"lies {lie}"]
        assert fnmatch.fnmatchcase(line, LIES[lie].replace("PREFIX", prefix)), (lie, line)


@pytest.mark.engine
def test_an_audit_names_the_liars_and_what_they_did(
    liars: Suite, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lies = drawn("liars").sample([*LIES], 6)
    leave_out(monkeypatch, lies, reads=6)
    monkeypatch.setenv("AUDITED", "1")
    result = liars.passes("--dockwright-audit=report", "-k", "not needs", passed=12)
    check_report(result, prefix, lies)


@pytest.mark.engine
def test_a_strict_audit_fails_the_liars(liars: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    leave_out(monkeypatch, ["environment"], reads=1)
    result = liars.run("--dockwright-audit=strict", "-k", "not needs")
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(
        [
            "*ERROR at teardown of test_lies?environment?*",
            "test_it.py::test_lies?environment? is marked stateless, but left:",
            "  environment variable LEFT (added)",
        ]
    )


WRITER = f"""
services:
  web:
    image: {SCRATCH}
    command:
      - sh
      - -c
      - |
        mkdir -p /www/cgi-bin /data
        printf '#!/bin/sh\\necho x >> /data/visits; echo; cat /data/visits' > /www/cgi-bin/visit
        chmod +x /www/cgi-bin/visit
        exec httpd -f -p 8000 -h /www
    ports: ["8000"]
    volumes: ["data:/data"]
volumes:
  data: {{}}
"""

VISITS = """
    from urllib.request import urlopen

    import pytest

    @pytest.mark.stateless
    @pytest.mark.parametrize("number", range(2))
    def test_visits(stack, number):
        assert urlopen(stack.url("web", 8000, "/cgi-bin/visit")).read() == b"x\\n"
"""


@pytest.mark.engine
def test_files_that_a_service_writes_itself_are_reported_as_uncertain(suite: Suite) -> None:
    suite.compose(text=WRITER)
    suite.write("test_it.py", VISITS)
    result = suite.passes("--dockwright-audit=strict", passed=2)
    result.stdout.fnmatch_lines(
        [
            "audit: test_it.py::test_visits?0? is marked stateless; while it ran:",
            "  web: file /data/visits (added in the volume at /data by the service itself)",
        ]
    )


KEPT = {
    "conftest.py": """
        import pytest

        @pytest.fixture(scope="session")
        def mail(stack_factory):
            with stack_factory.lease(exclusive=False) as stack:
                yield stack
    """,
    "test_a_day.py": """
        import pytest

        pytestmark = pytest.mark.module_cleanup

        def test_order(stack):
            stack.exec("web", ["touch", "/order"])

        def test_pay(stack):
            assert "order" in stack.exec("web", ["ls", "/"]).stdout
    """,
    "test_looks.py": """
        import pytest

        pytestmark = pytest.mark.module_cleanup

        def test_one(stack):
            assert "data" in stack.exec("web", ["ls", "/"]).stdout

        def test_two(stack):
            pass
    """,
    "test_mail.py": """
        def test_send(mail):
            mail.exec("web", ["touch", "/sent"])
    """,
}


@pytest.mark.engine
def test_stacks_that_are_kept_for_longer_are_looked_at_when_their_lease_ends(suite: Suite) -> None:
    for name, text in KEPT.items():
        suite.write(name, text)
    result = suite.run("--dockwright-audit=strict")
    result.assert_outcomes(passed=5, errors=1)
    result.stdout.fnmatch_lines(
        [
            "*ERROR at teardown of test_send*",
            "mail (conftest.py:*) leases its stack with exclusive=False, but left:",
            "  web: file /sent (added)",
        ]
    )
    assert list(reported(result)) == []
    command = [str(Path(sys.executable).with_name("dockwright")), "markers", "--json"]
    tests = json.loads(suite.pytester.run(*command).stdout.str())["tests"]
    assert [(each["nodeid"], each["right"], each["changes"]) for each in tests] == [
        ("test_a_day.py::test_order", "module_cleanup", ["web: file /order (added)"]),
        ("test_a_day.py::test_pay", "module_cleanup", ["web: file /order (added)"]),
        ("test_looks.py::test_one", "stateless", []),
        ("test_looks.py::test_two", "stateless", []),
    ]


ROUNDS = 10
"""How often each test of the soak runs the suite: the stacks of one run serve the next one."""


def in_another_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORDER", str(random.SystemRandom().randrange(1_000_000)))
    monkeypatch.setenv("DOCKWRIGHT_KEEP_WARM", "20s")


@pytest.mark.soak
@pytest.mark.engine
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("number", range(20))
def test_an_audit_names_exactly_the_liars_in_any_order(
    liars: Suite, prefix: str, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setenv("AUDITED", "1")
    for _ in range(ROUNDS):
        in_another_order(monkeypatch)
        result = liars.run("-n2", "--dockwright-audit=report")
        result.assert_outcomes(passed=44)
        check_report(result, prefix, LIES)
        remove_lies(liars, prefix)
    eventually(lambda: liars.left() == [], "the stacks to be removed")


@pytest.mark.soak
@pytest.mark.engine
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("number", range(20))
def test_healing_hides_the_changes_of_wrongly_marked_tests(
    liars: Suite, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    leave_out(monkeypatch, INSIDE, reads=20)
    for _ in range(ROUNDS):
        in_another_order(monkeypatch)
        result = liars.run("-n2")
        result.assert_outcomes(passed=len(INSIDE) + 24)
        result.stdout.fnmatch_lines(
            ["warning: stack default: tests marked stateless changed it (*"]
        )
    eventually(lambda: liars.left() == [], "the stacks to be removed")


@pytest.mark.soak
@pytest.mark.engine
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("audit", ["off", "report"])
def test_a_thousand_honest_tests_are_not_suspected(
    liars: Suite, monkeypatch: pytest.MonkeyPatch, audit: str
) -> None:
    leave_out(monkeypatch, [], reads=20)
    monkeypatch.setenv("AUDITED", "1" if audit == "report" else "")
    monkeypatch.setenv("ROUNDS", str(1000 // len(HONEST)))
    result = liars.passes("-n2", f"--dockwright-audit={audit}", "-k", "reads", passed=1000)
    assert not re.search("is marked stateless|changed it", output(result))
