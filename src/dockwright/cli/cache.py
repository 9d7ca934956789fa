"""``dockwright cache``: list, remove and move baselines, builds and results of tests."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dockwright._text import age, counted, duration, format_size
from dockwright.cache import (
    BaselineStore,
    Builds,
    FileDigests,
    FrozenVolumes,
    Savings,
    Stored,
    Total,
)
from dockwright.cli.options import current_engine, json_option, older_than_s, root_option
from dockwright.cli.output import note, print_json, print_table
from dockwright.errors import DockwrightError, UsageError
from dockwright.paths import (
    baselines_directory,
    builds_directory,
    project_hash,
    results_directory,
)

if TYPE_CHECKING:
    from dockwright.results import ResultStore

_SHOWN_KEY = 12


@click.group()
def cache() -> None:
    """List, remove and move what is cached for later runs: baselines, builds, results of tests.

    The data that a stack's first start initialises (initdb, init files, migrations) is stored under
    a key of its inputs. Later copies start from it: the volumes of a copy are thin layers above
    frozen volumes on the engine, or are filled where the engine has no such layers. Entries that
    were not used for 30 days are removed automatically, and so are the least recently used ones
    beyond 5 GB, frozen volumes included. Set DOCKWRIGHT_CACHE_DIR to store them elsewhere.

    Beside them is noted which image each build gave, so that it is not repeated while nothing that
    the image is made from has changed; and the results of tests that --dockwright-results=use
    reuses, at most 200 MB of each project.
    """


@cache.command(
    epilog="""\b
Examples:
  dockwright cache ls          one line for each baseline, most recently used first, and for
                               each kind how often it was used and what that saved
  dockwright cache ls --json   with all inputs of each key
"""
)
@json_option
def ls(*, as_json: bool) -> None:
    """List the cached baselines, and what they, builds and results of tests have saved."""
    store, builds = _store(), _builds()
    entries, results = store.entries(), _results()
    used, skipped = Savings(store.directory).total(), Savings(builds.directory).total()
    if as_json:
        kinds = (("baselines", used, store.directory), ("builds", skipped, builds.directory))
        totals = [_total_document(*each) for each in kinds if each[1].hits]
        print_json([*map(_document, entries), *totals, *map(_results_document, results)])
        return
    if entries:
        print_table(("KEY", "STACK", "SIZE", "VOLUMES", "START", "AGE", "USED"), _rows(entries))
    total = sum(entry.size_bytes for entry in entries)
    frozen = sum(entry.frozen_bytes for entry in entries)
    on_engine = f" ({format_size(frozen)} of it in volumes on the engine)" if frozen else ""
    note(
        f"{counted(len(entries), 'baseline')}, {format_size(total)}{on_engine}, "
        f"{_saved('used', used)}in {store.directory}"
    )
    if known := builds.count():
        note(f"{counted(known, 'build')}, {_saved('skipped', skipped)}in {builds.directory}")
    for found in results:
        sizes = [status.st_size for _, status in found.files()]
        note(
            f"{counted(len(sizes), 'result')} of tests, {format_size(sum(sizes))}, "
            f"{_saved('reused', found.savings.total())}in {found.directory}"
        )


def _saved(word: str, total: Total) -> str:
    """Return how often something was used and what that saved; empty: it was never used."""
    if not total.hits:
        return ""
    return f"{word} {counted(total.hits, 'time')}, {duration(total.saved_s)} saved, "


@cache.command(
    epilog="""\b
Examples:
  dockwright cache clear                    remove all baselines and results
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

    The next run initialises its stacks again and caches the result. Without KEY, the notes about
    builds and the saved results of tests are removed as well, and the next run builds these images
    and runs these tests.
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
    if not keys and (removed := _builds().clear(unused_s)):
        note(f"removed {counted(removed, 'build')}")
    if not keys and (removed := sum(each.clear(unused_s) for each in _results())):
        note(f"removed {counted(removed, 'result')} of tests")


@cache.command(
    epilog="""\b
Examples:
  dockwright cache export results.tar.gz                     on the machine where the tests ran
  dockwright cache import results.tar.gz                     on another one
  pytest --dockwright-results=use                            reuses what holds there as well
"""
)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@root_option
def export(file: Path, root: Path) -> None:
    """Write the saved results of this project's tests into FILE, a tar.gz, for another machine."""
    store = _results_of(root)
    with file.open("wb") as stream:
        count = store.export(stream)
    note(f"wrote {counted(count, 'result')} to {file}, {format_size(file.stat().st_size)}")


@cache.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@root_option
def import_(file: Path, root: Path) -> None:
    """Add the results in FILE to those of this project's tests.

    Of two results of a test the later one stays. A result is reused only where all that the test
    depends on is the same: code, stacks, the engine's version, Python, distributions. It says that
    a test passed: import only files of machines that you trust.
    """
    with file.open("rb") as stream:
        new, bad = _results_of(root).merge(stream)
    left_out = f"; {counted(bad, 'damaged entry', 'damaged entries')} left out" if bad else ""
    note(f"added {counted(new, 'result')}{left_out}")


def _results_of(root: Path) -> ResultStore:
    from dockwright.results import ResultStore

    return ResultStore(results_directory(os.environ, project_hash(root)))


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


def _builds() -> Builds:
    return Builds(builds_directory(os.environ), FileDigests())


def _results() -> list[ResultStore]:
    """Return where results of tests are saved, one directory for each project."""
    from dockwright.results import ResultStore

    place = results_directory(os.environ, "any").parent
    return [ResultStore(each) for each in sorted(place.glob("*")) if each.is_dir()]


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


def _results_document(store: ResultStore) -> dict[str, object]:
    hits, saved_s = store.savings.total()
    found = [status for _, status in store.files()]
    return {
        "kind": "results",
        "key": store.directory.name,
        "results": len(found),
        "stored_bytes": sum(status.st_size for status in found),
        "used": max((status.st_mtime for status in found), default=0.0),
        "hits": hits,
        "saved_s": round(saved_s, 3),
        "directory": str(store.directory),
    }


def _total_document(kind: str, total: Total, directory: Path) -> dict[str, object]:
    return {
        "kind": kind,
        "hits": total.hits,
        "saved_s": round(total.saved_s, 3),
        "directory": str(directory),
    }


def _document(stored: Stored) -> dict[str, object]:
    manifest = stored.manifest
    return {
        "kind": "baseline",
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
