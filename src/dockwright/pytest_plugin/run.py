"""The state of one pytest run, reached from any pytest object; light until a stack is used."""

from __future__ import annotations

import bdb
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import pytest

from dockwright.errors import DockwrightError, UsageError, explained
from dockwright.settings import OPTIONS, Settings, Source, environment_values, resolve

if TYPE_CHECKING:
    import argparse

    from dockwright.model import Requirement, Trace
    from dockwright.pool import Lease, Seed
    from dockwright.pool.session import RunSession
    from dockwright.pytest_plugin.announced import Announcement
    from dockwright.pytest_plugin.audit import Auditor
    from dockwright.pytest_plugin.results import ResultsRun
    from dockwright.recording import GitQuestion, Recorder, RunRecord, Summary
    from dockwright.report import Line

_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class HeldLease:
    """A lease that several tests use through one fixture.

    Attributes:
        lease: the lease.
        fixture: the fixture through which tests use it: their failures are its failures.
        failed: whether a test that uses it failed.
        used: whether a test used it since it began or was reset.
    """

    lease: Lease
    fixture: str
    failed: bool = False
    used: bool = False

    def serves(self, item: pytest.Item) -> bool:
        """Return whether a test uses it."""
        return self.fixture in getattr(item, "fixturenames", ())


