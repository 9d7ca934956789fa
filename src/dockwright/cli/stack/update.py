"""``dockwright stack update``: new images and configuration, or the old ones back."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial

import click

from dockwright._text import counted
from dockwright.cli.errors import interruptible
from dockwright.cli.options import (
    compose_options,
    current_engine,
    json_option,
    running_units,
    timeout_option,
)
from dockwright.cli.output import note, print_json, print_table
from dockwright.cli.progress import shown
from dockwright.managed import (
    Change,
    locked_stack,
    long_lived_stack,
    orphans,
    preview,
    update_stack,
)
from dockwright.model import StackSpec
from dockwright.stack import Stack

_HEADERS = ("SERVICE", "CHANGE", "FROM", "TO")
_DIGEST = 12
_WORDS = {"build": "built again"}


@click.command(
    epilog="""\b
Examples:
  dockwright stack update --dry-run      what would change, by image digest
  dockwright stack update                everything
  dockwright stack update web            web, and what it depends on
  dockwright stack update --no-pull      with the images that the engine has
"""
)
@compose_options
@click.argument("services", nargs=-1, metavar="[SERVICE]...")
@click.option("--pull/--no-pull", default=True, help="Look for newer images in their registries.")
@click.option(
    "--remove-orphans", "orphaned", is_flag=True, help="Remove services that are not declared now."
)
@click.option("--dry-run", is_flag=True, help="Only show what would change.")
@json_option
@timeout_option
def update(
    spec: StackSpec,
    services: tuple[str, ...],
    *,
    pull: bool,
    orphaned: bool,
    dry_run: bool,
    as_json: bool,
    timeout_s: float,
) -> None:
    """Bring services to their newest images and configuration, and wait until all is ready.

    Images are pulled, or built anew. Only services that have changed get a new container; volumes
    stay. If the new version does not become ready, or Ctrl-C ends it, the old containers and image
    names are put back. What new code did to the data by then is not undone: take a backup first.
    """
    if dry_run:
        stack = long_lived_stack(spec, current_engine())
        shown_changes = preview(stack, _images(stack, services), pull=pull)
        _print([*shown_changes, *_orphans(stack, orphaned)], as_json=as_json)
        _tell_of_builds(shown_changes)
        return
    began = time.monotonic()
    engine = current_engine()
    with locked_stack(spec, engine, what="update", tell=note, timeout_s=timeout_s) as stack:
        units = stack.known_with_dependencies(services or stack.known(None))
        gone = _orphans(stack, orphaned)
        with shown(units, running_units(stack)) as listener:
            changes = interruptible(
                partial(
                    update_stack,
                    stack,
                    units,
                    pull=pull,
                    listener=listener,
                    remove_orphans=orphaned,
                ),
                stack.cancel,
                doing="putting the old version back",
            )
        changes += gone
    if as_json:
        _print(changes, as_json=True)
    elif changes:
        _print(changes, as_json=False)
        taken = time.monotonic() - began
        note(f"updated {counted(len(changes), 'service')} of {spec.name} in {taken:.1f} s")
    else:
        note(f"{spec.name} is up to date")


def _tell_of_builds(changes: Sequence[Change]) -> None:
    """Say that a build decides only when it runs whether a service changes."""
    built = [each.service for each in changes if each.what == ("build",)]
    if built:
        note(
            f"{', '.join(built)}: built again in any case, and replaced only if that gives "
            "another image"
        )


def _orphans(stack: Stack, removed: bool) -> list[Change]:
    """Return the orphans that are removed; tell of those that stay."""
    found = orphans(stack)
    if found and not removed:
        names = ", ".join(each.service for each in found)
        note(f"not declared now, and left alone: {names} (--remove-orphans removes them)")
        return []
    return found


def _images(stack: Stack, services: Sequence[str]) -> list[str]:
    units = stack.known_with_dependencies(services or stack.known(None))
    return [name for name in units if name in stack.spec.services]


def _print(changes: Sequence[Change], *, as_json: bool) -> None:
    if as_json:
        print_json({"changes": [_document(each) for each in changes]})
        return
    rows = [
        (
            each.service,
            ", ".join(_WORDS.get(what, what) for what in each.what) or "none",
            _short(each.before),
            _short(each.after) or ("known after the build" if "build" in each.what else ""),
        )
        for each in changes
    ]
    print_table(_HEADERS, rows)


def _document(change: Change) -> dict[str, object]:
    return {
        "service": change.service,
        "what": list(change.what),
        "from": change.before or None,
        "to": change.after or None,
    }


def _short(image: str) -> str:
    return image.removeprefix("sha256:")[:_DIGEST]
