"""``dockwright stack uninstall``: remove the long-lived stack."""

from __future__ import annotations

import sys
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
from dockwright.cli.output import note, print_table
from dockwright.compose import LoadOptions, load
from dockwright.errors import ComposeError, UsageError
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
  dockwright stack uninstall                     containers and networks; asks first
  dockwright stack uninstall --volumes           also the data
  dockwright stack uninstall --all --force       everything, without asking, for scripts
  dockwright stack uninstall -p shop --config    also settings and secrets, from anywhere
"""
)
@given_options
@click.option("--volumes", is_flag=True, help="Also remove the volumes: the data is lost.")
@click.option(
    "--images", is_flag=True, help="Also remove images that were got for it and only it uses."
)
@click.option("--config", is_flag=True, help="Also remove its settings and secrets.")
@click.option("--all", "everything", is_flag=True, help="All of these.")
@click.option("--force", is_flag=True, help="Do not ask.")
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
    """Remove the stack's containers, networks and native processes, and more where asked for.

    Only what dockwright made for this stack goes: of images those that it pulled or built for it,
    of the config directory what 'install' wrote. External networks and volumes stay.
    """
    scope = Scope(volumes or everything, images or everything, config or everything)
    spec, home = _project(options, base)
    with locked_stack(spec, current_engine(), what="uninstall", tell=note) as stack:
        found = belongings(stack, home)
        doomed = found.listed(scope)
        if doomed:
            print_table(("WHAT GOES", "NAME"), doomed)
            if not force and not _confirmed(spec.name):
                note("nothing was removed")
                ctx.exit(1)
            foreign = interruptible(
                partial(uninstall_stack, stack, home, found, scope),
                lambda: None,  # half a removal helps nobody
                doing="finishing the removal",
            )
            note(f"removed {counted(len(doomed), 'thing')} of {spec.name}")
            for path in foreign:
                note(f"{path} stays: it is not dockwright's")
        else:
            note(f"nothing to remove: there is no stack {spec.name}")
    for line in found.left(scope):
        note(line)


def _project(options: LoadOptions, base: Path) -> tuple[StackSpec, ConfigHome]:
    """Return the project; where it cannot be loaded (any more), a bare one of its name."""
    try:
        spec = load(completed(options, base))
    except ComposeError as failure:
        spec, home = _bare(options, base)
        note(f"{failure.message}: going on with what the engine has of {spec.name}")
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
            raise  # whose directory it is cannot be told from here
        return bare_spec(name, Path.cwd()), ConfigHome.of(base, name)
    return bare_spec(place.name, place.working_dir), ConfigHome.of(base, place.name)


def _has_any(project: str) -> bool:
    """Tell whether the engine has anything of a project of this name, whoever made it."""
    engine, labels = current_engine(), {COMPOSE_PROJECT: project}
    return bool(
        engine.list_containers(labels)
        or engine.list_volumes(labels)
        or engine.list_networks(labels)
    )


def _confirmed(project: str) -> bool:
    if not sys.stdin.isatty():
        raise UsageError(
            f"uninstall asks before it removes {project}, and here is no terminal",
            hint="add --force to remove without asking",
        )
    return click.confirm("Remove all of this?", err=True)