class Run:
    """The state of one pytest process: its settings, and its session once it uses a stack.

    Args:
        settings: of the run.
        id: of the run, the same in all its processes.
        find_seed: finds the suite's ``dockwright_seed`` hooks.
        announce_reset: calls the suite's ``dockwright_reset`` hooks.
        on_first_use: called when the session is created, because a test uses a stack.
    """

    def __init__(
        self,
        settings: Settings,
        id: str,  # noqa: A002
        *,
        find_seed: Callable[[], Seed | None],
        announce_reset: Callable[[Lease], None],
        on_first_use: Callable[[], None],
    ) -> None:
        self.settings = settings
        self.id = id
        self.find_seed = find_seed
        self._announce_reset = announce_reset
        self._on_first_use = on_first_use
        self.summaries: list[Summary] = []
        self.held: list[HeldLease] = []
        """The leases that outlive one test, while they last."""
        self.announced: list[Announcement] = []
        """What fixtures were expected to lease, when the tests were collected."""
        self.leased: set[Announcement] = set()
        """What fixtures of a wider scope leased."""
        self.trusted: set[str] = set()
        """The stacks whose services may be kept although tests used them."""
        self.distrusted: set[str] = set()
        """Those whose services are replaced: a test has failed with one that was kept."""
        self.first_failed = ""
        """The first failed test whose artifacts are kept."""
        self.checked = False
        """Whether all markers are valid; pytest finishes a failed collection anyway."""
        self.began = time.monotonic()
        """When pytest was configured."""
        self.collected: float | None = None
        """When the tests were collected."""
        self.recorder: Recorder | None = None
        self.auditor: Auditor | None = None
        """Looks at each test by itself, if that is wanted and a test uses a stack."""
        self.failed_by = ""
        """The problem that makes a run fail although all tests passed."""
        self.regressions: list[str] = []
        """What became slower, in the main process, if the run fails because of that."""
        self.record: RunRecord | None = None
        """The record of the run, in the main process, once the run is over."""
        self.predicted_s = 0.0
        """How long the run was expected to take; 0: unknown."""
        self.results: ResultsRun | None = None
        """The results that are reused and saved, if that is switched on."""
        self._session: RunSession | None = None
        self._ahead: threading.Thread | None = None
        self._seed: Seed | None = None
        self._reasons: dict[str, str] = {}
        self._notes: list[str] = []

    def in_full_once(self, reason: str, test: str) -> str:
        """Return why a test gets no stack; only the first line if an earlier test has the rest."""
        first = self._reasons.setdefault(reason, test)
        line, *more = reason.splitlines()
        return f"{line}\n  (full message: see {first})" if more and first != test else reason

    @property
    def session(self) -> RunSession:
        """The session; the first use creates it and imports its modules.

        Raises:
            UsageError: a ``dockwright_seed`` hook is invalid, or a file that it reads is missing.
        """
        if self._session is None:
            from dockwright.pool.session import RunSession

            self._seed = self.find_seed()
            self._session = RunSession(self.settings, os.environ, seed=self._seed, run=self.id)
            if self.recorder is not None:  # the run is recorded from its start
                self._session.record(self.recorder.spans, self.recorder.worker)
            self._on_first_use()
        return self._session

    @property
    def in_use(self) -> bool:
        """Whether a stack was used, so that there is a session."""
        return self._session is not None

    def note(self, text: str) -> None:
        """Show a line at the end of the run, once."""
        if text not in self._notes:
            self._notes.append(text)

    def start_ahead(self, stacks: Iterable[str]) -> None:
        """Start stacks in the background that the tests are likely to need."""
        demand = dict.fromkeys(stacks, 0)
        self._ahead = threading.Thread(
            target=self.session.prepare, args=(demand,), name="dockwright-ahead", daemon=True
        )
        self._ahead.start()

    def end_ahead(self) -> None:
        """Let go of what was started ahead if a seed hook was found since."""
        if self._ahead is None or self._session is None:
            return
        now, before = self.find_seed(), self._seed
        if (now and now.key) != (before and before.key):
            self._ahead.join()
            self._session.close()
            self._session = None

    @property
    def elapsed_s(self) -> float:
        """How long the run has taken so far."""
        return time.monotonic() - self.began

    def acquire(self, requirement: Requirement) -> Lease:
        """Lease a stack (see `RunSession.acquire`), and announce a reset before it to the suite."""
        lease = self.session.acquire(requirement)
        if self.results is not None:
            self.results.leased(lease)
        if lease.lost is not None:
            self._announce_reset(lease)
        return lease

    def reset(self, lease: Lease) -> None:
        """Reset the stack of a lease that goes on, and announce that to the suite.

        Raises:
            UsageError: the lease is shared.
            StackBrokenError: the reset failed.
        """
        self.session.reset(lease)
        self._announce_reset(lease)

    def release(self, lease: Lease, *, failed: bool, keep: str = "") -> None:
        """End a lease (see `RunSession.release`); if that fails, fail the test with the reason."""
        try:
            self.session.release(lease, failed=failed, keep=keep)
        except DockwrightError as error:
            reason = str(error)
        else:
            return
        pytest.fail(reason, pytrace=False)  # outside, so that the report shows no chain of errors

    def start_recording(self, worker: str) -> Recorder:
        """Start recording this process, which runs tests."""
        from dockwright.recording import Recorder

        self.recorder = Recorder(worker, self.began)
        if self._session is not None:
            self._session.record(self.recorder.spans, worker)
        return self.recorder

    def receive(self, attempts: Iterable[Sequence[Any]]) -> None:
        """Receive, in xdist's main process, the tests that a worker has run."""
        if self.recorder is None:
            from dockwright.recording import Recorder

            self.recorder = Recorder("", self.began)
        self.recorder.receive(attempts)

    def receive_worker_end(self, report: Mapping[str, Any]) -> None:
        """Receive, in xdist's main process, the report of a worker that has ended."""
        self.receive(report["attempts"])
        if self.recorder is not None:
            self.recorder.others.append(report)

    def worker_end(self) -> dict[str, Any] | None:
        """Return what a worker of xdist reports at its end; None: it does not record."""
        if self.recorder is None:
            return None
        self.recorder.collected = self.collected
        return {**self.recorder.worker_end(), "attempts": self.recorder.to_send()}

    def ask_git(self) -> GitQuestion | None:
        """Ask Git in the background which source was tested, if the run is recorded."""
        if self.recorder is None:
            return None
        from dockwright.recording import GitQuestion

        return GitQuestion(self.settings.root, os.environ)

    def conclude(self, exit_code: int, git: GitQuestion | None) -> None:
        """Make and keep the record of the run, in its main process, once everything is closed."""
        recorder = self.recorder
        if recorder is None or git is None:
            return
        source = git.answer()
        settings = self.settings
        if not self.summaries and not settings.recorded_from_start:
            return  # no test used a stack
        from dockwright.recording import Ending, Summary, keep, make_record, store_of
        from dockwright.report import publish

        if recorder.worker:
            recorder.collected = self.collected
            recorder.others.append(recorder.worker_end())
        ending = Ending(self.began, exit_code, source)
        record = make_record(recorder, self.summaries, self.settings, os.environ, ending)
        self.record = replace(record, predicted_s=self.predicted_s)
        try:
            store = store_of(settings, os.environ)
        except DockwrightError as error:  # this does not change the result of the run
            self.summaries.append(
                Summary(notes=(f"warning: this run is neither recorded nor reported: {error}",))
            )
            return
        notes = publish(self.record, settings.report, settings.otlp, os.environ, store)
        if settings.record != "off" and (note := keep(self.record, store)):
            notes.append(note)
        if settings.fail_on_regression:
            from dockwright.report import regressed

            self.regressions = regressed(store)
            notes += self.regressions
        if notes:
            self.summaries.append(Summary(notes=tuple(notes)))

    def close(self) -> Summary | None:
        """Leave the pool and return the summary of this process; None: it used no stack."""
        if self._session is None and not self._notes:
            return None
        if self._ahead is not None:
            self._ahead.join()
        summary = self._session.close() if self._session is not None else None
        if self._notes:
            from dockwright.recording import Summary

            noted = Summary(notes=tuple(self._notes))
            summary = Summary.added([summary, noted]) if summary is not None else noted
        if summary is not None:
            self.summaries.append(summary)
        return summary

    @property
    def problems(self) -> list[str]:
        """What could not be removed; in xdist's main process, also by the workers."""
        return [problem for summary in self.summaries for problem in summary.problems]

    def leave_removal_to_broker(self) -> Summary:
        """Return the summary for a run that was interrupted during `close`."""
        from dockwright.recording import Summary

        summary = Summary(notes=("interrupted: the broker is still removing the stacks",))
        self.summaries.append(summary)
        return summary

    def summary_lines(self, *, details: bool) -> list[Line]:
        """Return the lines for the end of the run, perhaps with details; none without a stack."""
        if not self.summaries:
            return []
        from dockwright.recording import Summary
        from dockwright.redact import Redactor
        from dockwright.report import summary_lines

        redact = Redactor.of(os.environ)  # notes name files and addresses
        summary = Summary.added(self.summaries)
        lines = summary_lines(summary, self.elapsed_s, self.record, details=details)
        return [replace(line, text=redact(line.text)) for line in lines]


