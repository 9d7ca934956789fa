"""What of a journal's traces is there, and its removal in the right order.

A name alone does not tell whose a thing is. What bears another owner's labels is never removed, and
of what a dead owner only named, that which was made while it lived.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from dockwright.engine import PREFIX, Engine, parallel, parse_ownership, parse_time
from dockwright.errors import CleanupError, DockwrightError, ImageMissingError, NoSuchObjectError
from dockwright.pool.disk import remove_path
from dockwright.pool.journal import KINDS, ON_ENGINE, Journal, Kind, Trace
from dockwright.stack import kill_processes, marked_processes

_log = logging.getLogger(__name__)

_CLOCKS_S = 60.0
"""How far the engine's clock and ours, and a late sign of life, may be apart."""

_SAME_PROCESS_S = 1.0  # as for owners: one pid is not used twice within a second


@dataclass(frozen=True, slots=True)
class Present:
    """The things of one journal that exist.

    Attributes:
        things: what the removal of each takes, an id, a name or a path, by kind.
        processes: the processes, and what they started.
    """

    things: Mapping[Kind, list[str]] = field(default_factory=dict)
    processes: list[psutil.Process] = field(default_factory=list)

    def described(self) -> list[str]:
        """Return each thing in words: ``container db-1``."""
        told = [f"process {process.pid}" for process in self.processes]
        return told + [f"{kind} {name}" for kind in KINDS for name in self.things.get(kind, ())]


def present(
    journal: Journal,
    engine: Engine | None,
    *,
    until_s: float | None = None,
    labelled: bool = False,
) -> Present:
    """Find what is there of a journal's traces.

    Args:
        journal: whose.
        engine: what is on other engines is left out.
        until_s: a dead owner's last sign of life, seconds since the epoch: what was made after it
            is not its own. None: the owner lives.
        labelled: whether to look also for what bears the journal's labels and is not in it.
    """
    look = _Look(journal.ownership.session, time.time() if until_s is None else until_s)
    things: dict[Kind, list[str]] = {kind: [] for kind in KINDS}
    processes: dict[int, psutil.Process] = {}
    for trace in journal.traces():
        if trace.kind == "process":
            family = _marked(journal) if trace.ours else _family(trace)
            processes |= {each.pid: each for each in family}
        elif trace.kind not in ON_ENGINE:
            things[trace.kind] += look.on_disk(trace)
        elif engine is not None and trace.engine == engine.endpoint.url:
            things[trace.kind] += look.on_engine(engine, trace)
    if labelled and engine is not None:
        for kind, names in _labelled(engine, journal).items():
            things[kind] += [name for name in names if name not in things[kind]]
    things["directory"].sort(key=lambda path: len(Path(path).parts), reverse=True)
    return Present(things, list(processes.values()))


def _labelled(engine: Engine, journal: Journal) -> Mapping[Kind, list[str]]:
    ours = {f"{PREFIX}session": journal.ownership.session}
    return {
        "container": [each["Id"] for each in engine.list_containers(ours)],
        "network": [each["Id"] for each in engine.list_networks(ours)],
        "volume": [each["Name"] for each in engine.list_volumes(ours)],
    }


def inspect(engine: Engine, kind: Kind, name: str) -> Mapping[str, Any] | None:
    """Return what the engine knows about a thing; None where there is none of this name."""
    calls: Mapping[Kind, Callable[[str], Mapping[str, Any]]] = {
        "container": engine.inspect_container,
        "network": engine.inspect_network,
        "volume": engine.inspect_volume,
        "image": engine.inspect_image,
    }
    try:
        return calls[kind](name)
    except (NoSuchObjectError, ImageMissingError):
        return None


@dataclass(frozen=True, slots=True)
class _Look:
    """Tells what is ours of the things that bear a journal's names.

    Attributes:
        session: of the journal's owner.
        until_s: when the owner was last seen.
    """

    session: str
    until_s: float

    def on_engine(self, engine: Engine, trace: Trace) -> list[str]:
        document = inspect(engine, trace.kind, trace.name)
        if document is None or not self._is_ours(document, trace):
            return []
        by_name = trace.kind in ("volume", "image")
        return [trace.name if by_name else str(document["Id"])]

    def on_disk(self, trace: Trace) -> list[str]:
        try:
            changed_s = Path(trace.name).lstat().st_ctime
        except (FileNotFoundError, NotADirectoryError):
            return []
        return [trace.name] if trace.ours or self._made_in_time(changed_s) else []

    def _is_ours(self, document: Mapping[str, Any], trace: Trace) -> bool:
        owned = parse_ownership((document.get("Config") or document).get("Labels"))
        if owned is not None:
            return owned.session == self.session
        return trace.ours or self._made_in_time(_created_s(document))

    def _made_in_time(self, made_s: float | None) -> bool:
        return made_s is not None and made_s <= self.until_s + _CLOCKS_S


def _created_s(document: Mapping[str, Any]) -> float | None:
    # An image that was pulled or imported is older than its name here.
    tagged = (document.get("Metadata") or {}).get("LastTagTime")
    created = document.get("Created") or document.get("CreatedAt")
    return parse_time(str(tagged)) or parse_time(str(created))


def _marked(journal: Journal) -> list[psutil.Process]:
    return [each.process for each in marked_processes(journal.name)]


def _family(trace: Trace) -> list[psutil.Process]:
    try:
        process = psutil.Process(int(trace.name))
        if abs(process.create_time() - trace.started_s) > _SAME_PROCESS_S:
            return []
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def dispose(found: Present, engine: Engine | None) -> list[CleanupError]:
    """Remove what was found: processes, containers, networks, volumes, images, files, directories.

    Returns:
        What could not be removed, each with its reason; everything else is gone.
    """
    failures = [
        failure
        for process in found.processes
        for failure in _attempt(f"process {process.pid}", partial(kill_processes, [process]))
    ]
    for kind in KINDS[1:]:
        remove = _removal(kind, engine)
        if remove is None:
            continue
        attempts = [
            partial(_attempt, f"{kind} {name}", partial(remove, name))
            for name in found.things.get(kind, ())
        ]
        # A directory may lie in another one: the deepest goes first.
        at_once = 1 if kind == "directory" else 8
        failures += [each for some in parallel.run(attempts, max_parallel=at_once) for each in some]
    return failures


def _removal(kind: Kind, engine: Engine | None) -> Callable[[str], None] | None:
    if kind not in ON_ENGINE:
        return lambda name: remove_path(Path(name))
    if engine is None:
        return None
    calls: Mapping[Kind, Callable[[str], None]] = {
        "container": engine.remove_container,
        "network": engine.remove_network,
        "volume": engine.remove_volume,
        "image": engine.remove_image,
    }
    return calls[kind]


def _attempt(what: str, action: Callable[[], None]) -> list[CleanupError]:
    try:
        action()
    except CleanupError as failure:
        return [failure]
    except (DockwrightError, psutil.Error) as failure:
        told = CleanupError(f"could not remove {what}: {failure}")
        told.__cause__ = failure
        return [told]
    return []
