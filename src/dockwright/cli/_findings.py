"""Shows what checks found: a table, the remedies below it; or JSON."""

from __future__ import annotations

from collections.abc import Sequence

from dockwright._text import counted
from dockwright.cli._output import note, print_json, print_table
from dockwright.lifecycle import Finding


def report(findings: Sequence[Finding], *, as_json: bool) -> int:
    """Print findings; return the exit code: 1 if a check failed."""
    failed = any(finding.status == "fail" for finding in findings)
    if as_json:
        print_json({"ok": not failed, "findings": [_document(each) for each in findings]})
    else:
        _show(findings)
    return int(failed)


def _document(finding: Finding) -> dict[str, str | None]:
    return {
        "name": finding.name,
        "status": finding.status,
        "detail": finding.detail,
        "remedy": finding.remedy if finding.status != "ok" else None,
    }


def _show(findings: Sequence[Finding]) -> None:
    print_table(
        ("CHECK", "STATUS", "FOUND"),
        [(finding.name, finding.status, finding.detail) for finding in findings],
    )
    bad = [finding for finding in findings if finding.status != "ok"]
    for finding in bad:
        note(f"{finding.status}: {finding.name}: {finding.remedy}")
    if not bad:
        note(f"{counted(len(findings), 'check')}, nothing to do")