@contextmanager
def surviving(config: pytest.Config, what: str) -> Iterator[None]:
    """Let the run go on if a part of dockwright's work in one of pytest's hooks fails.

    The summary then says what could not be done, and why. Ctrl-C, pytest's own outcomes and usage
    errors pass through.

    Args:
        config: of the run.
        what: the part, as it follows "could not".
    """
    try:
        yield
    except (pytest.UsageError, pytest.exit.Exception, bdb.BdbQuit):
        raise
    except Exception as failure:  # noqa: BLE001 - the tests do not depend on it
        _log.debug("could not %s", what, exc_info=True)
        reason, *_ = explained(failure).splitlines()
        # If the setup failed, everything after it fails too, which explains nothing.
        if RUN in config.stash or TROUBLES not in config.stash:
            add_troubles(config, [f"dockwright could not {what}: {reason}"])


@contextmanager
def usage_errors() -> Iterator[None]:
    """Let pytest show what is wrong with how dockwright is used, and end with its exit code."""
    try:
        yield
    except UsageError as error:
        raise pytest.UsageError(str(error)) from None


def add_troubles(config: pytest.Config, lines: Iterable[str]) -> None:
    """Add lines to the summary, each once."""
    known = config.stash.setdefault(TROUBLES, [])
    known.extend(line for line in dict.fromkeys(lines) if line not in known)


