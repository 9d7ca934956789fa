"""The report as JSON: the run's record, and sums that would otherwise be made again by readers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict

from dockwright import __version__
from dockwright.measure import RunRecord
from dockwright.model import Json
from dockwright.report.digest import Share, behind_shares, lane_shares, outcome_counts, queue_shares
from dockwright.report.savings import savings

SCHEMA = 1
"""Grows when a reader of an older one would misread a newer one; fields are added without."""


def document(run: RunRecord) -> str:
    """Return the report as one JSON text."""
    sums: Mapping[str, Json] = {
        "outcomes": outcome_counts(run),
        "lanes": [_share(each) for each in lane_shares(run)],
        "behind": [_share(each) for each in behind_shares(run)],
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
