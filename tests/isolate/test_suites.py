"""A suite that cannot run beside itself comes out the same with any number of isolated workers."""

from __future__ import annotations

import json

import pytest

from dockwright.engine import Engine
from tests._support.isolate.legacy import IMAGE, write_suite
from tests._support.isolate.runs import COMMAND, Worlds
from tests._support.sample import FULL

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900)]

ISOLATE = (*COMMAND, "isolate", "--image", IMAGE, "--")


def _expected(files: int) -> dict[str, str]:
    names = ("test_install", "test_ports", "test_restart", "test_known_bug", "test_uninstall")
    outcomes = {f"test_{number:02}::{name}": "passed" for number in range(files) for name in names}
    for number in range(files):
        outcomes[f"test_{number:02}::test_known_bug"] = "skipped" if number % 2 else "failure"
    return {**outcomes, "exit": "1"}


def test_a_legacy_suite_has_the_same_outcome_with_two_workers(
    worlds: Worlds, engine: Engine, scratch: str
) -> None:
    write_suite(worlds.suite, files=2, pause_s=0.05, image=scratch)
    found = worlds.outcomes(*ISOLATE, *worlds.pytest("-n", "2"))
    assert found == _expected(2)


@pytest.mark.soak
@pytest.mark.parametrize("turn", range(20 if FULL else 1))
@pytest.mark.parametrize("workers", [1, 2, 4, 8])
def test_sixty_tests_come_out_the_same_with_any_number_of_workers(
    worlds: Worlds, engine: Engine, scratch: str, workers: int, turn: int
) -> None:
    write_suite(worlds.suite, files=12, pause_s=0.2, image=scratch)
    assert worlds.outcomes(*ISOLATE, *worlds.pytest("-n", str(workers))) == _expected(12)


_COMPOSE = """
name: isolated
services:
  box: {image: IMAGE, command: ["sh", "-c", "while :; do sleep 0.2; done"]}
"""


@pytest.mark.soak
def test_a_suite_of_stacks_is_recorded_worker_by_worker(
    worlds: Worlds, engine: Engine, scratch: str
) -> None:
    (worlds.suite / "compose.yaml").write_text(_COMPOSE.replace("IMAGE", scratch))
    (worlds.suite / "pytest.ini").write_text("[pytest]\n")
    for number in range(2):
        text = "def test_box(stack): assert stack.exec('box', ['true']).exit_code == 0\n"
        (worlds.suite / f"test_{number}.py").write_text(text)
    report = worlds.suite / "report.json"
    options = ("-n", "2", "--dockwright-isolate", f"--dockwright-report={report}")
    code, text = worlds.run(*worlds.pytest(*options))
    assert code == 0, text
    run = json.loads(report.read_text())["run"]
    assert sorted(each["worker"] for each in run["tests"]) == ["gw0", "gw1"]
    assert len({each["project"] for each in run["stacks"]}) == 2


def test_one_worker_is_enough_for_a_throw_away_engine(
    worlds: Worlds, engine: Engine, scratch: str
) -> None:
    """Without ``-n``; by the option of pytest, with and without xdist."""
    write_suite(worlds.suite, files=1, pause_s=0.02, image=scratch)
    option = ("--dockwright-isolate", "--dockwright-isolate-images", scratch)
    assert worlds.outcomes(*worlds.pytest(*option)) == _expected(1)
