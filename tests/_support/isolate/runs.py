"""Runs suites and commands in worlds below one directory, and looks at what is left of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

import psutil

from dockwright.isolate.inside.plan import ALONE, PLAN, Plan
from dockwright.isolate.planning import find_dockerd

COMMAND = (sys.executable, "-c", "from dockwright.cli import main; main()")
_LIMIT_S = 300.0
_PLUGINS = ("-p", "xdist.plugin", "-p", "dockwright.pytest_plugin.plugin")


@dataclass
class Worlds:
    """A place for the worlds of one test.

    Attributes:
        suite: the directory of a suite.
        cache: where worlds and images are.
        seen: the names of all worlds that were looked at.
    """

    suite: Path
    cache: Path
    seen: set[str] = field(default_factory=set)

    @property
    def environ(self) -> dict[str, str]:
        """The environment of commands: pytest without the plugins of this machine."""
        dropped = ("PYTEST_ADDOPTS", "PYTEST_XDIST_WORKER", "PYTEST_CURRENT_TEST")
        kept = {name: text for name, text in os.environ.items() if name not in dropped}
        own = {"DOCKWRIGHT_CACHE_DIR": str(self.cache), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        return {**kept, **own}

    def pytest(self, *options: str) -> list[str]:
        """Return the command that runs the suite; without ``dockwright isolate``."""
        return [sys.executable, "-m", "pytest", *_PLUGINS, "-q", *options]

    def start(self, *words: str, **changed: str) -> subprocess.Popen[str]:
        """Start a command in the suite's directory."""
        return subprocess.Popen(
            words,
            cwd=self.suite,
            env={**self.environ, **changed},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *words: str, **changed: str) -> tuple[int, str]:
        """Run a command in the suite's directory; return its exit code and output."""
        with self.start(*words, **changed) as process:
            try:
                text, _ = process.communicate(timeout=_LIMIT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        return process.returncode, text

    def isolate(self, *words: str, **changed: str) -> tuple[int, str]:
        """Run ``dockwright isolate`` with options and a command."""
        return self.run(*COMMAND, "isolate", *words, **changed)

    def outcomes(self, *words: str) -> dict[str, str]:
        """Run the suite by a command that ends with pytest's options; return what came out."""
        report = self.suite.parent / "outcomes.xml"
        code, text = self.run(*words, f"--junitxml={report}")
        assert report.exists(), text
        found = {}
        for case in ElementTree.parse(report).iter("testcase"):
            kinds = [each.tag for each in case if each.tag in ("failure", "error", "skipped")]
            found[f"{case.get('classname')}::{case.get('name')}"] = kinds[0] if kinds else "passed"
        report.unlink()
        return {**found, "exit": str(code)}

    def plan(self, **changed: object) -> Plan:
        """Return a plan for single worlds, without images."""
        directory = self.cache / "worlds"
        known: dict[str, object] = {
            "worlds": str(directory),
            "python": sys.executable,
            "dockerd": find_dockerd(""),
            "shown": (str(self.suite),),
            "tools": (sys.prefix, sys.base_prefix, *filter(None, sys.path)),
        }
        return Plan(**{**known, **changed})  # type: ignore[arg-type]  # of the plan's fields

    def inside(self, plan: Plan, *words: str, **changed: str) -> tuple[int, str]:
        """Run a command in a world of its own."""
        return self.run(*plan.command(ALONE, *words), **{PLAN: plan.to_json(), **changed})

    def answers(self, plan: Plan, script: str, **changed: str) -> dict[str, str]:
        """Run a Python script in a world; return the JSON object that it prints."""
        code, text = self.inside(plan, sys.executable, "-c", script, **changed)
        assert code == 0, text
        return dict(json.loads(text.splitlines()[-1]))

    def look(self) -> set[str]:
        """Return the names of the worlds that exist now."""
        found = set()
        with suppress(FileNotFoundError):  # it is being removed
            for pattern in ("worlds/dockwright-*", "worlds/dockwright-*/worlds/dockwright-*"):
                found |= {each.name for each in self.cache.glob(pattern)}
        self.seen |= found
        return found

    def around(self, run: psutil.Process) -> Around:
        """Return what exists because of a run, so that looking for it later takes little time."""
        self.look()
        with suppress(psutil.NoSuchProcess):
            processes = [run, *run.children(recursive=True)]
            return Around(
                self.cache / "worlds", [*processes, *wrappers(self.cache)], groups_of(self.seen)
            )
        raise LookupError("the run has ended already")

    def left(self) -> list[str]:
        """Return what is left of all worlds that were seen or exist: data, groups, processes."""
        self.look()
        return [
            *(f"data {each}" for each in self.cache.glob("worlds/*")),
            *(f"group {each}" for each in groups_of(self.seen)),
            *(f"process {pid} of {name}" for pid, name in processes_of(self.seen)),
            *(f"process {each.pid}, a wrapper or keeper" for each in wrappers(self.cache)),
            *(f"mount {line}" for line in mounts_of(self.cache)),
        ]


@dataclass(frozen=True)
class Around:
    """What existed because of a run: its worlds' data, processes and control groups."""

    data: Path
    processes: list[psutil.Process]
    groups: list[Path]

    def left(self) -> list[str]:
        """Return what of it exists still; cheaper than to look for anything that might."""
        return [
            *(f"data {each}" for each in self.data.glob("*")),
            *(f"process {each.pid}" for each in self.processes if _lives(each)),
            *(f"group {each}" for each in self.groups if each.exists()),
        ]


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def groups_of(names: Iterable[str]) -> list[Path]:
    """Return the control groups with these names."""
    wanted = set(names)
    found = []
    for directory, below, _ in os.walk("/sys/fs/cgroup"):
        found += [Path(directory, name) for name in below if name in wanted]
    return found


def processes_of(names: Iterable[str]) -> list[tuple[int, str]]:
    """Return the processes in control groups with these names.

    One that is dead and waits for this machine's first process to notice holds nothing any more.
    """
    wanted = set(names)
    found = []
    for pid in psutil.pids():
        try:
            lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            continue
        if state in "ZX":
            continue
        parts = {part for line in lines for part in line.split(":", 2)[2].split("/")}
        found += [(pid, name) for name in parts & wanted]
    return found


def wrappers(cache: Path) -> list[psutil.Process]:
    """Return the processes around worlds below a directory: their wrappers and keepers."""
    found = []
    for process in psutil.process_iter():
        try:
            inside = any(word.endswith("inside/start.py") for word in process.cmdline())
            if inside and str(cache) in process.environ().get(PLAN, ""):
                found.append(process)
        except psutil.Error:
            continue
    return found


def mounts_of(cache: Path) -> list[str]:
    """Return the mounts below a directory that this process sees."""
    lines: Mapping[str, None] = dict.fromkeys(Path("/proc/self/mountinfo").read_text().splitlines())
    return [line for line in lines if str(cache) in line]
