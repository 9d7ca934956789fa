"""``dockwright clean``: show what test runs have on the engine, and remove what dead runs left."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import click

from dockwright._text import age, counted, format_size
from dockwright.cache import BaselineStore, FrozenVolumes
from dockwright.cli.options import current_engine, engine_url, json_option
from dockwright.cli.output import note, print_json, print_table
from dockwright.cli.pytest_settings import project_root, project_settings
from dockwright.compose import locate
from dockwright.engine import Engine
from dockwright.errors import DockwrightError
from dockwright.paths import baselines_directory, project_hash, state_directory
from dockwright.pool import OwnedResources, RetainedStacks, Workspace, remove, survey
from dockwright.pool.declared import load_options
from dockwright.pool.reaper import BuiltImages
from dockwright.settings import DEFAULT_STACK

_PARTS = ("containers", "networks", "volumes", "processes", "images", "files")


@click.command(
    epilog="""\b
Examples:
  dockwright clean --dry-run        show what exists and what would be removed
  dockwright clean                  remove what dead runs of this project left
  dockwright clean --kept           also remove stacks kept by --dockwright-keep-failed
  dockwright clean --images         also remove the images that were built for test stacks
  dockwright clean --all-projects   remove what dead runs of any project left
"""
)
@click.option("--dry-run", is_flag=True, help="Only show what would be removed.")
@click.option("--kept", is_flag=True, help="Also remove stacks kept after a failed test.")
@click.option("--images", is_flag=True, help="Also remove images that were built for test stacks.")
@click.option("--all-projects", is_flag=True, help="Clean up all projects, not only this one.")
@json_option
def clean(*, dry_run: bool, kept: bool, images: bool, all_projects: bool, as_json: bool) -> None:
    """Remove what test runs left behind when their process died.

    That includes cached volumes on the engine whose cache directory was deleted.

    Also shows the stacks that dockwright started for this project (with --all-projects, for any
    project). Never removes what belongs to a running process, or a long-lived stack ('dockwright
    stack').

    Images that were built for test stacks stay, because the next run starts faster with them, until
    a build replaces them; --images removes them.
    """
    engine = current_engine()
    keeper = RetainedStacks(state_directory() / "kept")
    everything = survey(engine, keeper)
    here = project_hash(project_root(Path.cwd()))
    shown = [owned for owned in everything if all_projects or owned.ownership.project == here]
    doomed = [owned for owned in shown if owned.removable and (kept or not owned.kept)]
    built = BuiltImages.find(engine, None if all_projects else _compose_projects())
    gone = len(built.superseded) + (len(built.named) if images else 0)
    if not as_json:
        _show(shown, doomed)
    if not dry_run:
        remove(engine, doomed, keeper)
        Workspace.reap(state_directory())
        _remove_worlds()
        _remove_frozen(engine)
        gone = built.remove(engine, named=images)
    if as_json:
        print_json([_document(owned, doomed, dry_run=dry_run) for owned in shown])
    else:
        note(_outcome(doomed, dry_run=dry_run))
        _note_images(built, gone, named=images, dry_run=dry_run)
        _note_kept([owned for owned in shown if owned.removable and owned not in doomed])
        _note_others([owned for owned in everything if owned.removable and owned not in shown])


def _compose_projects() -> set[str]:
    """Return the names of the Compose projects that the suite of this directory declares."""
    found: set[str] = set()
    with suppress(DockwrightError):  # settings that are wrong stop a run, not this command
        settings = project_settings(project_root(Path.cwd()), engine_url())
        for name in (DEFAULT_STACK, *settings.stacks):
            with suppress(DockwrightError):  # there is no such file, or it cannot be read
                found.add(locate(load_options(settings, name, os.environ)).name)
    return found


def _remove_worlds() -> None:
    """Remove what killed runs of ``dockwright isolate`` left; all that can be left is dead."""
    from dockwright.isolate import remove_dead_worlds

    if number := remove_dead_worlds():
        note(f"removed {counted(number, 'world')} of killed workers")


def _remove_frozen(engine: Engine) -> None:
    """Remove frozen volumes whose baseline is gone, such as those of a deleted cache directory."""
    store = BaselineStore(baselines_directory(os.environ))
    if number := FrozenVolumes(engine, store).sweep():
        note(f"removed {counted(number, 'frozen volume')} of baselines that are gone")


def _state(owned: OwnedResources) -> str:
    if owned.long_lived:
        return "long-lived"
    if owned.alive:
        return "alive"
    return "kept" if owned.kept else "dead"


def _owner(owned: OwnedResources) -> str:
    return f"pid {owned.ownership.owner.pid}" if owned.ownership.owner else "-"


def _show(shown: Sequence[OwnedResources], doomed: Sequence[OwnedResources]) -> None:
    if not shown:
        return
    counts = (part.upper() for part in _PARTS)
    headers = ("PROJECT", "STACK", "OWNER", "STATE", "AGE", *counts, "ACTION")
    rows = [
        (
            owned.project,
            owned.ownership.stack,
            _owner(owned),
            _state(owned),
            age(owned.age_s()),
            *(str(owned.counts()[part]) for part in _PARTS),
            "remove" if owned in doomed else "keep",
        )
        for owned in shown
    ]
    print_table(headers, rows)


def _document(
    owned: OwnedResources, doomed: Sequence[OwnedResources], *, dry_run: bool
) -> dict[str, object]:
    owner = owned.ownership.owner
    return {
        "project": owned.project,
        "stack": owned.ownership.stack,
        "owner_pid": owner.pid if owner else None,
        "state": _state(owned),
        "age_s": round(owned.age_s(), 1),
        **owned.counts(),
        "selected": owned in doomed,
        "removed": owned in doomed and not dry_run,
    }


def _outcome(doomed: Sequence[OwnedResources], *, dry_run: bool) -> str:
    if not doomed:
        return "nothing to remove"
    totals = ", ".join(
        counted(number, part[:-1].removesuffix("e") if part == "processes" else part[:-1], part)
        for part in _PARTS
        if (number := sum(owned.counts()[part] for owned in doomed))
    )
    return f"{'would remove' if dry_run else 'removed'} {totals}"


def _note_images(built: BuiltImages, gone: int, *, named: bool, dry_run: bool) -> None:
    if gone:
        done = "would remove" if dry_run else "removed"
        note(f"{done} {counted(gone, 'image')} built for test stacks")
    if built.named and not named:
        note(
            f"{counted(len(built.named), 'image')} built for test stacks "
            f"({format_size(built.size_bytes)}) kept for the next run; remove with "
            "`dockwright clean --images`"
        )


def _note_kept(kept: Sequence[OwnedResources]) -> None:
    stacks = [owned for owned in kept if owned.journal is None]
    resources = len(kept) - len(stacks)
    remedy = "remove with `dockwright clean --kept`"
    if stacks:
        note(f"{counted(len(stacks), 'kept stack')} left; {remedy}")
    if resources:
        note(f"{counted(resources, 'kept resource')} of failed tests left; {remedy}")


def _note_others(others: Sequence[OwnedResources]) -> None:
    if others:
        text = counted(len(others), "copy", "copies")
        note(f"{text} of other projects left; remove with `dockwright clean --all-projects`")
