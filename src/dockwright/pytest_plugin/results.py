"""Decides which results of tests are reused, and saves new ones; loaded if that is switched on."""

from __future__ import annotations

import os
import random
import sys
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, closing
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dockwright._text import age, counted, duration
from dockwright.errors import UsageError
from dockwright.paths import project_hash, results_directory
from dockwright.pytest_plugin.markers import gets_ours, requirement_of, uses_stack
from dockwright.pytest_plugin.run import RUN, Run, usage_errors
from dockwright.results import (
    OUTSIDE,
    Present,
    Recorder,
    Result,
    ResultStore,
    Trial,
    base_key,
    environment_key,
    installed,
)
from dockwright.results.witness import address_text

if TYPE_CHECKING:
    import argparse

    from dockwright.engine import Engine
    from dockwright.pool import Lease
    from dockwright.results import Change, Distribution, StackStates
    from dockwright.settings import Settings

_SHARE = 0.05
"""The part of the tests whose results it could reuse that ``verify`` runs."""

_MOST_ENVIRONMENTS = 5
"""How many other environments are searched for results."""

_FIXTURES = ("docker_client", "artifacts")
"""Fixtures with which a test may change the engine in ways that no key covers."""

NEW = "no saved result"

# fmt: off
_NEUTRAL_SETTINGS = frozenset(
    {
        "compose", "stacks", "profiles", "env_files", "engine", "max_stacks", "max_memory",
        "keep_warm", "wait_for_removal", "cache_baselines", "keep_failed", "log_tail",
        "seed_inputs", "schedule", "shard", "costs", "record", "record_days", "record_runs",
        "fail_on_regression", "report", "otlp", "results", "results_inputs",
    }
)
# fmt: on
"""Settings that change no outcome, or that count by the state of each stack."""

# fmt: off
_NEUTRAL_OPTIONS = frozenset(
    {
        "verbose", "quiet", "traceconfig", "htmlpath", "report_log", "keyword", "markexpr",
        "file_or_dir", "lf", "failedfirst", "newfirst",
        "last_failed_no_failures", "cacheclear", "cacheshow", "stepwise", "stepwise_skip",
        "stepwise_reset", "maxfail", "deselect", "ignore", "ignore_glob", "keepduplicates",
        "collectonly", "durations", "durations_min", "tbstyle", "showlocals", "fulltrace", "color",
        "code_highlight", "reportchars", "no_header", "no_summary", "no_fold_skipped",
        "show_capture", "xmlpath", "junitprefix", "pastebin", "basetemp", "numprocesses",
        "maxprocesses", "dist", "distload", "tx", "px", "testrunuid", "rsyncdir", "rsyncignore",
        "loadgroup", "maxworkerrestart", "maxschedchunk", "looponfail", "version", "help",
        "rootdir", "inifilename", "confcutdir", "randomly_seed", "showfixtures",
        "show_fixtures_per_test", "collect_in_virtualenv", "debug", "usepdb", "usepdb_cls",
        "trace", "testmon_env",
    }
)
# fmt: on
"""Options of pytest and its plugins by which the outcome of a test does not change."""


def _why_off(given: Mapping[str, object], settings: Settings) -> str:
    """Return why results are neither reused nor saved in this run; empty: they are."""
    if settings.audited:
        return "it is an audit"
    if settings.isolate:
        return "its workers are isolated"
    if given.get("cov_source") and not given.get("no_cov"):
        return "pytest-cov measures it"
    if any(given.get(name) for name in ("testmon", "testmon_noselect", "testmon_forceselect")):
        return "pytest-testmon's own plugin is switched on"
    if given.get("usepdb") or given.get("trace") or sys.gettrace() is not None:
        return "a debugger or another tracer is active"
    return ""


def start(
    config: pytest.Config, arguments: argparse.Namespace, settings: Settings, *, runs_tests: bool
) -> None:
    """Start tracing, before anything of the project is imported.

    Args:
        config: of this process.
        arguments: the options of the run.
        settings: of the run.
        runs_tests: whether this process runs tests, and does not only distribute them.

    Raises:
        UsageError: what the extra installs is missing.
    """
    try:
        import testmon.testmon_core  # noqa: F401
    except ImportError as missing:
        raise UsageError(
            f"dockwright_results needs pytest-testmon: {missing}",
            hint="pip install 'dockwright[results]'",
        ) from None
    config.stash[WHY_OFF] = _why_off(vars(arguments), settings)
    if not config.stash[WHY_OFF] and runs_tests:
        config.stash[RECORDER] = Recorder(Path(os.path.realpath(config.rootpath)))
        config.stash[RECORDER].start()