def troubles_of(config: pytest.Config) -> list[str]:
    """Return the lines of `surviving`, without secrets."""
    troubles = config.stash.setdefault(TROUBLES, [])
    if not troubles:
        return []
    try:
        from dockwright.redact import Redactor

        redact = Redactor.of(os.environ)
        return [redact(text) for text in troubles]
    except Exception as failure:  # noqa: BLE001 - show nothing that may hold a secret
        kind = type(failure).__name__
        return [f"dockwright failed in {len(troubles)} places, and cannot say where: {kind}"]


def run_of(config: pytest.Config) -> Run:
    """Return the run's state for a fixture; if there is none, fail the test with the reason."""
    if RUN not in config.stash:
        pytest.fail("\n".join(troubles_of(config)), pytrace=False)
    return config.stash[RUN]


def workers_of(config: pytest.Config) -> int:
    """Return how many processes run tests: xdist's workers, or this one."""
    return int(getattr(config, "workerinput", {}).get("workercount", 1))


def only_shows(config: pytest.Config) -> bool:
    """Return whether pytest only shows what there is, and runs no test."""
    asked = ("collectonly", "showfixtures", "show_fixtures_per_test", "setupplan")
    return any(config.getoption(name, default=False) for name in asked)


def only_distributes(config: pytest.Config) -> bool:
    """Return whether this is xdist's main process, which runs no test itself."""
    return config.pluginmanager.hasplugin("dsession")


RUN = pytest.StashKey[Run]()
TROUBLES = pytest.StashKey[list[str]]()
"""The lines of `surviving`."""
LEASES: pytest.StashKey[list[Lease]] = pytest.StashKey()
TRACES: pytest.StashKey[tuple[Sequence[Trace], bool]] = pytest.StashKey()
"""What an audited test left, and whether it is known what was done to its stacks."""
FAILED = pytest.StashKey[bool]()
BEGAN = pytest.StashKey[float]()
REPEATABLE = pytest.StashKey[bool]()
"""Whether a test is repeated if it fails with services in doubt."""
DOUBTED: pytest.StashKey[tuple[str, ...]] = pytest.StashKey()
"""The services of its stack that were in doubt."""
WORKER_OUTPUT = "dockwright"
WORKER_RECORD = "dockwright_record"
WORKER_TROUBLES = "dockwright_troubles"
REPORTED = "_dockwright_attempts"
"""The attribute by which a worker's report carries the tests that have ended."""


def settings_of(config: pytest.Config, options: argparse.Namespace | None = None) -> Settings:
    """Resolve the settings of a run: command line > environment > ini > default.

    Args:
        config: of the run.
        options: the command line's options, if `config` does not have them yet.

    Raises:
        SettingsError: a value is invalid; names where it came from.
    """
    given = vars(options or config.option)
    command_line = {
        option.name: value
        for option in OPTIONS
        if (value := given.get(_destination(option.name))) is not None
    }
    ini = {
        option.name: value
        for option in OPTIONS
        if (value := config.getini(option.ini_name)) not in (None, "", [])
    }
    invocation = config.invocation_params.dir
    ini_base = config.inipath.parent if config.inipath else config.rootpath
    ini_name = config.inipath.name if config.inipath else "ini"
    return resolve(
        config.rootpath,
        [
            Source("command line", command_line, invocation),
            Source("environment", environment_values(os.environ), invocation),
            Source(ini_name, ini, ini_base),
        ],
    )


def add_options(parser: pytest.Parser) -> None:
    """Declare every setting as a command-line option and as an ini value."""
    group = parser.getgroup("dockwright", "dockwright: real Docker stacks")
    for option in OPTIONS:
        destination = _destination(option.name)
        if option.flag:
            group.addoption(
                option.flag_name,
                dest=destination,
                action="store_const",
                const="true",
                default=None,
                help=option.help,
            )
        else:
            group.addoption(
                option.flag_name,
                dest=destination,
                action="append" if option.many else "store",
                default=None,
                metavar=option.metavar,
                help=option.help,
            )
        kind: Literal["linelist", "string"] = "linelist" if option.many else "string"
        parser.addini(option.ini_name, option.help, type=kind, default=None)


def _destination(name: str) -> str:
    return f"dockwright_option_{name}"
