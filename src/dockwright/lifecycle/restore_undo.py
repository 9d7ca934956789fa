"""Puts a stack back to what it was before a restore, from its journal and its safety copy."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from dockwright.engine import parallel
from dockwright.errors import DockwrightError, StackBusyError, StackError
from dockwright.lifecycle.archive_read import Archive, open_archive
from dockwright.lifecycle.archive_write import sweep
from dockwright.lifecycle.backup_progress import ahead
from dockwright.lifecycle.backup_rest import BACKUP, let_go_on
from dockwright.lifecycle.backup_volumes import Helper, helper, remove_helpers
from dockwright.lifecycle.journal import Journal
from dockwright.lifecycle.lock import exclusive
from dockwright.lifecycle.manifest import Part
from dockwright.lifecycle.restore_before import made_containers, made_volumes, remove_all, that_ran
from dockwright.lifecycle.restore_config import ConfigFiles
from dockwright.lifecycle.restore_verify import root_of
from dockwright.stack import Stack

_log = logging.getLogger(__name__)

SAVING, REPLACING = "saving", "replacing"


def recover(stack: Stack) -> None:
    """Undo what a killed backup or restore of this stack left half done, if one did.

    Args:
        stack: the stack; it is attached anew where something was done.

    Raises:
        StackError: it could not be undone.
    """
    project = stack.identity.project
    journal = Journal.of(project, stack.engine.endpoint.url)
    if not journal.exists():
        return
    try:
        with exclusive(project, what="recovery"):
            document = journal.read()
            if document is None:
                journal.close()
                return
            kind = document["kind"]
            _log.warning(
                "a %s of stack %s was killed: %s",
                kind,
                project,
                "it goes on" if kind == BACKUP else "its former state is put back",
            )
            if kind == BACKUP:
                _undo_backup(stack, document, journal)
            else:
                undo_restore(stack, document, journal)
    except StackBusyError:
        return  # it was not killed: it is at work
    stack.attach()


def _undo_backup(stack: Stack, document: Mapping[str, Any], journal: Journal) -> None:
    let_go_on(stack.engine, document["paused"])
    remove_helpers(stack.engine, stack.identity.project)
    sweep(Path(document["draft"]).parent)
    journal.close()


def undo_restore(stack: Stack, document: Mapping[str, Any], journal: Journal) -> None:
    """Put everything back; may be repeated where it was killed itself.

    Args:
        stack: a stack of this identity that is not used for anything else.
        document: what the journal says.
        journal: is closed when all is done.

    Raises:
        StackError: it failed; the journal and the safety copy stay.
    """
    try:
        remove_helpers(stack.engine, stack.identity.project)
        before = document["before"]
        started = that_ran(before)
        stack.kill(stack.processes)
        if document["phase"] == REPLACING:
            started = _put_back(stack, before, journal)
        for container in started:
            stack.engine.start_container(container)
        stack.attach()
        stack.launch(before["processes"])
    except (DockwrightError, ExceptionGroup, OSError) as failure:
        raise StackError(
            f"the former state of stack {stack.identity.project} could not be put back: {failure}",
            hint=f"its data is safe in {journal.safety}; every `dockwright stack` command on this "
            "stack tries again",
        ) from failure
    journal.close()


def _put_back(stack: Stack, before: Mapping[str, Any], journal: Journal) -> list[str]:
    engine = stack.engine
    remove_all(engine, stack.identity, keep_networks=before["networks"])
    made_volumes(engine, before)
    if before["volumes"]:
        _fill_from(open_archive(journal.safety), stack, before)
    config = ConfigFiles.parse(before["config"])
    config.write()
    config.remove_empty()
    return made_containers(engine, before)


def _fill_from(safety: Archive, stack: Stack, before: Mapping[str, Any]) -> None:
    mounts = before["mounts"]
    with helper(stack.engine, stack.identity, before["image"], mounts, writable=True) as writer:
        parallel.run([partial(_fill, writer, safety, part) for part in safety.manifest.volumes])


def _fill(writer: Helper, safety: Archive, part: Part) -> None:
    with ahead(safety.content(part)) as chunks:
        writer.fill(root_of(part), chunks)