WHY_OFF = pytest.StashKey[str]()
RECORDER = pytest.StashKey[Recorder]()
RESULT = pytest.StashKey[Result]()
VERIFIED = pytest.StashKey[Result]()
WHY_RUN = pytest.StashKey[str]()


class ResultsRun:
    """What one pytest process decides, and what it counts.

    Args:
        config: of the process.
        run: its state.
    """

    def __init__(self, config: pytest.Config, run: Run) -> None:
        self._config = config
        self.run = run
        self.root = Path(os.path.realpath(config.rootpath))
        self.store = ResultStore(results_directory(os.environ, project_hash(self.root)))
        self.recorder = config.stash.get(RECORDER, None)
        self._environ = dict(os.environ)
        self._ending = ExitStack()
        self._engine: Engine | None = None
        self._stacks: StackStates | None = None
        self._environment = ""
        self._base = ""
        self._installed: dict[str, Distribution] = {}
        self._others: list[tuple[str, Change]] | None = None
        self.verify = run.settings.results == "verify"
        self.reused = 0
        self.saved_s = 0.0
        self.verified = 0
        self.ran: Counter[str] = Counter()
        self.differs: list[str] = []
        self.not_saved: Counter[str] = Counter()

    def decide(self, items: Sequence[pytest.Item]) -> None:
        """Find out which results of tests hold."""
        present = Present(self.root, self._environ, lambda: self.stacks)
        for item in items:
            result, why = self._result_of(item, present)
            if result is not None:
                item.stash[RESULT] = result
            else:
                item.stash[WHY_RUN] = why
        self._free_dependencies(items)

    def _free_dependencies(self, items: Sequence[pytest.Item]) -> None:
        """Let the tests run on which others depend: pytest-dependency asks how these ended."""
        if not self._config.pluginmanager.hasplugin("dependency"):
            return
        marked = [item for item in items if item.get_closest_marker("dependency")]
        if any(WHY_RUN in item.stash for item in marked):
            for item in marked:
                if RESULT in item.stash:
                    del item.stash[RESULT]
                    item.stash[WHY_RUN] = "a test that runs may depend on it"

    def choose(self, known: Sequence[pytest.Item]) -> list[pytest.Item]:
        """Return the tests of which ``verify`` compares the result, and let them run."""
        if not self.verify or not known:
            return []
        chosen = random.sample(known, max(1, round(_SHARE * len(known))))
        for item in chosen:
            item.stash[VERIFIED] = item.stash[RESULT]
            item.stash[WHY_RUN] = "verified"
            del item.stash[RESULT]
        return chosen

    def _result_of(self, item: pytest.Item, present: Present) -> tuple[Result | None, str]:
        result = self.store.get(item.nodeid, self.environment)
        if result is None:
            result, why = self._result_elsewhere(item, present)
            if result is None:
                return None, why
        if declared(item) is not None and not {*(declared(item) or ())} <= result.patterns.keys():
            return None, "its declared inputs changed"
        if not {*self.patterns} <= result.patterns.keys():
            return None, "dockwright_results_inputs changed"
        why = present.why_not(result, self._directory_of(item))
        return (None, why) if why else (result, "")

    def _result_elsewhere(self, item: pytest.Item, present: Present) -> tuple[Result | None, str]:
        """Return a result saved with other distributions, if the test uses none of these."""
        why = NEW
        for environment, change in self._other_environments():
            result = self.store.get(item.nodeid, environment)
            if result is None:
                continue
            counting = change.everywhere or present.names_any(result.code, change.words)
            if not counting:
                return result, ""
            why = f"the distribution {counting} changed" if why == NEW else why
        return None, why

    def _other_environments(self) -> list[tuple[str, Change]]:
        """Return the latest environments that differ by distributions alone, with what differs."""
        if self._others is None:
            self._others = []
            names = [name for name in self.store.environments() if name != self.environment]
            for name in names[:_MOST_ENVIRONMENTS]:
                uses = self.store.uses(name)
                if uses is not None and uses.base == self._base:
                    self._others.append((name, uses.changed(self._installed)))
        return self._others

    @property
    def patterns(self) -> tuple[str, ...]:
        """What the suite declares as inputs of all tests."""
        return self.run.settings.results_inputs

    @property
    def stacks(self) -> StackStates:
        """The stacks as they were before the tests ran."""
        if self._stacks is None:
            self._stacks = self._states()
        return self._stacks

    def _states(self) -> StackStates:
        from dockwright.results.stacks import UNKNOWN, StackStates  # it loads what reads stacks

        seed = self.run.find_seed()
        if self.recorder is not None and seed is not None:
            for plugin in self._config.pluginmanager.get_plugins():
                file = getattr(plugin, "__file__", None)
                if file and hasattr(plugin, "dockwright_seed"):
                    name = os.path.realpath(file).removeprefix(f"{self.root}/")
                    self.recorder.seeds.add(name)
        stands_for = None if seed is None else seed.key.digest if seed.key.lasting else UNKNOWN
        return StackStates(self.run.settings, self._environ, self._connected, stands_for or "")

    def _connected(self) -> Engine:
        if self._engine is None:
            from dockwright.pool.declared import connect_engine

            engine = connect_engine(self.run.settings.engine, self._environ)
            self._engine = self._ending.enter_context(closing(engine))
        return self._engine

    @property
    def environment(self) -> str:
        """The key of what holds for the whole run."""
        if not self._environment:
            config, settings = self._config, self.run.settings
            counted_settings = settings.changed().items()
            self._base = base_key(
                {
                    "options": _plain_options(config),
                    "ini": _ini(config.inipath),
                    "settings": {n: v for n, v in counted_settings if n not in _NEUTRAL_SETTINGS},
                    "directory": os.path.relpath(config.invocation_params.dir, config.rootpath),
                }
            )
            self._installed = installed(sys.path)
            self._environment = environment_key(self._base, self._installed)
        return self._environment

    def trial_of(self, item: pytest.Item) -> Trial:
        """Return what is to be noted while a test runs."""
        trial = Trial(item.nodeid, self.file_of(item), self._directory_of(item))
        trial.patterns = declared(item)
        trial.obstacles |= {f"it uses {name}" for name in _FIXTURES if gets_ours(item, name)}
        if uses_stack(item):
            trial.stacks.add(requirement_of(item).stack)
        if not hasattr(item, "_fixtureinfo"):
            trial.unknown = "it is not a Python function"
        return trial

    def file_of(self, item: pytest.Item) -> str:
        """Return the file of a test, relative to the project's root."""
        return str(_real(item.path)).removeprefix(f"{self.root}/")

    def _directory_of(self, item: pytest.Item) -> Path:
        return _real(item.path).parent

    def leased(self, lease: Lease) -> None:
        """Note that the current test or fixture leased a stack."""
        if self.recorder is not None:
            observed = self.recorder.witness.of(self.recorder.witness.context)
            observed.stacks.add(lease.facts.name)
            observed.reachable |= addresses_of(lease)
            self.stacks.of(lease.facts.name)

    def look_at_stacks(self, items: Iterable[pytest.Item]) -> None:
        """Note what the stacks of tests contain before these run."""
        for name in {requirement_of(item).stack for item in items if uses_stack(item)}:
            self.stacks.of(name)

    def save(self) -> None:
        """Save the results of the tests that passed since the last call."""
        if self.recorder is None:
            return
        now = cache(self._states)
        present = Present(self.root, self._environ, now)
        taken = self.recorder.take(lambda: self.stacks, present, self.environment, self.patterns)
        if taken:
            uses = self.recorder.distributions(self._base, self._installed, present)
            self.store.put_uses(self.environment, uses)
        for result in taken:
            self.store.put(result)
        self.not_saved.update(self.recorder.skipped.values())
        self.recorder.skipped.clear()

    def explain(self, item: pytest.Item, outcome: str) -> str:
        """Return what is wrong with the result of a test that was verified."""
        result = item.stash[VERIFIED]
        self.store.forget(item.nodeid, result.environment)
        unseen = self._unseen(item, result)
        return (
            f"{item.nodeid}: its saved result is wrong: it passed "
            f"{age(time.time() - result.made)} ago, and now it {outcome}, although nothing that "
            "dockwright compares has changed\n"
            f"{unseen}"
            "  hint: it depends on something that dockwright does not see, such as the time, the "
            "network, the order of the tests, or files that a C library reads; declare files with "
            "@pytest.mark.results(inputs=[...]) or dockwright_results_inputs"
        )

    def _unseen(self, item: pytest.Item, result: Result) -> str:
        """Return a line with what a test used now that its result does not have, if anything."""
        if self.recorder is None:
            return ""
        seen = self.recorder.witness.of(item.nodeid)
        known = {*result.files, *result.listings, *result.code}
        paths = {path.removeprefix(f"{self.root}/") for path, _ in seen.reads | seen.listings}
        used = [f"it reads {path}" for path in sorted(paths - known)]
        used += [f"it connects to {each}" for each in sorted(seen.addresses - seen.reachable)]
        used += sorted(seen.obstacles)
        return f"  not part of its result: {', '.join(used[:3])}\n" if used else ""

    def close(self) -> None:
        """End."""
        if self.recorder is not None:
            self.recorder.witness.stop()
            self.recorder.trace.close()
            self.recorder = None
        self._ending.close()

    def lines(self) -> list[tuple[str, str]]:
        """Return the lines of the summary, with their styles."""
        lines = [(text, "bad") for text in self.differs]
        total = self.reused + sum(self.ran.values())
        if total:
            checked = f", {counted(self.verified, 'result')} verified" if self.verified else ""
            text = f"results: {self.reused} of {counted(total, 'test')} reused"
            saved = f", {duration(self.saved_s)} saved" if self.reused else ""
            lines.append((f"{text}{saved}{checked}", ""))
        lines += [(f"  {text}", "") for text in _most(self.ran, "ran")]
        lines += [(f"  {text}", "") for text in _most(self.not_saved, "cannot be reused later")]
        return lines


