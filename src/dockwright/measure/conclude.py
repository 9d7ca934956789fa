"""The end of a run: its record is made, without secrets, and kept."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache

from dockwright.errors import StoreError
from dockwright.measure.assembly import Facts, assemble
from dockwright.measure.record import Git, RunRecord, TestRecord
from dockwright.measure.recorder import Recorder
from dockwright.measure.store import RunStore, StoreOptions
from dockwright.measure.summary import Summary
from dockwright.measure.surroundings import this_machine
from dockwright.places import project_hash, runs_file
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
        recorder: of the main process, with what the others have told.
        summaries: of all processes.
        settings: of the run.
        environ: the environment of the run: what in it sounds like a secret is one.
        ending: what else is known.
    """
    facts = Facts(
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
    nodeid = clean(test.nodeid)
    if nodeid == test.nodeid and all(clean(span.name) == span.name for span in test.spans):
        return test
    spans = tuple(replace(span, name=clean(span.name)) for span in test.spans)
    return replace(test, nodeid=nodeid, spans=spans)


def store_of(settings: Settings, environ: Mapping[str, str]) -> RunStore:
    """Return the kept runs of the project."""
    options = StoreOptions(settings.record_days, settings.record_runs)
    return RunStore(runs_file(environ, project_hash(settings.root)), options)


def keep(record: RunRecord, store: RunStore) -> str:
    """Keep a record; return what a person should know of it, if anything.

    Whatever is wrong with the store, the run is not.
    """
    try:
        aside = store.add(record)
    except StoreError as failure:
        return f"warning: this run is not kept: {failure}"
    if aside is not None:
        return f"warning: the store of past runs was damaged; it was set aside: {aside}"
    return ""
