"""The report as Markdown, as GitHub shows it in the summary of a job."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from dockwright.recording import RunRecord
from dockwright.report.summary import (
    FAILURES,
    IN_BACKGROUND,
    IN_PROCESSES,
    WAITING,
    background_shares,
    kinds,
    leftovers,
    most_waiting,
    outcome_counts,
    process_shares,
    queue_shares,
    savings,
    slowest,
    waited_s,
)
from dockwright.untrusted import printable

LIMIT_BYTES = 1024 * 1024
"""Of a step's summary; GitHub drops a longer one as a whole."""

_NOTE = "\n\n_Truncated to fit GitHub's limit. The full report: `--dockwright-report=FILE.html`._\n"
_MOST_FAILURES = 5000
_MOST_TESTS = 10


def markdown(run: RunRecord, limit_bytes: int = LIMIT_BYTES - 1024) -> str:
    """Return the report; where it is longer than `limit_bytes`, cut, with a note."""
    return cut("\n".join(_lines(run)) + "\n", limit_bytes)


def cut(text: str, limit_bytes: int) -> str:
    """Return a text; where it is longer than `limit_bytes`, cut after a line, with a note."""
    whole = text.encode()
    if len(whole) <= limit_bytes:
        return text
    kept = whole[: limit_bytes - len(_NOTE.encode())].decode("utf-8", "ignore")
    return kept.rpartition("\n")[0] + _NOTE


def _lines(run: RunRecord) -> Iterator[str]:
    outcomes = ", ".join(f"{count} {name}" for name, count in outcome_counts(run).items())
    yield f"### dockwright: {outcomes or 'no tests'} in {run.wall_s:.2f} s"
    yield from (f"\n**Problem:** {cell(text)}" for text in run.problems)
    failed = [test for test in run.tests if test.outcome in FAILURES]
    yield from table(
        "Failed",
        ("test", "outcome", "s"),
        (
            (_code(test.nodeid), test.outcome, f"{test.wall_s:.2f}")
            for test in failed[:_MOST_FAILURES]
        ),
    )
    shares = [(each, IN_PROCESSES) for each in process_shares(run)]
    shares += [(each, IN_BACKGROUND) for each in background_shares(run.stacks)]
    yield from table(
        "Where the time went",
        ("phase", "what", "s", "count"),
        (
            (each.kind, words[each.kind], f"{each.seconds:.2f}", str(each.count))
            for each, words in shares
        ),
    )
    yield from table(
        "What tests waited for",
        ("cause", "s", "count"),
        (
            (WAITING.get(each.name, each.name), f"{each.seconds:.2f}", str(each.count))
            for each in queue_shares(run)
        ),
    )
    yield from table(
        "Slowest tests",
        ("test", "s"),
        ((_code(test.nodeid), f"{test.wall_s:.2f}") for test in slowest(run.tests, _MOST_TESTS)),
    )
    yield from table(
        "Tests that waited longest",
        ("test", "s"),
        (
            (_code(test.nodeid), f"{waited_s(test):.2f}")
            for test in most_waiting(run.tests, _MOST_TESTS)
        ),
    )
    if compared := kinds(run):
        yield f"\n{compared.whole}; {compared.around}"
    yield from (f"\n{cell(str(saving))}" for saving in savings(run))
    if left := leftovers(run):
        text = f"leftovers: {cell(left.text)}"
        yield f"\n{text}" if left.none else f"\n**{text}**"


def table(title: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Return the lines of a table with a title; none without rows."""
    found = list(rows)
    if found:
        yield f"\n**{title}**\n"
        yield f"| {' | '.join(head)} |"
        yield f"|{'---|' * len(head)}"
        yield from (f"| {' | '.join(row)} |" for row in found)


def cell(text: str) -> str:
    """Return a text escaped for a table cell."""
    safe = printable(text).replace("&", "&amp;").replace("<", "&lt;").replace("|", "\\|")
    return " ".join(safe.split())


def _code(text: str) -> str:
    return f"<code>{cell(text)}</code>"
