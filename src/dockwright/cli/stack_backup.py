"""``dockwright stack backup``: write the stack's data, spec and configuration into one archive."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import click

from dockwright._text import counted, format_size
from dockwright.cli._engine import current_engine
from dockwright.cli._interrupt import interruptible
from dockwright.cli._options import compose_options, current_home
from dockwright.cli._output import note, print_json
from dockwright.cli._transfer import transfer_shown
from dockwright.errors import UsageError
from dockwright.lifecycle import GZIP, ZSTD, BackupTarget, Manifest, back_up, changing
from dockwright.model import StackSpec

_SUFFIXES = {".tar.zst": ZSTD, ".tzst": ZSTD, ".tar.gz": GZIP, ".tgz": GZIP}
_OTHER_ARCHIVES = (".tar", ".zip", ".bz2", ".xz", ".7z", ".zst", ".gz")


@click.command(
    epilog="""\b
Examples:
  dockwright stack backup                         NAME-20260131T080000.tar.zst in this directory
  dockwright stack backup -o /backups/            the same, in that directory
  dockwright stack backup -o shop.tar.gz          with gzip
  dockwright stack backup -o shop-backup          a directory with a file for each volume
  dockwright stack backup -p shop -o a.tar.zst --force --json
"""
)
@compose_options
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="Where to write it: NAME.tar.zst, NAME.tar.gz, or a directory.  [default: the project's "
    "name and the time, .tar.zst, in this directory]",
)
@click.option("--force", is_flag=True, help="Replace what is at --output.")
@click.option("--json", "as_json", is_flag=True, help="Print what the backup holds, as JSON.")
def backup(spec: StackSpec, output: Path | None, *, force: bool, as_json: bool) -> None:
    """Write a backup: the volumes, the project, the images' digests and the configuration.

    A running stack is paused while its volumes are read, so that all are of one moment. The
    backup appears whole or not at all, readable by its owner only. What containers write outside
    of volumes, bind mounts and external volumes are not part of it.
    """
    began = time.monotonic()
    target = _target(output, spec.name, force=force)
    config = current_home().directory
    engine = current_engine()
    with changing(spec, engine, what="backup", tell=note) as stack, transfer_shown() as progress:
        manifest = interruptible(
            partial(back_up, stack, target, progress, config=config),
            progress.cancel,
            doing="letting the stack go on, and removing what was written",
        )
        names = stack.names
        external = [key for key in names.declared("volumes") if names.is_external("volumes", key)]
    if as_json:
        print_json({"path": str(target.path), **manifest.document()})
        return
    _tell(target.path, manifest, time.monotonic() - began)
    for key in external:
        note(f"volume {key} is external: it is not part of the backup")


def _target(output: Path | None, project: str, *, force: bool) -> BackupTarget:
    name = f"{project}-{time.strftime('%Y%m%dT%H%M%S')}.tar.zst"
    if output is None:
        return BackupTarget(Path.cwd() / name, replace=force)
    path = output.absolute()
    if output.is_dir() and not (force and (output / "manifest.json").exists()):
        return BackupTarget(path / name, replace=force)
    for suffix, codec in _SUFFIXES.items():
        if path.name.endswith(suffix):
            return BackupTarget(path, codec, replace=force)
    if path.name.endswith(_OTHER_ARCHIVES):
        raise UsageError(
            f"{output}: a backup is .tar.zst, .tar.gz or a directory",
            hint="a name without such an ending makes a directory",
        )
    return BackupTarget(path, single=False, replace=force)


def _tell(path: Path, manifest: Manifest, seconds: float) -> None:
    rate = manifest.size / max(seconds, 0.001)
    note(
        f"{manifest.project}: {counted(len(manifest.volumes), 'volume')}, "
        f"{format_size(manifest.size)} in {seconds:.1f} s ({format_size(int(rate))}/s), "
        f"stored as {format_size(manifest.stored)}"
    )
    click.echo(str(path))
