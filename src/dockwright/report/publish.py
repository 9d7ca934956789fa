"""Writes the reports that were asked for; whatever is wrong with one, the run is not."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from dockwright.errors import StoreError
from dockwright.measure import PastTest, RunRecord, RunStore

STEP_SUMMARY = "GITHUB_STEP_SUMMARY"
"""GitHub's variable: the file that a step may append its summary to."""

_Past = Callable[[], Sequence[PastTest]]

# Most runs have no report: what writes one is imported where it is asked for.


def _trace(run: RunRecord, _: _Past) -> str:
    from dockwright.report.chrome import trace

    return trace(run)


def _page(run: RunRecord, past: _Past) -> str:
    from dockwright.report.html import page

    return page(run, past())


def _document(run: RunRecord, _: _Past) -> str:
    from dockwright.report.document import document

    return document(run)


def _markdown(run: RunRecord, _: _Past) -> str:
    from dockwright.report.markdown import markdown

    return markdown(run)


_WRITERS: Mapping[str, Callable[[RunRecord, _Past], str]] = {
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
        files: where to; the end of the name tells the format (see `settings.REPORTS`).
        collector: the address that takes spans, or an empty text.
        environ: the environment of the run.
        store: has the earlier runs.

    Returns:
        What a person should know: where the reports are, and what could not be written.
    """

    def past() -> Sequence[PastTest]:
        try:
            return [each for each in store.history() if each.run != run.id]
        except StoreError:
            return ()  # that the store is damaged is told by whoever writes it

    notes = [_written(run, file, past) for file in files]
    if summary := environ.get(STEP_SUMMARY):
        notes += _appended(run, Path(summary), past)
    if collector:
        from dockwright.report.otlp import send

        notes.append(send(run, collector, environ))
    return notes


def _written(run: RunRecord, file: Path, past: _Past) -> str:
    write = next(write for end, write in _WRITERS.items() if file.name.endswith(end))
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(write(run, past), "utf-8")
    except OSError as failure:
        return f"warning: no report {file}: {failure.strerror or failure}"
    return f"report: {file}"


def _appended(run: RunRecord, file: Path, past: _Past) -> list[str]:
    try:
        with file.open("a", encoding="utf-8") as summary:
            summary.write(_markdown(run, past))
    except OSError as failure:
        return [f"warning: no step summary in {file}: {failure.strerror or failure}"]
    return []
