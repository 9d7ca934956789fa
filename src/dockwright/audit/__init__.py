"""What tests leave behind outside of their stack, and which marker each test should have."""

from typing import TYPE_CHECKING

from dockwright._lazy import lazily

if TYPE_CHECKING:
    from dockwright.audit.advice import Evidence, Verdict, evidence_of, verdicts
    from dockwright.audit.edit import Edit, edits
    from dockwright.audit.outside import BoundFiles, EngineObjects
    from dockwright.audit.process import EngineRequests, ProcessState
    from dockwright.audit.source import marker_in

__all__ = [
    "BoundFiles",
    "Edit",
    "EngineObjects",
    "EngineRequests",
    "Evidence",
    "ProcessState",
    "Verdict",
    "edits",
    "evidence_of",
    "marker_in",
    "verdicts",
]

__getattr__ = lazily(
    __name__,
    {
        "advice": ("Evidence", "Verdict", "evidence_of", "verdicts"),
        "edit": ("Edit", "edits"),
        "outside": ("BoundFiles", "EngineObjects"),
        "process": ("EngineRequests", "ProcessState"),
        "source": ("marker_in",),
    },
)
