"""--dockwright-audit names each test that leaves something, and what; honest tests it does not."""

from __future__ import annotations

import fnmatch
import random
import re
import uuid
from collections.abc import Collection, Iterator

import pytest

from dockwright.engine import Engine
from tests._support import suite as support
from tests._support.engine.scratch import SCRATCH
from tests._support.liars import COMPOSE, CONFTEST, INSIDE, LIES, SEED, TESTS
from tests._support.sample import drawn
from tests._support.suite import Suite, output

_SENTENCE = re.compile(r"audit: test_it\.py::test_(\w+)\[(.*)\] is marked stateless, but left:")


@pytest.fixture
def prefix(engine: Engine) -> Iterator[str]:
    """The beginning of the names of what lies leave on the engine; it is removed in the end."""
    prefix = f"dw-lie-{uuid.uuid4().hex[:12]}"
    yield prefix
    engine.remove_container(f"{prefix}-container")
    engine.remove_network(f"{prefix}-network")
    engine.remove_volume(f"{prefix}-volume")


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


def leave_out(monkeypatch: pytest.MonkeyPatch, lies: Collection[str], reads: int = 0) -> None:
    """Run only some of the lies, and so many of the 20 honest tests fewer."""
    left_out = [*(lie for lie in LIES if lie not in lies), *map(str, range(20 - reads, 20))]
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
    leave_out(monkeypatch, lies, reads=14)
    monkeypatch.setenv("AUDITED", "1")
    result = liars.passes("--dockwright-audit=report", "-k", "not needs", passed=12)
    check_report(result, prefix, lies)


@pytest.mark.engine
def test_a_strict_audit_fails_the_liars(liars: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    leave_out(monkeypatch, ["environment"], reads=19)
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


@pytest.mark.soak
@pytest.mark.engine
@pytest.mark.timeout(600)
@pytest.mark.parametrize("number", range(100))
def test_an_audit_names_exactly_the_liars_in_any_order(
    liars: Suite, prefix: str, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setenv("AUDITED", "1")
    result = liars.passes("-n2", "--dockwright-audit=report", passed=44)
    check_report(result, prefix, LIES)


@pytest.mark.soak
@pytest.mark.engine
@pytest.mark.timeout(600)
@pytest.mark.parametrize("number", range(100))
def test_healing_hides_the_changes_of_wrongly_marked_tests(
    liars: Suite, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    leave_out(monkeypatch, INSIDE)
    result = liars.passes("-n2", passed=len(INSIDE) + 24)
    result.stdout.fnmatch_lines(["warning: stack default: tests marked stateless changed it (*"])
