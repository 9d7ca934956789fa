"""The command itself: its help, its measures, and what is left after it was interrupted."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from bench.bench import LABEL, ROOT, Bench, alternately
from bench.leftovers import remove_leftovers

from dockwright.engine import Engine
from dockwright.model import Json
from tests._support.owned import Owned, leftovers

COMMAND = [sys.executable, "-m", "bench"]


def test_help_lists_every_measure() -> None:
    output = subprocess.run(
        [*COMMAND, "--help"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    for name in ("plugin", "start", "detection", "teardown", "tests", "suite"):
        assert f"\n  {name} " in output.stdout


def test_an_unknown_measure_is_refused_with_the_known_ones() -> None:
    output = subprocess.run(
        [*COMMAND, "--only", "speed"], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert output.returncode == 2
    assert "invalid choice: 'speed'" in output.stderr
    assert "teardown" in output.stderr


def test_contenders_take_turns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    order: list[str] = []

    def contender(name: str) -> float:
        order.append(name)
        return float(len(order))

    bench = Bench(None, "run", tmp_path)  # type: ignore[arg-type]  # no engine is asked
    found = alternately(bench, 2, {"a": lambda: contender("a"), "b": lambda: contender("b")})
    assert order == ["a", "b", "a", "b"]
    assert found == {"a": [1.0, 3.0], "b": [2.0, 4.0]}
    assert capsys.readouterr().out == ""


@pytest.mark.engine
def test_only_what_a_run_left_is_removed(
    engine: Engine, owned: Owned, scratch: str, unique_name: str, tmp_path: Path
) -> None:
    foreign = owned.create(scratch, "true")
    mine: dict[str, Json] = {"Labels": {LABEL: unique_name}}
    body: dict[str, Json] = {"Image": scratch, "Cmd": ["true"], **mine}
    engine.create_container(f"{unique_name}-left", body)
    engine.create_network(unique_name, mine)
    engine.create_volume(unique_name, mine)
    remove_leftovers(Bench(engine, unique_name, tmp_path))
    assert leftovers(engine, {LABEL: unique_name}) == []
    assert engine.inspect_container(foreign)


@pytest.mark.engine
def test_plugin_measurement_is_printed_as_json(engine: Engine, tmp_path: Path) -> None:
    file = tmp_path / "rows.json"
    output = subprocess.run(
        [*COMMAND, "--quick", "--only", "plugin", "--json", file],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=110,
        check=True,
    )
    document = json.loads(file.read_text())
    whats = [row["what"] for row in document["rows"]]
    assert whats[-1] == "import of the plugin and its fixtures"
    assert all(row["ours"]["median"] > 0 for row in document["rows"][:2])
    assert {"cpu", "kernel", "engine"} <= document["machine"].keys()
    assert "import of the plugin" in output.stdout
    assert "== plugin:" in output.stderr


@pytest.mark.engine
def test_after_ctrl_c_nothing_is_left(engine: Engine) -> None:
    process = subprocess.Popen(
        [*COMMAND, "--quick", "--only", "teardown"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    assert process.stderr
    run = process.stderr.readline().removeprefix("bench: run ").strip()
    for line in process.stderr:
        if "round 1 of" in line:  # it is in the middle of things
            break
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=100)
    assert process.returncode == 130, errors
    assert "interrupted; removing what was made" in errors
    assert run
    assert leftovers(engine, {LABEL: run}) == []
