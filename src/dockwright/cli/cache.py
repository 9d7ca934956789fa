"""``dockwright cache``: show and remove the baselines that are kept for later runs."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

import click

from dockwright._text import age, counted, format_size
from dockwright.cache import BaselineStore, Stored
from dockwright.cli.options import json_option, older_than_s
from dockwright.cli.output import note, print_json, print_table
from dockwright.errors import UsageError
from dockwright.paths import baselines_directory

_SHOWN_KEY = 12


@click.group()
def cache() -> None:
    """Show and remove baselines that are kept for later runs.

    What a stack's first start initialised (initdb, init files, migrations) is kept by content key
    and poured into the volumes of later copies. Entries go by themselves: those unused for 30 days,
    and the least recently used ones beyond 5 GB. DOCKWRIGHT_CACHE_DIR says where they are kept.
    """


@cache.command(
    epilog="""\b
Examples:
  dockwright cache ls          one line for each baseline, the last used first
  dockwright cache ls --json   with everything that its key was made from
"""
)
@json_option
def ls(*, as_json: bool) -> None:
    """List the kept baselines."""
    store = _store()
    entries = store.entries()
    if as_json:
        print_json([_document(each) for each in entries])
        return
    if entries:
        print_table(("KEY", "STACK", "SIZE", "VOLUMES", "START", "AGE", "USED"), _rows(entries))
    total = sum(each.manifest.stored_bytes for each in entries)
    note(f"{counted(len(entries), 'baseline')}, {format_size(total)}, in {store.directory}")


@cache.command(
    epilog="""\b
Examples:
  dockwright cache clear                    remove all
  dockwright cache clear 1fa4767366b1       remove this one
  dockwright cache clear --older-than 7d    remove what was not used for a week
"""
)
@click.argument("keys", metavar="[KEY]...", nargs=-1)
@click.option("--older-than", metavar="AGE", help="Only those not used for so long: 12h, 7d.")
def clear(*, keys: tuple[str, ...], older_than: str | None) -> None:
    """Remove kept baselines: all, or those whose keys begin with KEY.

    The next run initialises its stacks again and keeps what it gets.
    """
    store = _store()
    unused_s = older_than_s(older_than) if older_than else 0.0
    chosen = [
        each for each in _chosen(store.entries(), keys) if time.time() - each.used >= unused_s
    ]
    stay = store.remove([each.manifest.key for each in chosen])
    gone = [each for each in chosen if each.manifest.key not in stay]
    freed = sum(each.manifest.stored_bytes for each in gone)
    note(f"removed {counted(len(gone), 'baseline')}, {format_size(freed)}")
    if stay:
        note(f"{counted(len(stay), 'baseline')} left: a stack is being started from it")


def _store() -> BaselineStore:
    return BaselineStore(baselines_directory(os.environ))


def _chosen(entries: Sequence[Stored], keys: Sequence[str]) -> list[Stored]:
    for key in keys:
        if not any(each.manifest.key.startswith(key) for each in entries):
            raise UsageError(
                f"no baseline has a key that begins with {key!r}",
                hint="`dockwright cache ls` shows the keys",
            )
    prefixes = tuple(keys) or ("",)
    return [each for each in entries if each.manifest.key.startswith(prefixes)]


def _rows(entries: Sequence[Stored]) -> list[tuple[str, ...]]:
    now = time.time()
    return [
        (
            each.manifest.key[:_SHOWN_KEY],
            each.manifest.stack,
            format_size(each.manifest.stored_bytes),
            ", ".join(f"{part.service}:{part.target}" for part in each.manifest.parts),
            f"{each.manifest.start_s:.1f} s",
            age(now - each.manifest.created),
            age(now - each.used),
        )
        for each in entries
    ]


def _document(stored: Stored) -> dict[str, object]:
    manifest = stored.manifest
    return {
        "key": manifest.key,
        "stack": manifest.stack,
        "stored_bytes": manifest.stored_bytes,
        "start_s": manifest.start_s,
        "created": manifest.created,
        "used": stored.used,
        "directory": str(stored.directory),
        "inputs": dict(manifest.inputs),
        "volumes": [
            {
                "service": part.service,
                "target": part.target,
                "tar_bytes": part.tar_bytes,
                "stored_bytes": part.stored_bytes,
            }
            for part in manifest.parts
        ],
    }
