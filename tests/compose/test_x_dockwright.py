"""``x-dockwright``: native processes, reset strategies, and what is wrong about them."""

from __future__ import annotations

from pathlib import Path

import pytest

from dockwright.compose import LoadOptions, load
from dockwright.errors import ComposeError
from dockwright.model import Dependency, StackSpec

SERVICES = "services: {db: {image: pg}, web: {image: w, depends_on: [db]}}\n"


def loaded(directory: Path, text: str) -> StackSpec:
    (directory / "compose.yaml").write_text(text)
    return load(LoadOptions(start=directory, environ={"WHO": "me"}))


def test_a_process_with_every_key(tmp_path: Path) -> None:
    spec = loaded(
        tmp_path,
        SERVICES
        + """
x-dockwright:
  processes:
    worker:
      command: python -m worker --name 'a b'
      environment: {DB: "{db.address:5432}", WHO: "${WHO}", N: 3}
      cwd: ./app
      depends_on:
        db: {condition: service_healthy}
        web: {condition: service_started, required: false}
      ready: {http: "http://127.0.0.1:8000/", timeout: 1m30s}
      stop_signal: INT
      stop_grace_period: 2.5
      reset: none
    follower:
      command: [sh, -c, "true"]
      environment: [A=1, B]
      depends_on: [worker]
      ready: running
""",
    )

    worker, follower = spec.processes["worker"], spec.processes["follower"]
    assert worker.command == ("python", "-m", "worker", "--name", "a b")
    assert worker.environment == {"DB": "{db.address:5432}", "WHO": "me", "N": "3"}
    assert worker.cwd == tmp_path / "app"
    assert worker.depends_on == (
        Dependency("db", "service_healthy"),
        Dependency("web", required=False),
    )
    assert worker.ready == {"http": "http://127.0.0.1:8000/"}
    assert (worker.ready_timeout_s, worker.stop_signal, worker.stop_grace_s) == (90, "SIGINT", 2.5)
    assert (worker.stateless, follower.stateless) == (True, False)
    assert follower.command == ("sh", "-c", "true")
    assert follower.environment == {"A": "1", "B": ""}
    assert follower.depends_on == (Dependency("worker"),)
    assert follower.ready == {"running": None}
    assert follower.cwd == tmp_path


def test_a_service_names_its_reset(tmp_path: Path) -> None:
    spec = loaded(
        tmp_path,
        """
services:
  db: {image: x, x-dockwright: {reset: volume, options: {a: [1]}}}
  w: {image: y}
""",
    )

    assert (spec.services["db"].reset, spec.services["db"].options) == ("volume", {"a": [1]})
    assert (spec.services["w"].reset, spec.services["w"].options) == (None, {})


WRONG = {
    "key": ("{procs: {}}", "x-dockwright: unknown key 'procs'; did you mean 'processes'?"),
    "process-key": ("{processes: {p: {command: a, comand: b}}}", "p: unknown key 'comand'; did"),
    "no-command": (
        "{processes: {p: {cwd: .}}}",
        "x-dockwright.processes.p: needs the key 'command'",
    ),
    "empty-command": ("{processes: {p: {command: []}}}", "processes.p.command: is empty"),
    "open-quote": (
        '{processes: {p: {command: "a \'b"}}}',
        "cannot be split into words: No closing",
    ),
    "same-name": (
        "{processes: {web: {command: a}}}",
        "a service is also named 'web'; services and",
    ),
    "dependency": (
        "{processes: {p: {command: a, depends_on: [q]}}}",
        "no enabled service or process",
    ),
    "itself": ("{processes: {p: {command: a, depends_on: [p]}}}", "circular dependency: p -> p"),
    "condition": (
        "{processes: {p: {command: a, depends_on: {db: {condition: up}}}}}",
        "must be one of service_started, service_healthy, service_completed_successfully",
    ),
    "two-conditions": (
        "{processes: {p: {command: a, ready: {tcp: 1, log: b}}}}",
        "processes.p.ready: takes one condition, not tcp and log",
    ),
    "process-reset": (
        "{processes: {p: {command: a, reset: redis}}}",
        "processes.p.reset: must be one of none, restart",
    ),
    "signal": ("{processes: {p: {command: a, stop_signal: NOPE}}}", "unknown signal 'NOPE'"),
    "grace": (
        "{processes: {p: {command: a, stop_grace_period: soon}}}",
        "'soon' is not a duration",
    ),
    "type": ("{processes: [a]}", "x-dockwright.processes: must be a mapping, not a list"),
}


@pytest.mark.parametrize(("text", "message"), WRONG.values(), ids=WRONG)
def test_invalid_processes(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ComposeError) as caught:
        loaded(tmp_path, f"{SERVICES}x-dockwright: {text}\n")

    assert message in str(caught.value)
    assert f"{tmp_path / 'compose.yaml'}:2: x-dockwright" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{rest: volume}", "services.db.x-dockwright: unknown key 'rest'; did you mean 'reset'?"),
        ("{reset: [volume]}", "services.db.x-dockwright.reset: must be a string, not a list"),
        ("volume", "services.db.x-dockwright: must be a mapping, not the string 'volume'"),
    ],
)
def test_invalid_options_of_a_service(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(ComposeError) as caught:
        loaded(tmp_path, f"services: {{db: {{image: x, x-dockwright: {text}}}}}")

    assert message in str(caught.value)
