"""``dockwright stack update``: new images and configuration, with a rollback if that fails."""

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
_WORDS = {"build": "rebuilt"}


@click.command(
    epilog="""\b
Examples:
  dockwright stack update --dry-run      show what would change
  dockwright stack update                update everything
  dockwright stack update web            update web and its dependencies
  dockwright stack update --no-pull      use the images that exist locally
"""
)
@compose_options
@click.argument("services", nargs=-1, metavar="[SERVICE]...")
@click.option("--pull/--no-pull", default=True, help="Pull newer images from their registries.")
@click.option(
    "--remove-orphans",
    "orphaned",
    is_flag=True,
    help="Remove services that are no longer declared.",
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
    """Update services to the newest images and the current configuration.

    Images are pulled or rebuilt. Only services that have changed get a new container; volumes are
    kept. If the new version does not become ready, or you press Ctrl-C, the old containers and
    image names are put back. Changes that the new version made to the data are not undone: make a
    backup first.
    """
    if dry_run:
        stack = long_lived_stack(spec, current_engine())
        shown_changes = preview(stack, _images(stack, services), pull=pull)
        _print([*shown_changes, *_orphans(stack, orphaned)], as_json=as_json)
        _note_builds(shown_changes)
        return
    began = time.monotonic()
    engine = current_engine()
    with locked_stack(spec, engine, what="update", notify=note, timeout_s=timeout_s) as stack:
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


def _note_builds(changes: Sequence[Change]) -> None:
    """Explain that only the build itself shows whether a service changes."""
    built = [change.service for change in changes if change.what == ("build",)]
    if built:
        note(
            f"{', '.join(built)}: always rebuilt, but replaced only if the build gives a "
            "different image"
        )


def _orphans(stack: Stack, removed: bool) -> list[Change]:
    """Return the orphans to remove; print the names of those that are kept."""
    found = orphans(stack)
    if found and not removed:
        names = ", ".join(change.service for change in found)
        note(f"no longer declared, but kept: {names} (use --remove-orphans to remove them)")
        return []
    return found


def _images(stack: Stack, services: Sequence[str]) -> list[str]:
    units = stack.known_with_dependencies(services or stack.known(None))
    return [name for name in units if name in stack.spec.services]


def _print(changes: Sequence[Change], *, as_json: bool) -> None:
    if as_json:
        print_json({"changes": [_document(change) for change in changes]})
        return
    rows = [
        (
            change.service,
            ", ".join(_WORDS.get(what, what) for what in change.what) or "none",
            _short(change.before),
            _short(change.after) or ("known after the build" if "build" in change.what else ""),
        )
        for change in changes
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
