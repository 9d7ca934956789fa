"""The causes that time is attributed to: what a test waited for, or its own work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cause:
    """One reason why time went.

    Attributes:
        title: how it is called in tables.
        waste: whether time spent so can be saved, as far as is known.
        own: whether it is the suite's own work, within which others may have been waited for.
    """

    title: str
    waste: bool = True
    own: bool = False


CAUSES: Mapping[str, Cause] = {
    "sleep": Cause("fixed sleeps"),
    "health": Cause("health intervals waited out"),
    "grace": Cause("stop graces waited out"),
    "polling": Cause("polling: noticed late"),
    "awaited": Cause("polling: not yet so", waste=False),
    "compose": Cause("docker compose"),
    "docker": Cause("docker commands"),
    "cleanup": Cause("cleanups that found nothing"),
    "statistics": Cause("blocking statistics samples"),
    "pull": Cause("image pulls"),
    "client": Cause("making clients"),
    "engine": Cause("engine calls"),
    "subprocess": Cause("other subprocesses", waste=False),
    "thread": Cause("waiting for threads", waste=False),
    "fixture": Cause("fixtures: their own work", waste=False, own=True),
    "body": Cause("test bodies: their own work", waste=False, own=True),
    "collection": Cause("collection", waste=False),
    "pytest": Cause("pytest itself", waste=False, own=True),
    "program": Cause("other Python programs", waste=False, own=True),
    "idle": Cause("workers without a test", waste=False),
    "outside": Cause("before, after and between", waste=False),
}
"""Every cause by its name, in the order of tables that have no better one."""