@cache
def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))


def _most(reasons: Counter[str], what: str) -> list[str]:
    """Return the most frequent reasons, in words."""
    shown = [(why, count) for why, count in reasons.most_common() if why != "verified"]
    lines = [f"{counted(count, 'test')} {what}: {why}" for why, count in shown[:5]]
    rest = sum(count for _, count in shown[5:])
    return [*lines, *([f"{counted(rest, 'test')} {what}: other reasons"] if rest else [])]


def addresses_of(lease: Lease) -> set[str]:
    """Return the addresses where the services of a lease are reached."""
    found = set()
    for published in lease.facts.published.values():
        for text in published.values():
            host, _, port = text.rpartition(":")
            found.add(address_text(host.strip("[]"), port))
    return found


def declared(item: pytest.Item) -> tuple[str, ...] | None:
    """Return the inputs that a test's markers declare; None: it has no such marker."""
    marks = list(item.iter_markers("results"))
    if not marks:
        return None
    found: list[str] = []
    for mark in marks:
        inputs = mark.kwargs.get("inputs", ())
        if mark.args or {*mark.kwargs} != {"inputs"} or isinstance(inputs, str):
            raise UsageError(
                f"{item.nodeid}: the results marker takes a list of files",
                hint="write @pytest.mark.results(inputs=['data/*.json'])",
            )
        found += [str(each) for each in inputs]
    return tuple(found)


