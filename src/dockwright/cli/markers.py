"""``dockwright markers``: which marker each test has, and which one it should have."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dockwright._text import counted, duration
from dockwright.audit import Verdict, evidence_of, marker_in, verdicts
from dockwright.cli.options import json_option, root_option, runs_option
from dockwright.cli.output import note, print_json, print_table
from dockwright.cli.pytest_settings import project_settings
from dockwright.errors import UsageError
from dockwright.recording import RunStore, store_of

if TYPE_CHECKING:
    from dockwright.audit import Edit

_WRONG = 1
"""The exit code where a marker is wrong."""

_AUDIT_HINT = "run pytest with --dockwright-audit=report, once or a few times"


@click.command(
    epilog="""\b
Examples:
  dockwright markers                    what each test does, and what its marker should be
  dockwright markers --write --dry-run  show how the sources would change
  dockwright markers --write            change them
  dockwright markers --check            in CI: exit with 1 if a marker is wrong
"""
)
@runs_option(1, 20, "to look at")
@click.option("--write", is_flag=True, help="Change the sources; the diff is printed first.")
@click.option("--dry-run", is_flag=True, help="With --write: print the diff only.")
@click.option("--check", is_flag=True, help="Exit with 1 if a marker is wrong.")
@root_option
@json_option
@click.pass_context
def markers(
    ctx: click.Context,
    most_runs: int,
    write: bool,
    dry_run: bool,
    check: bool,
    root: Path,
    as_json: bool,
) -> None:
    """Find tests with the wrong marker, and correct them.

    Runs with --dockwright-audit record what each test leaves in its stack. A test that leaves
    nothing in any of them should be marked stateless, so that it shares a stack; one that changes
    something should not.

    --write changes only tests for which all audited runs agree, and nothing else in their files. It
    needs dockwright[markers]. A test without a marker counts as stateful and needs none.
    """
    if dry_run and not write:
        raise UsageError(
            "--dry-run shows what --write would do", hint="use both: --write --dry-run"
        )
    settings = project_settings(root, "")
    found = _verdicts(store_of(settings, os.environ), most_runs, settings.root)
    if check and not any(each.runs for each in found):
        raise UsageError("nothing to check: no recorded run was audited", hint=_AUDIT_HINT)
    changed = _edits(found, settings.root) if write else []
    if as_json:
        diffs = [each.diff for each in changed]
        print_json({"tests": [_document(each) for each in found], "diff": diffs})
    elif write:
        _show_edits(changed, dry_run=dry_run)
        for verdict in found:
            if _is_written(verdict) and marker_in(settings.root, verdict.nodeid) is None:
                note(f"cannot find {verdict.nodeid} in its source: mark it {verdict.right} by hand")
    else:
        _show(found)
    for each in () if dry_run else changed:
        each.write()
    ctx.exit(_WRONG if check and any(map(_fails, found)) else 0)


def _verdicts(store: RunStore, runs: int, root: Path) -> list[Verdict]:
    heads = store.runs(runs)
    records = (store.load(head.id, without=("samples",)) for head in heads)
    evidence = [each for record in records for each in evidence_of(record)]
    if not evidence:
        raise UsageError(
            f"{store.file} has no recorded run of this project with tests that use a stack",
            hint=_AUDIT_HINT,
        )
    return verdicts(evidence, lambda nodeid: _as_marked(root, nodeid))


def _as_marked(root: Path, nodeid: str) -> str | None:
    marker = marker_in(root, nodeid)
    return "stateful" if marker == "" else marker


def _fails(verdict: Verdict) -> bool:
    """Return whether a marker is wrong for sure; to change the stack in one run is enough."""
    return verdict.wrong and (verdict.agreed or verdict.right == "stateful")


def _is_written(verdict: Verdict) -> bool:
    return verdict.wrong and verdict.agreed


def _edits(found: Sequence[Verdict], root: Path) -> list[Edit]:
    try:
        from dockwright.audit import edits
    except ImportError as failure:
        raise UsageError(
            "--write needs LibCST, which is not installed",
            hint="pip install 'dockwright[markers]'",
        ) from failure
    wanted = {each.nodeid: each.right for each in found if _is_written(each)}
    return edits(root, wanted, [each.nodeid for each in found])


def _show_edits(changed: Sequence[Edit], *, dry_run: bool) -> None:
    for each in changed:
        click.echo(each.diff, nl=False)
    does = "would change" if dry_run else "changes"
    note(f"{does} {counted(len(changed), 'file')}" if changed else "nothing to change")


def _show(found: Sequence[Verdict]) -> None:
    ordered = sorted(found, key=lambda each: (not each.wrong, bool(each.right), each.nodeid))
    print_table(
        ("TEST", "MARKED", "SHOULD BE", "RUNS", "SAVES", "SEEN"), [_row(each) for each in ordered]
    )
    for line in _sums(found):
        note(line)


def _row(verdict: Verdict) -> tuple[str, ...]:
    should = verdict.right or "?"
    seen = "; ".join(verdict.changes) or verdict.reason or "reads only"
    return (
        verdict.nodeid,
        verdict.marked,
        should if verdict.agreed or not verdict.right else f"{should} (runs differ)",
        str(verdict.runs),
        duration(verdict.saves_s) if verdict.wrong and verdict.saves_s else "-",
        "; ".join((seen, *(f"leaves {each}" for each in verdict.leaks))),
    )


def _sums(found: Sequence[Verdict]) -> Iterator[str]:
    wrong = [each for each in found if each.wrong]
    unknown = sum(not each.right for each in found)
    tests = counted(len(found), "test")
    yield f"{tests}: {len(wrong)} with the wrong marker, {unknown} unknown"
    if any(each.agreed for each in wrong):
        yield "`dockwright markers --write` corrects those for which all runs agree"
    if not any(each.runs for each in found):
        yield f"no recorded run is audited: {_AUDIT_HINT}"


def _document(verdict: Verdict) -> dict[str, object]:
    return {
        "nodeid": verdict.nodeid,
        "marked": verdict.marked,
        "right": verdict.right or None,
        "wrong": verdict.wrong,
        "agreed": verdict.agreed,
        "reason": verdict.reason or None,
        "runs": verdict.runs,
        "changes": list(verdict.changes),
        "leaks": list(verdict.leaks),
        "saves_s": round(verdict.saves_s, 3),
    }
