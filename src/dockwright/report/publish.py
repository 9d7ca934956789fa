"""Writes the requested reports, the JSON report and JUnit properties; no failure fails the run."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from dockwright import __version__
from dockwright.errors import explained
from dockwright.model import Json
from dockwright.recording import Attempt, PastTest, RunRecord, RunStore, record_of
from dockwright.report.summary import (
    Share,
    background_shares,
    outcome_counts,
    phases_of,
    process_shares,
    queue_shares,
    savings,
)
from dockwright.untrusted import printable

if TYPE_CHECKING:
    from dockwright.history import Trend

STEP_SUMMARY = "GITHUB_STEP_SUMMARY"
"""GitHub's variable: the file that a step may append its summary to."""

# Most runs have no report: what writes one is imported where it is asked for.


def _trace(run: RunRecord, _: RunStore) -> str:
    from dockwright.report.trace import trace

    return trace(run)


def _page(run: RunRecord, store: RunStore) -> str:
    from dockwright.report.html import page

    return page(run, *_before(run, store))


_MOST_TREND, _FEWEST_TREND, _TESTS_READ = 60, 10, 60_000
"""Earlier runs whose trend is shown: fewer where the suite is very large, to take no seconds."""


def _before(run: RunRecord, store: RunStore) -> tuple[Sequence[PastTest], Trend | None]:
    """Return what the same tests did in earlier runs, and the trend of these."""
    from dockwright.history import trend

    window = max(_FEWEST_TREND, min(_MOST_TREND, _TESTS_READ // max(1, len(run.tests))))
    past: Sequence[PastTest] = ()
    try:
        past = [each for each in store.history() if each.run != run.id]
        return past, trend(store, window=window, branch=run.git.branch) if past else None
    except Exception:  # noqa: BLE001 - whoever writes the store reports the damage
        return past, None


def _document(run: RunRecord, _: RunStore) -> str:
    from dockwright.report.publish import document

    return document(run)


def _markdown(run: RunRecord, _: RunStore) -> str:
    from dockwright.report.markdown import markdown

    return markdown(run)


_WRITERS: Mapping[str, Callable[[RunRecord, RunStore], str]] = {
    ".trace.json": _trace,
    ".html": _page,
    ".json": _document,
    ".md": _markdown,
}
"""By the end of the file's name; the first that fits counts."""


def publish(
    run: RunRecord,
    files: Iterable[Path],
    collector: str,
    environ: Mapping[str, str],
    store: RunStore,
) -> list[str]:
    """Write the reports of a run and the summary of a GitHub job's step, and send its spans.

    Args:
        run: its record, without secrets.
        files: where to write; the extension selects the format (see `settings.REPORTS`).
        collector: the address that takes spans, or an empty text.
        environ: the environment of the run.
        store: has the earlier runs.

    Returns:
        What a person should know: where the reports are, and what could not be written.
    """
    notes = [_written(run, file, store) for file in files]
    if summary := environ.get(STEP_SUMMARY):
        notes += _appended(run, Path(summary), store)
    if collector:
        from dockwright.report.otlp import send

        notes.append(send(run, collector, environ))
    return notes


def _written(run: RunRecord, file: Path, store: RunStore) -> str:
    write = next(write for end, write in _WRITERS.items() if file.name.endswith(end))
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(write(run, store), "utf-8")
    except Exception as failure:  # noqa: BLE001 - the other reports do not depend on it
        return f"warning: could not write the report {file}: {_reason(failure)}"
    return f"report: {file}"


def _appended(run: RunRecord, file: Path, store: RunStore) -> list[str]:
    try:
        with file.open("a", encoding="utf-8") as summary:
            summary.write(_markdown(run, store))
    except Exception as failure:  # noqa: BLE001 - the other reports do not depend on it
        return [f"warning: could not write the step summary to {file}: {_reason(failure)}"]
    return []


def _reason(failure: Exception) -> str:
    return (isinstance(failure, OSError) and failure.strerror) or explained(failure)


SCHEMA = 1
"""Grows when a reader of an older one would misread a newer one; fields are added without."""


def document(run: RunRecord) -> str:
    """Return the report as one JSON text."""
    sums: Mapping[str, Json] = {
        "outcomes": outcome_counts(run),
        "lanes": [_share(each) for each in process_shares(run)],
        "behind": [_share(each) for each in background_shares(run.stacks)],
        "queue": [_share(each) for each in queue_shares(run)],
        "savings": [asdict(each) for each in savings(run)],
    }
    values = {"schema": SCHEMA, "dockwright": __version__, "sums": sums, "run": run.to_json()}
    return json.dumps(values, ensure_ascii=False, indent=1) + "\n"


def _share(share: Share) -> dict[str, Json]:
    return {
        "kind": share.kind,
        "name": share.name,
        "seconds": round(share.seconds, 6),
        "count": share.count,
    }


def properties(attempt: Attempt) -> list[tuple[str, str]]:
    """Return names and values; seconds by phase, which add up to ``dockwright.wall_s``.

    What is shared is no part of them. Why a test waited is known only when the run is over: all
    of it is ``dockwright.queue_s``.
    """
    test = record_of(attempt, attempt.began, lambda span, _: [span])
    shared_s = test.elapsed_s - test.wall_s
    seconds = {"wall": test.wall_s, **phases_of(test, shared=False)}
    if shared_s:
        seconds["shared"] = shared_s
    texts = {"lane": test.lane, "stack": test.stack}
    return [
        *((f"dockwright.{name}_s", f"{value:.6f}") for name, value in seconds.items()),
        *((f"dockwright.{name}", printable(text)) for name, text in texts.items() if text),
    ]
