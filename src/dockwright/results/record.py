"""Makes results of what was traced: which files, blocks and other things each test depended on."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from dockwright.results.check import Present
from dockwright.results.distributions import Distribution, Uses, loaded_names, uses_of
from dockwright.results.graph import ImportGraph, loaded_files
from dockwright.results.store import Result
from dockwright.results.trace import OUTSIDE, CodeTrace, Lines
from dockwright.results.witness import Observed, Witness

if TYPE_CHECKING:
    from dockwright.results.stacks import StackStates

_MOST_PENDING = 200
"""How many tests are traced before their results are saved."""

_CLOCK_NS = 10_000_000
"""How late the clock of file times may be."""


@dataclass(slots=True)
class Trial:
    """A test that ran.

    Attributes:
        test: its node id, which is also the context of its trace.
        file: its file, relative to the project's root.
        directory: of its file.
        began: when, in seconds since the epoch.
        seconds: how long it took.
        contexts: the fixtures of a wider scope that it used.
        stacks: the stacks that it used.
        patterns: the declared inputs; None: none are declared, so that obstacles count.
        obstacles: why it has to run each time, if it is known beforehand.
        unknown: why its result cannot be saved, even with declared inputs.
        reachable: the addresses of its stacks.
    """

    test: str
    file: str
    directory: Path
    began: float = field(default_factory=time.time)
    seconds: float = 0.0
    contexts: set[str] = field(default_factory=set)
    stacks: set[str] = field(default_factory=set)
    patterns: tuple[str, ...] | None = None
    obstacles: set[str] = field(default_factory=set)
    unknown: str = ""
    reachable: set[str] = field(default_factory=set)


class Recorder:
    """Traces the tests of this process and makes their results.

    Args:
        root: the project's root directory, resolved.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.trace = CodeTrace(root)
        self.witness = Witness(root)
        self.collected: set[str] = set()
        """The files of the collected tests."""
        self.seeds: set[str] = set()
        """The files with hooks that seed stacks."""
        self.began_ns = time.time_ns() - _CLOCK_NS
        self.loaded_before: frozenset[str] = frozenset()
        """The names of distributions' modules that were loaded before anything of the suite."""
        self.skipped: dict[str, str] = {}
        """Why the result of a test was not saved."""
        self._pending: list[Trial] = []
        self._kept: dict[str, dict[str, set[int]]] = {}
        self._fixtures: dict[str, set[str]] = {}
        self._importers: dict[str, str] = {}
        self._states: dict[str, set[str]] = {}
        self._count = 0
        self._loaded: dict[str, str] = {}

    def start(self) -> None:
        """Start tracing and watching; to be called as early as possible."""
        self.loaded_before = loaded_names()
        self._note_imports(OUTSIDE)
        self.trace.start()
        self.witness.start()

    def switch(self, context: str) -> str:
        """Attribute what happens from now on to a test, a fixture or what is outside."""
        if len(sys.modules) != self._count:
            self._note_imports(self.witness.context)
        self.witness.context = context
        return self.trace.switch(context)

    def uses(self, context: str, others: Iterable[str]) -> None:
        """Note that a fixture uses other fixtures of a wider scope."""
        self._fixtures.setdefault(context, set()).update(others)

    def ended(self, trial: Trial) -> None:
        """Note that a test passed, of which a result is to be saved."""
        if not self.trace.intact:
            trial.unknown = "it replaced Python's trace function"
        self._pending.append(trial)

    @property
    def full(self) -> bool:
        """Whether it is time to `take` results."""
        return len(self._pending) >= _MOST_PENDING

    def _note_imports(self, context: str) -> None:
        self._count = len(sys.modules)
        before, self._loaded = self._loaded, loaded_files(self.root)
        for file in {*self._loaded.values()} - {*before.values()}:
            self._importers[file] = context

    def take(
        self,
        before: Callable[[], StackStates],
        present: Present,
        environment: str,
        patterns: Collection[str],
    ) -> list[Result]:
        """Return the results of the tests that ended since the last call.

        Args:
            before: returns the stacks as they were before the tests ran.
            present: the project as it is now.
            environment: the key of the run.
            patterns: the inputs that the suite declares for all tests.
        """
        lines = self.trace.take()
        self._keep(lines, present)
        graph = self._graph(present, lines)
        results = []
        for trial in self._pending:
            made = _Making(self, trial, present, graph, lines)
            why = trial.unknown or made.why_not(before)
            if why:
                self.skipped[trial.test] = why
            else:
                results.append(made.result(environment, patterns))
        self._pending.clear()
        return results

    def distributions(self, base: str, now: Mapping[str, Distribution], present: Present) -> Uses:
        """Return what the tests of this process used of the installed distributions.

        Args:
            base: the key of the environment without them.
            now: the installed distributions.
            present: the project.
        """
        files = {*loaded_files(self.root).values(), *self.collected}
        sources = [found for each in files if (found := present.sources.get(each)) is not None]
        words = frozenset(word for each in sources for word in each.words)
        return uses_of(base, now, self.loaded_before, self.witness.metadata, words)

    def _keep(self, lines: Mapping[str, Lines], present: Present) -> None:
        """Keep the lines of contexts whose effects later tests may use."""
        importers = {*self._importers.values()}
        for context, found in lines.items():
            states = set()
            for file, numbers in found.items():
                source = present.sources.get(file)
                if source is not None and not source.state_lines.isdisjoint(numbers):
                    states.add(file)
            for file in states:
                self._states.setdefault(file, set()).add(context)
            if states or context in importers or context[0] == "@" or context == OUTSIDE:
                kept = self._kept.setdefault(context, {})
                for file, numbers in found.items():
                    kept.setdefault(file, set()).update(numbers)

    def _graph(self, present: Present, lines: Mapping[str, Lines]) -> ImportGraph:
        ran: dict[str, set[int]] = {}
        for found in (*lines.values(), *self._kept.values()):
            for file, numbers in found.items():
                ran.setdefault(file, set()).update(numbers)
        return ImportGraph(present.sources, loaded_files(self.root), ran, self.collected)

    def contexts_of(self, trial: Trial) -> set[str]:
        """Return the fixtures of a wider scope that a test depends on."""
        found, left = set(trial.contexts), list(trial.contexts)
        while left:
            new = self._fixtures.get(left.pop(), set()) - found
            found |= new
            left += new
        return found

    def effects(self, files: Collection[str]) -> Iterator[tuple[str, str]]:
        """Yield contexts whose imports or kept state a test with these files may use.

        Each comes with the file through which it does.
        """
        for file in files:
            importer = self._importers.get(file)
            for context in {*self._states.get(file, ()), *([importer] if importer else [])}:
                yield context, file

    def lines_of(self, context: str) -> Lines:
        """Return the lines of a context that is kept."""
        return self._kept.get(context, {})


