"""The end of a run: makes its record, removes secrets, and saves it."""

from __future__ import annotations

import os
import platform
import secrets
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from dockwright.errors import explained
from dockwright.paths import project_hash, runs_file
from dockwright.recording.assembly import RunInfo, assemble
from dockwright.recording.messages import Summary
from dockwright.recording.record import Git, Machine, RunRecord, TestRecord
from dockwright.recording.recorder import Recorder
from dockwright.recording.store import RunStore, StoreOptions
from dockwright.redact import Redactor
from dockwright.settings import Settings


def run_id(began_s: float) -> str:
    """Return a name for a run that sorts by time, and that no other run has."""
    return f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime(began_s))}-{secrets.token_hex(3)}"


@dataclass(frozen=True, slots=True)
class Ending:
    """What is known at the end of a run.

    Attributes:
        origin: when the run began, on the monotonic clock.
        exit_code: pytest's.
        git: the source.
    """

    origin: float
    exit_code: int
    git: Git


def make_record(
    recorder: Recorder,
    summaries: Iterable[Summary],
    settings: Settings,
    environ: Mapping[str, str],
    ending: Ending,
) -> RunRecord:
    """Return the record of a run, without secrets.

    Args:
        recorder: of the main process, with what the other processes reported.
        summaries: of all processes.
        settings: of the run.
        environ: the environment of the run: what in it sounds like a secret is one.
        ending: what else is known.
    """
    facts = RunInfo(
        id=run_id(time.time() - (time.monotonic() - ending.origin)),
        origin=ending.origin,
        exit_code=ending.exit_code,
        git=ending.git,
        machine=this_machine(),
        settings=settings.changed(),
    )
    record = assemble(facts, recorder.attempts, recorder.others, Summary.added(summaries))
    return without_secrets(record, Redactor.of(environ))


def without_secrets(record: RunRecord, redact: Redactor) -> RunRecord:
    """Return the record without secrets in its texts.

    Of tests and samples, of which there are many, only those texts are looked at that the suite
    chooses; each text once.
    """
    clean = cache(redact)
    head = redact.document(replace(record, tests=(), samples=()).to_json())
    if not isinstance(head, Mapping):
        raise TypeError("a document without secrets is a document")
    return replace(
        RunRecord.from_json(head),
        tests=tuple(_clean_test(test, clean) for test in record.tests),
        samples=record.samples,  # their texts are names of workers, and of copies and services
    )


def _clean_test(test: TestRecord, clean: Callable[[str], str]) -> TestRecord:
    nodeid, message = clean(test.nodeid), clean(test.message)
    logs = tuple(clean(line) for line in test.logs)
    changed = (nodeid, message, logs) != (test.nodeid, test.message, test.logs)
    if (
        not changed
        and not test.traces
        and all(clean(span.name) == span.name for span in test.spans)
    ):
        return test
    spans = tuple(replace(span, name=clean(span.name)) for span in test.spans)
    traces = tuple(
        replace(trace, name=clean(trace.name), detail=clean(trace.detail)) for trace in test.traces
    )
    return replace(test, nodeid=nodeid, spans=spans, message=message, traces=traces, logs=logs)


def store_of(settings: Settings, environ: Mapping[str, str]) -> RunStore:
    """Return the store of the project's runs."""
    options = StoreOptions(settings.record_days, settings.record_runs)
    return RunStore(runs_file(environ, project_hash(settings.root)), options)


def keep(record: RunRecord, store: RunStore) -> str:
    """Keep a record; return what a person should know of it, if anything.

    Whatever is wrong with the store, the run is not.
    """
    try:
        aside = store.add(record)
    except Exception as failure:  # noqa: BLE001 - see above
        return f"warning: could not save this run: {explained(failure)}"
    if aside is not None:
        return f"warning: the store of past runs was damaged; moved it to {aside}"
    return ""


_GIT_TIMEOUT_S = 2.0
"""A dirty flag is not worth more; in a huge work tree it stays unknown."""


class GitQuestion:
    """Asks git about a work tree, in the background from the start of a run.

    Args:
        root: a directory in the work tree.
        environ: of the run; names the branch where a commit is checked out instead of a branch.
    """

    def __init__(self, root: Path, environ: Mapping[str, str]) -> None:
        self._environ = environ
        command = ["git", "--no-optional-locks", "status", "--porcelain=v2", "--branch"]
        self._process: subprocess.Popen[str] | None = None
        try:
            self._process = subprocess.Popen(
                [*command, "--untracked-files=no"],
                cwd=root,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                errors="replace",
            )
        except OSError:
            return  # no git here

    def answer(self) -> Git:
        """Return git's answer; empty if there is no work tree, or if git takes too long."""
        if self._process is None:
            return Git()
        try:
            output, _ = self._process.communicate(timeout=_GIT_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
            return Git()
        lines = output.splitlines()
        heads = dict(line[2:].split(" ", 1) for line in lines if line.startswith("# branch."))
        if self._process.returncode or not heads:
            return Git()
        branch, revision = heads.get("branch.head", ""), heads.get("branch.oid", "")
        return Git(
            revision="" if revision == _NO_COMMIT else revision,
            branch=_branch_of_job(self._environ) if branch == _DETACHED else branch,
            dirty=any(not line.startswith("#") for line in lines),
        )


_DETACHED, _NO_COMMIT = "(detached)", "(initial)"
"""What git answers where no branch is checked out, and where there is no commit yet."""

_BRANCH_VARIABLES = (
    "GITHUB_HEAD_REF",  # of a pull request; GITHUB_REF_NAME is then "12/merge"
    "GITHUB_REF_NAME",
    "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME",  # GitLab
    "CI_COMMIT_REF_NAME",
    "BUILDKITE_BRANCH",
    "CIRCLE_BRANCH",
    "CHANGE_BRANCH",  # Jenkins: of a pull request; BRANCH_NAME is then "PR-12"
    "BRANCH_NAME",
    "BITBUCKET_BRANCH",
)
"""The variables in which CI systems name the branch: most of them check out a commit."""


def _branch_of_job(environ: Mapping[str, str]) -> str:
    return next((environ[name] for name in _BRANCH_VARIABLES if environ.get(name)), "")


def this_machine() -> Machine:
    """Return where this process runs."""
    return Machine(
        cpu=_cpu(),
        cores=os.cpu_count() or 0,
        memory_bytes=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        kernel=platform.release(),
        os=platform.system(),
        python=platform.python_version(),
    )


def _cpu() -> str:
    """Return the processor's name; `platform.processor` does not know it on Linux."""
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
