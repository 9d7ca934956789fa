"""The user's own command as a reset: where it runs, and what its failure says."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from dockwright.engine import Engine
from dockwright.errors import ComposeError, StackBrokenError
from dockwright.model import Json, ServiceSpec
from dockwright.reset.generic import CommandReset
from tests._support.owned import Owned
from tests._support.reset.services import RealService

pytestmark = pytest.mark.engine


@pytest.fixture
def container(owned: Owned, scratch: str) -> str:
    return owned.run(scratch, "sleep", "600")


def command(engine: Engine, container: str, options: Mapping[str, Json]) -> CommandReset:
    spec = ServiceSpec("web", {}, reset="command", options=options)
    return CommandReset(RealService(engine, container, spec))


@pytest.mark.parametrize("form", ["touch '/data/was reset'", ["touch", "/data/was reset"]])
def test_it_runs_in_the_container(engine: Engine, container: str, form: Json) -> None:
    strategy = command(engine, container, {"command": form})
    strategy.capture()
    assert strategy.reset()
    strategy.close()
    assert engine.exec(container, ["ls", "/data"]).stdout == b"was reset\n"


def test_it_runs_on_the_host_and_knows_its_container(
    engine: Engine, container: str, tmp_path: Path
) -> None:
    script = f"echo $DOCKWRIGHT_SERVICE $DOCKWRIGHT_CONTAINER > {tmp_path}/out"
    options: dict[str, Json] = {"command": script, "run_on": "host"}
    assert command(engine, container, options).reset()
    assert (tmp_path / "out").read_text().split() == ["web", container]


@pytest.mark.parametrize("place", ["container", "host"])
def test_a_failure_has_the_exit_code_and_the_output(
    engine: Engine, container: str, place: str
) -> None:
    options: dict[str, Json] = {
        "command": "echo out; echo err >&2; exit 3",
        "run_on": place,
    }
    with pytest.raises(StackBrokenError) as caught:
        command(engine, container, options).reset()
    assert str(caught.value) == ("service web: its reset command ended with exit code 3:\nout\nerr")


@pytest.mark.parametrize("place", ["container", "host"])
def test_a_command_has_a_time_limit(engine: Engine, container: str, place: str) -> None:
    options: dict[str, Json] = {
        "command": "sleep 30",
        "timeout": "300ms",
        "run_on": place,
    }
    with pytest.raises(StackBrokenError, match=r"longer than 0\.3 s\n  hint: the option 'timeout'"):
        command(engine, container, options).reset()


def test_a_command_that_does_not_exist_on_the_host(engine: Engine, container: str) -> None:
    options: dict[str, Json] = {
        "command": ["no-such-command"],
        "run_on": "host",
    }
    with pytest.raises(StackBrokenError, match=r"its reset command failed: .*no-such-command"):
        command(engine, container, options).reset()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "the strategy 'command' needs the option 'command'"),
        ({"command": "x", "run_on": "moon"}, "run_on is 'container' or 'host', not 'moon'"),
        ({"command": "x", "timeout": "soon"}, "timeout: "),
        (
            {"comand": "x"},
            "unknown option 'comand'; the options are: command, timeout, run_on",
        ),
    ],
)
def test_wrong_options_are_reported_with_their_place(
    engine: Engine, options: Mapping[str, Json], message: str
) -> None:
    with pytest.raises(ComposeError) as caught:
        command(engine, "x", options)
    assert caught.value.message.startswith(f"services.web.x-dockwright.options: {message}")