def _ini(file: Path | None) -> object:
    """Return what a file configures; a ``pyproject.toml`` also belongs to other tools."""
    if file is None:
        return ""
    text = file.read_text(errors="surrogateescape")
    if file.name != "pyproject.toml":
        return text
    import tomllib

    return tomllib.loads(text).get("tool", {}).get("pytest", {})


def _plain_options(config: pytest.Config) -> dict[str, str]:
    return {
        name: repr(value) if _is_plain(value) else type(value).__name__
        for name, value in sorted(vars(config.option).items())
        if name not in _NEUTRAL_OPTIONS
        and not name.startswith("dockwright_option_")
        and value not in (None, False, [], "")
    }


def _is_plain(value: object) -> bool:
    if isinstance(value, list | tuple):
        return all(_is_plain(each) for each in value)
    return value is None or isinstance(value, str | int | float | bool)


def decide(config: pytest.Config, items: list[pytest.Item], *, final: bool) -> list[pytest.Item]:
    """Return the tests that are left to run, after their markers were checked.

    Args:
        config: of this process.
        items: the tests.
        final: whether these are the tests of the run, and no other ones.
    """
    results = config.stash[RUN].results
    if results is None or results.recorder is None:
        return items
    new = [item for item in items if not (RESULT in item.stash or WHY_RUN in item.stash)]
    if new:
        _decide(results, results.recorder, new)
    left = [item for item in items if RESULT not in item.stash]
    if final:
        left += results.choose([item for item in items if RESULT in item.stash])
        if left:
            results.recorder.collected |= {results.file_of(item) for item in items}
            results.look_at_stacks(left)
        else:
            results.close()
    return left


def _decide(results: ResultsRun, recorder: Recorder, items: list[pytest.Item]) -> None:
    with usage_errors():
        for item in items:
            declared(item)
    recorder.switch(OUTSIDE)
    recorder.trace.pause()
    try:
        results.decide(items)
    finally:
        recorder.trace.resume()
