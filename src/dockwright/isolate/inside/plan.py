"""What a world is made of: written by the command or pytest, read where a world begins."""

from __future__ import annotations

import json
import os
import time
from collections.abc import MutableMapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

PLAN = "DOCKWRIGHT_ISOLATE_PLAN"
"""The environment variable that holds the plan for the worlds of a run."""

WORLD = "DOCKWRIGHT_WORLD"
"""The environment variable that names the directory of the world that a process is in."""

LEVEL = "DOCKWRIGHT_WORLD_LEVEL"
"""The environment variable that says what a world is for: a ``run``, a ``worker``, ``alone``."""

RUN, WORKER, ALONE = "run", "worker", "alone"

AS_ROOT, SWEEP = "as-root", "sweep"
"""What else can be started in the place of a world: see `start.py`."""

FOR_TESTS = (WORKER, ALONE)
"""The levels of worlds that tests run in."""

SUMMARY = "DOCKWRIGHT_ISOLATE_SUMMARY"
"""The environment variable with the line about worlds in pytest's header."""

ENGINE_VARIABLES = (
    "DOCKER_HOST",
    "DOCKER_CONTEXT",
    "DOCKER_CONFIG",
    "DOCKER_TLS",
    "DOCKER_TLS_VERIFY",
    "DOCKER_CERT_PATH",
    "DOCKWRIGHT_ENGINE",
    "CONTAINER_HOST",
)
"""What would lead a process to an engine outside its world."""

HOOKS = "dockwright_isolate"
"""The pytest plugin that sends xdist's workers into worlds."""

HOOKS_DIRECTORY = Path(__file__).parent / "hooks"
"""Where that plugin is, alone: suites get this directory on their path."""


@dataclass(frozen=True)
class Plan:
    """What is separated, and what the worlds of a run are made of.

    Attributes:
        worlds: the directory that worlds keep their data in.
        python: the interpreter that makes worlds.
        engine: whether a world has an engine of its own.
        home: whether it has a home directory and temporary directories of its own.
        net: whether it has a network of its own.
        dockerd: the daemon's program; empty without an engine.
        rootless: whether its root is another user outside.
        settings: the content of the daemon's settings file.
        data_root: an existing directory for the engine's data, instead of one that is removed.
        images: the directory with the images that engines start with; empty: none.
        outside: the program that makes a way out of its network; empty: there is none.
        reached: ports of the machine's loopback that a world reaches at its own.
        usage: the file that gets a line with the processor time of each world; empty: none.
        notes: the file in which runs note what later ones should know; empty: none.
        workers: how many workers earlier runs propose; 0: they propose nothing.
        files_s: how long the tests of each long file took in the last run, in seconds.
        shown: what stays visible and writable below the directories that `home` replaces.
        tools: what stays visible there too; changes to it stay in the world.
        masked: files and directories of the user's engine that an engine of its own replaces.
        plugins: the directory with plugins of the docker command that ``DOCKER_CONFIG`` has.
        lock: the descriptor that keeps the images, if this process got one.
    """

    worlds: str
    python: str
    engine: bool = True
    home: bool = True
    net: bool = True
    dockerd: str = ""
    rootless: bool = False
    settings: str = '{"features": {"containerd-snapshotter": false}}'
    data_root: str = ""
    images: str = ""
    outside: str = ""
    reached: tuple[int, ...] = ()
    usage: str = ""
    notes: str = ""
    workers: int = 0
    files_s: dict[str, float] = field(default_factory=dict)
    shown: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    masked: tuple[str, ...] = ()
    plugins: str = ""
    lock: int = -1

    def to_json(self) -> str:
        """Return the plan as text."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Plan:
        """Read what `to_json` wrote."""
        known = json.loads(text)
        listed = {name: tuple(known[name]) for name in ("shown", "tools", "reached", "masked")}
        return cls(**{**known, **listed})

    def also(self, *, shown: list[str], tools: list[str], reached: list[int]) -> Plan:
        """Return the plan with more that stays visible or can be reached."""
        return replace(
            self,
            shown=(*self.shown, *shown),
            tools=(*self.tools, *tools),
            reached=tuple(dict.fromkeys((*self.reached, *reached))),
        )

    def command(self, level: str, *words: str) -> list[str]:
        """Return the command that runs `words` in a world of this plan."""
        return start(self.python, level, *words)

    def for_run(self) -> Plan:
        """Return the plan of the world around a whole command.

        What the command writes into the home directory or the temporary directory, such as a
        report, is there when it has ended: only the worlds of workers have their own.
        """
        return replace(self, home=False)


def start(python: str, level: str, *words: str) -> list[str]:
    """Return the command that an interpreter begins a world with, or what else `level` names."""
    return [python, "-I", "-S", str(Path(__file__).with_name("start.py")), level, *words]


def note(file: str | int, **facts: object) -> None:
    """Add a line to a file of notes, if that is possible; short lines arrive in one piece.

    Args:
        file: its path, or a descriptor; empty: there is none.
        facts: what to note; the time is added.
    """
    if file == "":
        return
    line = json.dumps({**facts, "at": int(time.time())}) + "\n"
    with suppress(OSError):
        if isinstance(file, int):
            os.write(file, line.encode())
        else:
            with Path(file).open("a") as notes:
                notes.write(line)


def leave_outside(environ: MutableMapping[str, str], plan: Plan) -> None:
    """Remove from an environment what only leads out of a world or is meant for its outside."""
    beside = str(HOOKS_DIRECTORY)
    for name in ENGINE_VARIABLES if plan.engine else ():
        environ.pop(name, None)
    if plan.home:
        for name in ("TMPDIR", "TEMP", "TMP", "XDG_CACHE_HOME", "XDG_CONFIG_HOME",
                     "XDG_DATA_HOME", "XDG_STATE_HOME"):  # fmt: skip
            environ.pop(name, None)
    _take_out(environ, "PYTHONPATH", beside, os.pathsep)
    _take_out(environ, "PYTEST_PLUGINS", HOOKS, ",")


def _take_out(environ: MutableMapping[str, str], name: str, word: str, separator: str) -> None:
    words = [each for each in environ.get(name, "").split(separator) if each and each != word]
    if words:
        environ[name] = separator.join(words)
    else:
        environ.pop(name, None)
