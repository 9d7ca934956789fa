"""Holds a running stack still while its volumes are read."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from dockwright.engine import Engine, parallel
from dockwright.errors import EngineError
from dockwright.lifecycle.journal import Journal
from dockwright.model import Address, ServiceSpec
from dockwright.reset import bring_to_disk
from dockwright.stack import Stack

_log = logging.getLogger(__name__)

BACKUP = "backup"


@contextmanager
def at_rest(
    stack: Stack, volumes: Collection[str], journal: Journal, draft: Path
) -> Iterator[None]:
    """Pause every container of the stack that can write to its volumes, after all is on disk.

    The volumes are then as after a power cut, all at the same moment: databases recover from that.

    Args:
        stack: the stack; what of it is stopped, or paused already, is left alone.
        volumes: the engine's names of the volumes.
        journal: names what is paused while it is, for whoever comes after a killed backup.
        draft: where the backup is being written; the journal names that too.
    """
    running = {
        name: document
        for name, document in _inspected(stack).items()
        if document["State"]["Running"] and not document["State"]["Paused"]
    }
    parallel.run([partial(_to_disk, stack, name, each) for name, each in running.items()])
    writers = [each["Id"] for each in running.values() if _writes(each, volumes)]
    journal.write({"kind": BACKUP, "paused": writers, "draft": str(draft)})
    try:
        with ExitStack() as paused:
            parallel.run(
                [partial(paused.enter_context, stack.engine.standstill(each)) for each in writers]
            )
            yield
    except BaseException:  # also Ctrl-C: nothing stays paused
        _leave(stack, writers, journal)
        raise
    journal.close()


def _leave(stack: Stack, paused: Collection[str], journal: Journal) -> None:
    """End a backup that failed; where the engine does not answer, the journal stays."""
    try:
        let_go_on(stack.engine, paused)
    except (EngineError, ExceptionGroup):
        _log.warning(
            "stack %s may still be paused: the next `dockwright stack` command lets it go on",
            stack.identity.project,
        )
    else:
        journal.close()


def let_go_on(engine: Engine, containers: Collection[str]) -> None:
    """Unpause containers; those that are not paused, or gone, are left alone."""
    # They are not inspected first: see `dockwright.engine.containers`.
    parallel.run([partial(engine.unpause_container, each) for each in containers])


def _inspected(stack: Stack) -> dict[str, Mapping[str, Any]]:
    names = list(stack.containers)
    inspect = stack.engine.inspect_container
    found = parallel.run([partial(inspect, stack.containers[name]) for name in names])
    return dict(zip(names, found, strict=True))


def _writes(document: Mapping[str, Any], volumes: Collection[str]) -> bool:
    return any(mount.get("Name") in volumes and mount["RW"] for mount in document["Mounts"])


def _to_disk(stack: Stack, name: str, document: Mapping[str, Any]) -> None:
    mounted = {
        str(mount["Destination"]): str(mount["Name"])
        for mount in document["Mounts"]
        if mount.get("Name")
    }
    if mounted:
        bring_to_disk(_Running(stack, name, mounted))


@dataclass(frozen=True, slots=True)
class _Running:
    """A running service, as `bring_to_disk` sees it; its images need not be there."""

    _stack: Stack
    _name: str
    _volumes: Mapping[str, str]

    @property
    def spec(self) -> ServiceSpec:
        return self._stack.spec.services[self._name]

    @property
    def engine(self) -> Engine:
        return self._stack.engine

    @property
    def scratch(self) -> Path:
        return self._stack.options.log_directory

    def container(self) -> str:
        return self._stack.container(self._name)

    def volumes(self) -> Mapping[str, str]:
        return self._volumes

    def address(self, port: int) -> Address:
        return self._stack.address(self._name, port)
