"""Finds what dockwright made and removes what a dead owner left.

Only what bears our labels is ever seen here, and only what belongs to a dead owner is removed
without being named: never by name prefix, never by prune.
"""

from __future__ import annotations

import logging
import os
import shutil
import stat
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from dockwright.engine import PREFIX, Engine, owner_is_alive, parallel, parse_ownership, parse_time
from dockwright.errors import (
    CleanupError,
    ConflictError,
    DockwrightError,
    ImageMissingError,
    NoSuchObjectError,
)
from dockwright.model import Ownership
from dockwright.paths import state_directory
from dockwright.pool.journal import (
    KINDS,
    ON_ENGINE,
    Kind,
    ResourceJournal,
    RetainedStacks,
    TrackedResource,
)
from dockwright.stack import (
    COMPOSE_PROJECT,
    MarkedProcess,
    kill_processes,
    marked_processes,
    volumes_of_copy,
)
from dockwright.stack.images import BUILT

_HINT = (
    "if a container that runs as another user wrote there, let it remove its files itself, "
    "or run it as your user"
)


def remove_path(path: Path) -> None:
    """Delete a file, a link (not what it points to), or a directory with all that is in it.

    What had been made read-only goes too; what is gone already is fine.

    Raises:
        CleanupError: something stays; names the first such thing.
    """
    try:
        if path.is_dir() and not path.is_symlink():
            _remove_tree(path)
        else:
            path.unlink(missing_ok=True)
    except FileNotFoundError:
        return
    except OSError as exc:
        raise CleanupError(
            f"could not remove {path}: {exc.filename or path}: {exc.strerror}", hint=_HINT
        ) from exc


def _remove_tree(path: Path) -> None:
    for directory, _, _ in os.walk(path):
        _make_writable(Path(directory))
    shutil.rmtree(path, ignore_errors=True)
    if path.exists():
        shutil.rmtree(path)  # once more, for the reason


def _make_writable(directory: Path) -> None:
    with suppress(OSError):  # another user's: its removal reports that
        if directory.stat().st_mode & stat.S_IRWXU != stat.S_IRWXU:
            directory.chmod(directory.stat().st_mode | stat.S_IRWXU)


_log = logging.getLogger(__name__)

_CLOCKS_S = 60.0
"""How far the engine's clock and ours, and a late sign of life, may be apart."""

_SAME_PROCESS_S = 1.0  # as for owners: one pid is not used twice within a second


@dataclass(frozen=True, slots=True)
class ExistingResources:
    """The things of one journal that exist.

    Attributes:
        things: what the removal of each takes, an id, a name or a path, by kind.
        processes: the processes, and what they started.
    """

    things: Mapping[Kind, list[str]] = field(default_factory=dict)
    processes: list[psutil.Process] = field(default_factory=list)

    def described(self) -> list[str]:
        """Return each thing in words: ``container db-1``."""
        names = [f"process {process.pid}" for process in self.processes]
        return names + [f"{kind} {name}" for kind in KINDS for name in self.things.get(kind, ())]


