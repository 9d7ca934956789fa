"""``dockwright cache``: list and remove cached baselines."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

import click

from dockwright._text import age, counted, format_size
from dockwright.cache import BaselineStore, FrozenVolumes, Stored
from dockwright.cli.options import current_engine, json_option, older_than_s
from dockwright.cli.output import note, print_json, print_table
from dockwright.errors import DockwrightError, UsageError
from dockwright.paths import baselines_directory

_SHOWN_KEY = 12


@click.group()
def cache() -> None:
    """List and remove baselines that are cached for later runs.

    The data that a stack's first start initialises (initdb, init files, migrations) is stored under
    a key of its inputs. Later copies start from it: the volumes of a copy are thin layers above
    frozen volumes on the engine, or are filled where the engine has no such layers. Entries that
    were not used for 30 days are removed automatically, and so are the least recently used ones
    beyond 5 GB, frozen volumes included. Set DOCKWRIGHT_CACHE_DIR to store them elsewhere.
    """


@cache.command(
    epilog="""\b
Examples:
  dockwright cache ls          one line for each baseline, most recently used first
  dockwright cache ls --json   with all inputs of each key
"""
)
@json_option
def ls(*, as_json: bool) -> None:
    """List the cached baselines."""
    store = _store()
    entries = store.entries()
    if as_json:
        print_json([_document(entry) for entry in entries])
        return
    if entries:
        print_table(("KEY", "STACK", "SIZE", "VOLUMES", "START", "AGE", "USED"), _rows(entries))
    total = sum(entry.size_bytes for entry in entries)
    frozen = sum(entry.frozen_bytes for entry in entries)
    on_engine = f" ({format_size(frozen)} of it in volumes on the engine)" if frozen else ""
    note(
        f"{counted(len(entries), 'baseline')}, {format_size(total)}{on_engine}, "
        f"in {store.directory}"
    )


@cache.command(
    epilog="""\b
Examples:
  dockwright cache clear                    remove all baselines
  dockwright cache clear 1fa4767366b1       remove this one
  dockwright cache clear --older-than 7d    remove those not used for a week
"""
)
@click.argument("keys", metavar="[KEY]...", nargs=-1)
@click.option(
    "--older-than", metavar="AGE", help="Only baselines not used for this long, such as 12h or 7d."
)
def clear(*, keys: tuple[str, ...], older_than: str | None) -> None:
    """Remove cached baselines: all of them, or those whose key starts with KEY.

    The next run initialises its stacks again and caches the result.
    """
    store = _store()
    unused_s = older_than_s(older_than) if older_than else 0.0
    chosen = [
        entry for entry in _chosen(store.entries(), keys) if time.time() - entry.used >= unused_s
    ]
    sizes = {entry.manifest.key: entry.size_bytes for entry in chosen}
    frozen = any(entry.frozen_bytes for entry in chosen)
    in_use = store.remove([entry.manifest.key for entry in chosen])
    gone = [entry for entry in chosen if entry.manifest.key not in in_use]
    freed = sum(sizes[entry.manifest.key] for entry in gone)
    note(f"removed {counted(len(gone), 'baseline')}, {format_size(freed)}")
    if in_use:
        note(f"kept {counted(len(in_use), 'baseline')}: in use by the start of a stack")
    if frozen:
        _remove_frozen(store)


def _remove_frozen(store: BaselineStore) -> None:
    """Remove the volumes on the engine that belonged to entries that are gone."""
    try:
        FrozenVolumes(current_engine(), store).sweep()
    except DockwrightError as failure:
        note(
            "the frozen volumes stay on the engine, which does not answer; "
            f"the next run there removes them: {failure.message}"
        )


def _store() -> BaselineStore:
    return BaselineStore(baselines_directory(os.environ))


def _chosen(entries: Sequence[Stored], keys: Sequence[str]) -> list[Stored]:
    for key in keys:
        if not any(entry.manifest.key.startswith(key) for entry in entries):
            raise UsageError(
                f"no baseline has a key that starts with {key!r}",
                hint="`dockwright cache ls` lists the keys",
            )
    prefixes = tuple(keys) or ("",)
    return [entry for entry in entries if entry.manifest.key.startswith(prefixes)]


def _rows(entries: Sequence[Stored]) -> list[tuple[str, ...]]:
    now = time.time()
    return [
        (
            entry.manifest.key[:_SHOWN_KEY],
            entry.manifest.stack,
            format_size(entry.size_bytes),
            ", ".join(f"{part.service}:{part.target}" for part in entry.manifest.parts),
            f"{entry.manifest.start_s:.1f} s",
            age(now - entry.manifest.created),
            age(now - entry.used),
        )
        for entry in entries
    ]


def _document(stored: Stored) -> dict[str, object]:
    manifest = stored.manifest
    return {
        "key": manifest.key,
        "stack": manifest.stack,
        "stored_bytes": manifest.stored_bytes,
        "frozen_bytes": stored.frozen_bytes,
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
