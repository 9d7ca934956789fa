"""``dockwright stack uninstall``: remove the long-lived stack."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click

from dockwright._text import counted
from dockwright.cli.errors import interruptible
from dockwright.cli.options import (
    completed,
    current_engine,
    current_home,
    from_home,
    given_options,
    located,
)
from dockwright.cli.output import confirmed, note, print_table
from dockwright.compose import LoadOptions, load
from dockwright.errors import ComposeError
from dockwright.managed import (
    ConfigHome,
    Scope,
    bare_spec,
    belongings,
    locked_stack,
    uninstall_stack,
)
from dockwright.model import StackSpec
from dockwright.stack import COMPOSE_PROJECT


@click.command(
    epilog="""\b
Examples:
  dockwright stack uninstall                     remove containers and networks; ask first
  dockwright stack uninstall --volumes           also remove the data
  dockwright stack uninstall --all --force       remove everything without asking
  dockwright stack uninstall -p shop --config    also remove the settings and secrets of shop
"""
)
@given_options
@click.option("--volumes", is_flag=True, help="Also remove the volumes and all their data.")
@click.option(
    "--images", is_flag=True, help="Also remove images that only this stack needed and uses."
)
@click.option("--config", is_flag=True, help="Also remove the settings and secrets.")
@click.option("--all", "everything", is_flag=True, help="Same as --volumes --images --config.")
@click.option("--force", is_flag=True, help="Remove without asking.")
@click.pass_context
def uninstall(
    ctx: click.Context,
    options: LoadOptions,
    base: Path,
    *,
    volumes: bool,
    images: bool,
    config: bool,
    everything: bool,
    force: bool,
) -> None:
    """Remove the stack's containers, networks and native processes; with options also data.

    Only what dockwright created for this stack is removed: images that it pulled or built for the
    stack, and files that 'install' wrote to the config directory. External networks and volumes are
    kept.
    """
    scope = Scope(volumes or everything, images or everything, config or everything)
    spec, home = _project(options, base)
    with locked_stack(spec, current_engine(), what="uninstall", notify=note) as stack:
        found = belongings(stack, home)
        doomed = found.listed(scope)
        if doomed:
            print_table(("REMOVE", "NAME"), doomed)
            if not force and not _may_remove(spec.name):
                note("nothing was removed")
                ctx.exit(1)
            foreign = interruptible(
                partial(uninstall_stack, stack, home, found, scope),
                lambda: None,  # a removal is finished: half of one is of no use
                doing="finishing the removal",
            )
            note(f"removed {counted(len(doomed), 'item')} of {spec.name}")
            for path in foreign:
                note(f"kept {path}: dockwright did not create it")
        else:
            note(f"nothing to remove: stack {spec.name} does not exist")
    for line in found.left(scope):
        note(line)


def _project(options: LoadOptions, base: Path) -> tuple[StackSpec, ConfigHome]:
    """Return the project, or one with only its name if the project cannot be loaded."""
    try:
        spec = load(completed(options, base))
    except ComposeError as failure:
        spec, home = _bare(options, base)
        note(f"{failure.message}: continuing with what the engine has of {spec.name}")
        return spec, home
    return spec, current_home()


def _bare(options: LoadOptions, base: Path) -> tuple[StackSpec, ConfigHome]:
    installed = from_home(options, base)
    if installed is not None:
        settings, home = installed
        return bare_spec(settings.project, settings.directory), home
    try:
        place = located(options, base)
    except ComposeError:
        name = options.project_name
        if name is None or _has_any(name):
            raise  # without its directory we cannot know that this stack is the right one
        return bare_spec(name, Path.cwd()), ConfigHome.of(base, name)
    return bare_spec(place.name, place.working_dir), ConfigHome.of(base, place.name)


def _has_any(project: str) -> bool:
    """Return whether the engine has anything of a project with this name, whoever created it."""
    engine, labels = current_engine(), {COMPOSE_PROJECT: project}
    return bool(
        engine.list_containers(labels)
        or engine.list_volumes(labels)
        or engine.list_networks(labels)
    )


def _may_remove(project: str) -> bool:
    return confirmed(
        "Remove all of this?",
        refusal=f"uninstall would remove {project}, and cannot ask for confirmation without a "
        "terminal",
        hint="add --force to remove it without asking",
    )