def present(
    journal: ResourceJournal,
    engine: Engine | None,
    *,
    until_s: float | None = None,
    labelled: bool = False,
) -> ExistingResources:
    """Find what is there of a journal's resources.

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
    for resource in journal.resources():
        if resource.kind == "process":
            family = _marked(journal) if resource.ours else _family(resource)
            processes |= {each.pid: each for each in family}
        elif resource.kind == "file" or resource.kind == "directory":
            things[resource.kind] += look.on_disk(resource)
        elif engine is None or resource.engine != engine.endpoint.url:
            continue
        elif resource.kind == "labelled":
            for kind, names in look.labelled(engine, resource).items():
                things[kind] += [name for name in names if name not in things[kind]]
        else:
            things[resource.kind] += look.on_engine(engine, resource.kind, resource)
    if labelled and engine is not None:
        for kind, names in _labelled(engine, journal).items():
            things[kind] += [name for name in names if name not in things[kind]]
    things["directory"].sort(key=lambda path: len(Path(path).parts), reverse=True)
    return ExistingResources(things, list(processes.values()))


def labelled(engine: Engine, label: str) -> dict[Kind, list[str]]:
    """Return everything on the engine with a label ``key=value``: ids, and names of volumes."""
    key, equals, value = label.partition("=")
    labels = {key: value if equals else None}
    return {
        "container": [each["Id"] for each in engine.list_containers(labels)],
        "network": [each["Id"] for each in engine.list_networks(labels)],
        "volume": [each["Name"] for each in engine.list_volumes(labels)],
        "image": [each["Id"] for each in engine.list_images(labels)],
    }


def _labelled(engine: Engine, journal: ResourceJournal) -> Mapping[Kind, list[str]]:
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
    """Finds out which resources with the names of a journal belong to dockwright.

    Attributes:
        session: of the journal's owner.
        until_s: when the owner was last seen.
    """

    session: str
    until_s: float

    def on_engine(self, engine: Engine, kind: Kind, resource: TrackedResource) -> list[str]:
        document = inspect(engine, kind, resource.name)
        if document is None or not self._is_ours(document, resource):
            return []
        by_name = kind in ("volume", "image")
        return [resource.name if by_name else str(document["Id"])]

    def labelled(self, engine: Engine, resource: TrackedResource) -> dict[Kind, list[str]]:
        """Return what has a label now and had it not before; images by their names."""
        found: dict[Kind, list[str]] = {}
        for kind, names in labelled(engine, resource.name).items():
            documents = {
                name: inspect(engine, kind, name) for name in names if name not in resource.before
            }
            ours = {
                name: document
                for name, document in documents.items()
                if document is not None and self._is_ours(document, resource)
            }
            found[kind] = [
                each
                for name, document in ours.items()
                for each in (document.get("RepoTags") or [name])
            ]
        return found

    def on_disk(self, resource: TrackedResource) -> list[str]:
        try:
            changed_s = Path(resource.name).lstat().st_ctime
        except (FileNotFoundError, NotADirectoryError):
            return []
        return [resource.name] if resource.ours or self._made_in_time(changed_s) else []

    def _is_ours(self, document: Mapping[str, Any], resource: TrackedResource) -> bool:
        owned = parse_ownership((document.get("Config") or document).get("Labels"))
        if owned is not None:
            return owned.session == self.session
        return resource.ours or self._made_in_time(_created_s(document))

    def _made_in_time(self, made_s: float | None) -> bool:
        return made_s is not None and made_s <= self.until_s + _CLOCKS_S


def _created_s(document: Mapping[str, Any]) -> float | None:
    # An image that was pulled or imported is older than its name here.
    tagged = (document.get("Metadata") or {}).get("LastTagTime")
    created = document.get("Created") or document.get("CreatedAt")
    return parse_time(str(tagged)) or parse_time(str(created))


def _marked(journal: ResourceJournal) -> list[psutil.Process]:
    return [each.process for each in marked_processes(journal.name)]


def _family(resource: TrackedResource) -> list[psutil.Process]:
    try:
        process = psutil.Process(int(resource.name))
        if abs(process.create_time() - resource.started_s) > _SAME_PROCESS_S:
            return []
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def dispose(found: ExistingResources, engine: Engine | None) -> list[CleanupError]:
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
        error = CleanupError(f"could not remove {what}: {failure}")
        error.__cause__ = failure
        return [error]
    return []


@dataclass(slots=True)
class OwnedResources:
    """All that exists of one copy of a stack, or of what one test made by itself.

    Attributes:
        project: its Compose project name.
        ownership: whose it is.
        alive: whether its owner lives (a long-lived stack's always does).
        kept: whether it was kept after a failed test.
        containers: their ids.
        networks: their ids.
        volumes: their names.
        processes: its native processes and their children.
        journal: where a test's own things are written down; None for a copy of a stack.
        traced: what there is of the journal's things.
    """

    project: str
    ownership: Ownership
    alive: bool
    kept: bool
    containers: list[str] = field(default_factory=list)
    networks: list[str] = field(default_factory=list)
    volumes: list[str] = field(default_factory=list)
    processes: list[MarkedProcess] = field(default_factory=list)
    journal: ResourceJournal | None = None
    traced: ExistingResources = field(default_factory=ExistingResources)

    @property
    def long_lived(self) -> bool:
        """Whether it belongs to no process and goes only when it is uninstalled."""
        return self.ownership.owner is None

    @property
    def removable(self) -> bool:
        """Whether its owner is dead, so that nobody else will remove it."""
        return not self.alive and not self.long_lived

    def age_s(self) -> float:
        """Seconds since it was created."""
        return max(0.0, time.time() - self.ownership.created)

    def counts(self) -> dict[str, int]:
        """Return how many things of each kind there are; what is labelled and traced counts once.

        Returns:
            Numbers by ``containers``, ``networks``, ``volumes``, ``processes``, ``images`` and
            ``files`` (directories among them).
        """
        things = self.traced.things
        processes = {each.process.pid for each in self.processes}
        processes |= {each.pid for each in self.traced.processes}
        return {
            "containers": len({*self.containers, *things.get("container", ())}),
            "networks": len({*self.networks, *things.get("network", ())}),
            "volumes": len({*self.volumes, *things.get("volume", ())}),
            "processes": len(processes),
            "images": len(things.get("image", ())),
            "files": len(things.get("file", ())) + len(things.get("directory", ())),
        }

    def __len__(self) -> int:
        return sum(self.counts().values())


def survey(engine: Engine, kept: RetainedStacks) -> list[OwnedResources]:
    """Return everything on the engine and this host that has our labels, by copy, oldest first.

    Args:
        engine: where to look.
        kept: the copies that were kept on purpose.
    """
    ours = {f"{PREFIX}session": None}
    found = Listing(
        containers=engine.list_containers(ours),
        networks=engine.list_networks(ours),
        volumes=engine.list_volumes(ours),
        processes=marked_processes(),
    )
    labelled = {each.project: each for each in resources_by_owner(found, kept.names())}
    for journal in ResourceJournal.all(state_directory()):
        owned = labelled.setdefault(journal.name, _owned_by_journal(journal, kept))
        if owned.ownership.owner == journal.ownership.owner:
            _take_in(owned, journal, engine)
    return sorted(labelled.values(), key=lambda each: each.ownership.created)


def _owned_by_journal(journal: ResourceJournal, kept: RetainedStacks) -> OwnedResources:
    owner = journal.ownership.owner
    alive = owner is None or owner_is_alive(owner)
    return OwnedResources(journal.name, journal.ownership, alive, journal.name in kept.names())


def _take_in(owned: OwnedResources, journal: ResourceJournal, engine: Engine | None) -> None:
    with suppress(FileNotFoundError):  # its owner removed it meanwhile
        until_s = None if owned.alive else journal.last_seen_s
        owned.traced = present(journal, engine, until_s=until_s)
        owned.journal = journal


@dataclass(frozen=True, slots=True)
class Listing:
    """What was listed on an engine and a host: the engine's documents, and marked processes."""

    containers: Sequence[Mapping[str, Any]] = ()
    networks: Sequence[Mapping[str, Any]] = ()
    volumes: Sequence[Mapping[str, Any]] = ()
    processes: Sequence[MarkedProcess] = ()


def resources_by_owner(found: Listing, kept: Collection[str]) -> list[OwnedResources]:
    """Group a listing by copy, without what does not have the whole set of our labels.

    Args:
        found: everything that was listed.
        kept: the project names of the copies that were kept on purpose.
    """
    known: dict[str, OwnedResources] = {}

    def copy_of(project: str | None, ownership: Ownership | None) -> OwnedResources | None:
        if not project or ownership is None:
            return None
        if project not in known:
            alive = ownership.owner is None or owner_is_alive(ownership.owner)
            known[project] = OwnedResources(project, ownership, alive, project in kept)
        # If two owners use one project name, only the resources of the first one are returned.
        return known[project] if known[project].ownership.owner == ownership.owner else None

    for kind, key in (("containers", "Id"), ("networks", "Id"), ("volumes", "Name")):
        for document in getattr(found, kind):
            labels = document.get("Labels") or {}
            owned = copy_of(labels.get(COMPOSE_PROJECT), parse_ownership(labels))
            if owned is None:
                continue
            getattr(owned, kind).append(document[key])
            if kind == "containers" and not owned.long_lived:
                owned.volumes += volumes_of_copy(document, owned.project)
    for marked in found.processes:
        owned = copy_of(marked.project, marked.ownership)
        if owned is not None:
            owned.processes.append(marked)
    return sorted(known.values(), key=lambda each: each.ownership.created)


def abandoned(found: Iterable[OwnedResources], project: str) -> list[OwnedResources]:
    """Return what belongs to dead owners of the project with this hash and was not kept."""
    return [
        each
        for each in found
        if each.removable and not each.kept and each.ownership.project == project
    ]


def remove(engine: Engine, doomed: Iterable[OwnedResources], kept: RetainedStacks) -> None:
    """Remove everything that `doomed` lists, in parallel.

    Raises:
        EngineError: or an `ExceptionGroup` of errors: something could not be removed.
    """
    doomed = list(doomed)
    # First what tests created themselves: it may use what is labelled.
    failures = [failure for owned in doomed for failure in _end_journal(owned, engine)]
    kill_processes(marked.process for owned in doomed for marked in owned.processes)
    parallel.run(
        [partial(engine.remove_container, each) for owned in doomed for each in owned.containers]
    )
    parallel.run(
        [partial(engine.remove_network, each) for owned in doomed for each in owned.networks]
        + [partial(engine.remove_volume, each) for owned in doomed for each in {*owned.volumes}]
    )
    for owned in doomed:
        kept.forget(owned.project)
    if failures:
        raise ExceptionGroup("could not remove everything that dead tests left", failures)


def _end_journal(owned: OwnedResources, engine: Engine | None) -> list[CleanupError]:
    """Remove what a journal lists, and the journal, unless something has to stay."""
    if owned.journal is None:
        return []
    failures = dispose(owned.traced, engine)
    here = engine.endpoint.url if engine is not None else ""
    elsewhere = [
        resource
        for resource in owned.journal.resources()
        if resource.kind in ON_ENGINE and resource.engine != here
    ]
    if elsewhere and not failures:  # stays until somebody uses that engine
        with suppress(FileNotFoundError):  # another process has just done that
            owned.journal.replace(elsewhere)
    elif not failures:
        owned.journal.remove()
    return failures


def reap_journals(project: str, kept: RetainedStacks, engine: Engine | None = None) -> None:
    """Remove what the journals of dead tests of the project with this hash list.

    Args:
        project: the hash of its root directory.
        kept: what was kept on purpose.
        engine: None: what is on an engine stays, and so does its journal.
    """
    for journal in ResourceJournal.all(state_directory()):
        owned = _owned_by_journal(journal, kept)
        if abandoned([owned], project):
            _take_in(owned, journal, engine)
            for failure in _end_journal(owned, engine):
                _log.warning("%s", failure)


@dataclass(frozen=True, slots=True)
class BuiltImages:
    """The images that are built for the disposable stacks of projects.

    Attributes:
        named: those that the next start uses, by name; they make it fast.
        superseded: ids of older ones, which a later build of the same name replaced.
        size_bytes: of the named ones, each with all its layers.
    """

    named: tuple[str, ...]
    superseded: tuple[str, ...]
    size_bytes: int

    @classmethod
    def find(cls, engine: Engine, projects: Collection[str] | None) -> BuiltImages:
        """Return what there is for Compose projects with these names; None: for all."""
        found = [
            each
            for each in engine.list_images({BUILT: None})
            if projects is None or each["Labels"][BUILT] in projects
        ]
        names = {str(each["Id"]): _names(each) for each in found}
        return cls(
            named=tuple(sorted(name for some in names.values() for name in some)),
            superseded=tuple(image for image, some in names.items() if not some),
            size_bytes=sum(int(each.get("Size") or 0) for each in found if names[str(each["Id"])]),
        )

    def remove(self, engine: Engine, *, named: bool) -> int:
        """Remove the superseded ones, and the `named` ones on request; return how many went.

        What a container uses, such as one of a kept stack, stays.
        """
        removed = 0
        for image in (*self.superseded, *(self.named if named else ())):
            try:
                engine.remove_image(image)
            except ConflictError as used:
                _log.debug("image %s stays: %s", image, used)
            else:
                removed += 1
        return removed


def _names(image: Mapping[str, Any]) -> list[str]:
    return [name for name in image.get("RepoTags") or () if name != "<none>:<none>"]


def reap(engine: Engine, project: str, kept: RetainedStacks) -> int:
    """Remove what dead owners of the project with this hash left, except what was kept on purpose.

    Returns:
        The number of containers, networks, volumes and processes that were removed.
    """
    doomed = abandoned(survey(engine, kept), project)
    if doomed:
        _log.info("reap projects=%s", [owned.project for owned in doomed])
        remove(engine, doomed, kept)
    return sum(len(owned) for owned in doomed)
