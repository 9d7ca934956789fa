"""The end of a run: its record is made, without secrets, and kept."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from dockwright.errors import StoreError
from dockwright.measure.assembly import Facts, assemble
from dockwright.measure.record import Git, RunRecord
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
        settings={name: str(value) for name, value in settings.changed().items()},
    )
    record = assemble(facts, recorder.attempts, recorder.others, Summary.added(summaries))
    values = Redactor.of(environ).document(record.to_json())
    if not isinstance(values, Mapping):
        raise TypeError("a record without secrets is a record")
    return RunRecord.from_json(values)


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