class _Making:
    """The result of one test."""

    def __init__(
        self,
        recorder: Recorder,
        trial: Trial,
        present: Present,
        graph: ImportGraph,
        lines: Mapping[str, Lines],
    ) -> None:
        self._recorder = recorder
        self._trial = trial
        self._present = present
        self._graph = graph
        self._contexts = recorder.contexts_of(trial)
        self._lines: dict[str, set[int]] = {}
        self._add(lines.get(trial.test, {}))
        for context in self._contexts:
            self._add(recorder.lines_of(context))
        self._code = self._files()
        self._observed = self._all_observed()
        self._stacks = trial.stacks | self._observed.stacks

    def _add(self, lines: Lines, only: Collection[str] | None = None) -> None:
        for file, numbers in lines.items():
            if only is None or file in only:
                self._lines.setdefault(file, set()).update(numbers)

    def _files(self) -> set[str]:
        """Return the files that count, after adding the lines of earlier contexts to them."""
        roots = {self._trial.file, *self._graph.unexplained}
        conftests = self._present.conftests(self._trial.directory)
        roots |= {os.path.normpath(f"{each}/conftest.py") for each in conftests}
        while True:
            files = self._graph.closure({*roots, *self._lines})
            self._add(self._recorder.lines_of(OUTSIDE), files)
            for context, file in self._recorder.effects(files):
                self._add(self._recorder.lines_of(context), self._graph.closure([file]))
            if files == self._graph.closure({*roots, *self._lines}):
                return files

    def _all_observed(self) -> Observed:
        """Return what the test used, and what earlier contexts used on behalf of its code."""
        found = Observed()
        witness = self._recorder.witness
        for context in (self._trial.test, *self._contexts):
            seen = witness.of(context)
            found.reads |= seen.reads
            found.listings |= seen.listings
            found.writes |= seen.writes
            found.addresses |= seen.addresses
            found.obstacles |= seen.obstacles
            found.stacks |= seen.stacks
            found.reachable |= seen.reachable
        earlier = {OUTSIDE, *(context for context, _ in self._recorder.effects(self._code))}
        for context in earlier:
            seen = witness.of(context)
            found.reads |= {each for each in seen.reads if not each[1] or each[1] in self._code}
            found.listings |= {each for each in seen.listings if each[1] in self._code}
            found.writes |= seen.writes
        return found

    def why_not(self, before: Callable[[], StackStates]) -> str:
        """Return why the result cannot be saved; empty: it can be."""
        for name in (*self._code, *(path for path, _ in self._observed.reads)):
            if self._changed(name):
                return f"{name} changed during the run"
        for name in sorted(self._stacks):
            state = self._present.stacks().of(name)
            if state.unknown:
                return state.unknown
            if changed := state.changed_since(before().of(name)):
                return f"stack {name}: {changed} changed during the run"
            if state.obstacle and self._trial.patterns is None:
                return state.obstacle
        if self._trial.patterns is not None:
            return ""
        foreign = self._observed.addresses - self._trial.reachable - self._observed.reachable
        obstacles = {*self._trial.obstacles, *self._observed.obstacles}
        obstacles |= {f"it connects to {each}, which is not its stack" for each in foreign}
        return min(obstacles, default="")

    def _changed(self, name: str) -> bool:
        """Return whether a file is newer than the run, and the test did not write it itself."""
        path = name if name.startswith("/") else f"{self._present.root}/{name}"
        if path in self._observed.writes:
            return False
        changed_ns = self._present.changed_ns(path)
        return name in self._code if changed_ns is None else changed_ns > self._recorder.began_ns

    def result(self, environment: str, patterns: Collection[str]) -> Result:
        """Return the result."""
        present, observed = self._present, self._observed
        code: dict[str, tuple[str, list[int] | None]] = {}
        seeds = self._graph.closure(self._recorder.seeds) if self._stacks else set()
        for name in sorted(self._code | seeds):
            source = present.sources.get(name)
            if source is not None:
                whole = name.startswith("/") or name in seeds
                blocks = None if whole else source.checksums_of(self._lines.get(name, ()))
                code[name] = source.digest, blocks
        root = f"{present.root}/"
        reads = {path for path, _ in observed.reads} - observed.writes
        reads = {path.removeprefix(root) for path in reads} - code.keys()
        listings = {path.removeprefix(root) or "." for path, _ in observed.listings}
        return Result(
            test=self._trial.test,
            environment=environment,
            made=time.time(),
            seconds=round(self._trial.seconds, 4),
            code=code,
            files={path: present.file(path) for path in sorted(reads)},
            listings={path: present.listing(path) for path in sorted(listings)},
            patterns={
                each: present.pattern(each)
                for each in sorted({*patterns, *(self._trial.patterns or ())})
            },
            modules={
                name: file
                for name, file in self._graph.modules.items()
                if file in code and name.rpartition(".")[2] not in ("conftest", "__main__")
            },
            conftests=present.conftests(self._trial.directory),
            variables=present.variables(code),
            stacks={name: present.stacks().of(name).inputs for name in sorted(self._stacks)},
        )
