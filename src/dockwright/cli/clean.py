"""``dockwright clean``: show the copies of stacks on the engine, remove what dead owners left."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from dockwright._text import age, counted
from dockwright.cli.options import current_engine, json_option
from dockwright.cli.output import note, print_json, print_table
from dockwright.cli.pytest_settings import project_root
from dockwright.paths import project_hash, state_directory
from dockwright.pool import OwnedResources, RetainedStacks, Workspace, remove, survey

_PARTS = ("containers", "networks", "volumes", "processes", "images", "files")


@click.command(
    epilog="""\b
Examples:
  dockwright clean --dry-run        show what is there and what would go
  dockwright clean                  remove what this project's dead runs left
  dockwright clean --kept           also stacks kept by --dockwright-keep-failed
  dockwright clean --all-projects   what dead runs of any project left
"""
)
@click.option("--dry-run", is_flag=True, help="Remove nothing; show what would be removed.")
@click.option("--kept", is_flag=True, help="Also remove stacks kept after a failed test.")
@click.option("--all-projects", is_flag=True, help="Of all projects, not only of this one.")
@json_option
def clean(*, dry_run: bool, kept: bool, all_projects: bool, as_json: bool) -> None:
    """Remove what test runs left whose process has died.

    Shows the copies of stacks that dockwright made for this project, of all projects with
    --all-projects. What belongs to a process that lives, or is a long-lived stack ('dockwright
    stack'), is never removed.
    """
    engine = current_engine()
    keeper = RetainedStacks(state_directory() / "kept")
    everything = survey(engine, keeper)
    here = project_hash(project_root(Path.cwd()))
    estates = [each for each in everything if all_projects or each.ownership.project == here]
    doomed = [each for each in estates if each.removable and (kept or not each.kept)]
    if not as_json:
        _show(estates, doomed)
    if not dry_run:
        remove(engine, doomed, keeper)
        Workspace.reap(state_directory())
    if as_json:
        print_json([_document(each, doomed, dry_run=dry_run) for each in estates])
    else:
        note(_outcome(doomed, dry_run=dry_run))
        _note_kept([each for each in estates if each.removable and each not in doomed])
        _note_others([each for each in everything if each.removable and each not in estates])


def _state(estate: OwnedResources) -> str:
    if estate.long_lived:
        return "long-lived"
    if estate.alive:
        return "alive"
    return "kept" if estate.kept else "dead"


def _owner(estate: OwnedResources) -> str:
    return f"pid {estate.ownership.owner.pid}" if estate.ownership.owner else "-"


def _show(estates: Sequence[OwnedResources], doomed: Sequence[OwnedResources]) -> None:
    if not estates:
        return
    headers = ("PROJECT", "STACK", "OWNER", "STATE", "AGE", *(part.upper() for part in _PARTS), "")
    rows = [
        (
            estate.project,
            estate.ownership.stack,
            _owner(estate),
            _state(estate),
            age(estate.age_s()),
            *(str(estate.counts()[part]) for part in _PARTS),
            "goes" if estate in doomed else "stays",
        )
        for estate in estates
    ]
    print_table(headers, rows)


def _document(
    estate: OwnedResources, doomed: Sequence[OwnedResources], *, dry_run: bool
) -> dict[str, object]:
    owner = estate.ownership.owner
    return {
        "project": estate.project,
        "stack": estate.ownership.stack,
        "owner_pid": owner.pid if owner else None,
        "state": _state(estate),
        "age_s": round(estate.age_s(), 1),
        **estate.counts(),
        "selected": estate in doomed,
        "removed": estate in doomed and not dry_run,
    }


def _outcome(doomed: Sequence[OwnedResources], *, dry_run: bool) -> str:
    if not doomed:
        return "nothing to remove: no dead run of this project left anything"
    totals = ", ".join(
        counted(number, part[:-1].removesuffix("e") if part == "processes" else part[:-1], part)
        for part in _PARTS
        if (number := sum(estate.counts()[part] for estate in doomed))
    )
    return f"{'would remove' if dry_run else 'removed'} {totals}"


def _note_kept(kept: Sequence[OwnedResources]) -> None:
    stacks = [estate for estate in kept if estate.journal is None]
    resources = len(kept) - len(stacks)
    if stacks:
        note(f"{counted(len(stacks), 'kept stack')} left: dockwright clean --kept")
    if resources:
        note(f"{counted(resources, 'kept resource')} of failed tests left: dockwright clean --kept")


def _note_others(others: Sequence[OwnedResources]) -> None:
    if others:
        text = counted(len(others), "copy", "copies")
        note(f"{text} of other projects left: add --all-projects")
