"""``dockwright stack backup`` and ``restore``."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import click

from dockwright import __version__
from dockwright._text import counted, format_size
from dockwright.cli.errors import interruptible
from dockwright.cli.options import (
    completed,
    compose_options,
    current_engine,
    current_home,
    engine_url,
    from_installed,
    given_options,
    print_warnings,
    timeout_option,
)
from dockwright.cli.output import confirmed, note, print_json
from dockwright.cli.progress import transfer_shown
from dockwright.compose import LoadOptions, load
from dockwright.compose.loading import discover
from dockwright.errors import ComposeError, UsageError
from dockwright.managed import (
    GZIP,
    ZSTD,
    Archive,
    BackupTarget,
    ConfigFiles,
    ConfigHome,
    InstalledSettings,
    Manifest,
    Progress,
    archived_config,
    archived_spec,
    back_up,
    for_archived_spec,
    for_project,
    locked_stack,
    open_archive,
    plan_restore,
    restore_stack,
    secret_values,
    spec_part,
    verify,
)
from dockwright.model import StackSpec
from dockwright.stack import Stack, UnitEvent

_SUFFIXES = {".tar.zst": ZSTD, ".tzst": ZSTD, ".tar.gz": GZIP, ".tgz": GZIP}
_OTHER_ARCHIVES = (".tar", ".zip", ".bz2", ".xz", ".7z", ".zst", ".gz")


@click.command(
    epilog="""\b
Examples:
  dockwright stack backup                         NAME-20260131T080000.tar.zst in this directory
  dockwright stack backup -o /backups/            the same file in that directory
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
    help="Where to write the backup: NAME.tar.zst, NAME.tar.gz, or a directory.  [default: "
    "PROJECT-TIME.tar.zst in this directory]",
)
@click.option("--force", is_flag=True, help="Replace an existing --output.")
@click.option("--json", "as_json", is_flag=True, help="Print the contents of the backup as JSON.")
def backup(spec: StackSpec, output: Path | None, *, force: bool, as_json: bool) -> None:
    """Back up the stack: volumes, project, image digests and configuration.

    A running stack is paused while its volumes are read, so that they all show the same moment. If
    the command fails, it leaves no incomplete backup. Only you can read the backup. It does not
    contain what containers write outside volumes, bind mounts, or external volumes.
    """
    began = time.monotonic()
    target = _target(output, spec.name, force=force)
    config = current_home().directory
    engine = current_engine()
    with (
        locked_stack(spec, engine, what="backup", notify=note) as stack,
        transfer_shown() as progress,
    ):
        manifest = interruptible(
            partial(back_up, stack, target, progress, config=config),
            progress.cancel,
            doing="resuming the stack and removing the incomplete backup",
        )
        external = [key for key, each in spec.section("volumes").items() if each.get("external")]
    if as_json:
        print_json({"path": str(target.path), **manifest.document()})
        return
    _print_result(target.path, manifest, time.monotonic() - began)
    for key in external:
        note(f"volume {key} is external and not part of the backup")


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
            f"{output}: a backup must be a .tar.zst file, a .tar.gz file or a directory",
            hint="a name without such an extension creates a directory",
        )
    return BackupTarget(path, single=False, replace=force)


def _print_result(path: Path, manifest: Manifest, seconds: float) -> None:
    rate = manifest.size / max(seconds, 0.001)
    note(
        f"{manifest.project}: {counted(len(manifest.volumes), 'volume')}, "
        f"{format_size(manifest.size)} in {seconds:.1f} s ({format_size(int(rate))}/s), "
        f"stored as {format_size(manifest.stored)}"
    )
    click.echo(str(path))


@click.command(
    epilog="""\b
Examples:
  dockwright stack restore shop-20260131T080000.tar.zst    ask before replacing data
  dockwright stack restore shop-backup --force             from a directory, without asking
  dockwright stack restore a.tar.zst --verify-only         only verify the backup
  dockwright stack restore a.tar.zst -p shop-2             under another project name
  dockwright stack restore a.tar.zst --from-archive        with the project from the backup
"""
)
@given_options
@click.argument("archive", type=click.Path(path_type=Path))
@click.option("--verify-only", is_flag=True, help="Verify the whole backup; change nothing.")
@click.option("--force", is_flag=True, help="Replace the existing stack without asking.")
@click.option(
    "--start/--no-start",
    "start",
    default=None,
    help="Whether to start the stack afterwards.  [default: the services that ran before, or all "
    "of a new stack]",
)
@click.option(
    "--from-archive",
    is_flag=True,
    help="Use the project from the backup instead of the Compose files.  [default: only if there "
    "are no Compose files]",
)
@click.option(
    "--trust",
    is_flag=True,
    help="Also restore devices and links that point outside their volume. Only for backups from a "
    "source that you trust.",
)
@click.option("--json", "as_json", is_flag=True, help="Print what was restored as JSON.")
@timeout_option
def restore(
    options: LoadOptions,
    base: Path,
    archive: Path,
    *,
    verify_only: bool,
    force: bool,
    start: bool | None,
    from_archive: bool,
    trust: bool,
    as_json: bool,
    timeout_s: float,
) -> None:
    """Replace the stack's volumes and configuration with those of a backup.

    The whole backup is verified before anything is changed. The existing stack is saved until the
    restored one is ready: if a step fails, or you press Ctrl-C, it is put back. Images are not part
    of a backup: they must exist locally or be pullable.
    """
    began = time.monotonic()
    opened = open_archive(archive)
    with transfer_shown() as progress:
        interruptible(
            partial(verify, opened, progress, trust=trust), progress.cancel, doing="stopping"
        )
    manifest = opened.manifest
    if verify_only:
        note(f"{archive}: the backup is intact; {_description(opened)}")
        if as_json:
            print_json({"path": str(archive), **manifest.document()})
        return
    spec, config = _project(options, base, opened, from_archive=from_archive)
    print_warnings(spec.warnings)
    with locked_stack(
        spec, current_engine(), what="restore", notify=note, timeout_s=timeout_s
    ) as stack:
        planned = plan_restore(stack, opened, config, _print_image)
        if planned.existing and not force and not _may_replace(spec.name, planned.existing):
            note("nothing was restored")
            raise click.exceptions.Exit(1)
        with transfer_shown() as progress:
            started = interruptible(
                partial(restore_stack, planned, progress, start=start),
                partial(_cancel, progress, stack),
                doing="putting the existing stack back",
            )
    seconds = time.monotonic() - began
    note(f"restored {spec.name} in {seconds:.1f} s: {_description(opened)}")
    if started:
        note(f"running: {', '.join(started)}")
    else:
        note("not running; start it with `dockwright stack start`")
    if as_json:
        print_json({"project": spec.name, "started": started, **manifest.document()})


def _project(
    options: LoadOptions, base: Path, archive: Archive, *, from_archive: bool
) -> tuple[StackSpec, ConfigFiles]:
    """Return the project to restore, and the files for its config directory."""
    manifest, files = archive.manifest, archived_config(archive)
    name = options.project_name or options.environ.get("COMPOSE_PROJECT_NAME")
    if not from_archive:
        if not _has_files(options):
            named = replace(options, project_name=name or manifest.project)
            options = named if from_installed(named, base) else options
            from_archive = options is not named
        if not from_archive:
            options = completed(options, base)
            options = replace(options, values={**options.values, **secret_values(files)})
            spec = load(options)
            _check_name(spec, manifest.project, named=bool(options.project_name or name))
            home = current_home().directory
            return spec, for_project(files, home, spec.name, spec.files)
    return _archived(ConfigHome.of(base, name or manifest.project), archive, files)


def _archived(
    home: ConfigHome, archive: Archive, files: Mapping[str, bytes]
) -> tuple[StackSpec, ConfigFiles]:
    project, directory = home.directory.name, home.directory
    note(f"using the project from the backup; its Compose file will be {directory}/compose.yaml")
    spec = archived_spec(
        archive, project=project, working_dir=directory, values=secret_values(files)
    )
    settings = InstalledSettings(
        project=project,
        files=spec.files,
        directory=directory,
        profiles=("*",),
        engine=engine_url(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        version=__version__,
    )
    return spec, for_archived_spec(files, archive.text(spec_part(archive)), settings)


def _has_files(options: LoadOptions) -> bool:
    if options.files or options.environ.get("COMPOSE_FILE"):
        return True
    try:
        return bool(discover(options.working_dir or Path.cwd(), os.environ))
    except ComposeError:
        return False


def _check_name(spec: StackSpec, archived: str, *, named: bool) -> None:
    if spec.name != archived and not named:
        raise UsageError(
            f"the backup is of project {archived}, but this is project {spec.name}",
            hint=f"to restore it into this project anyway, add -p {spec.name}",
        )


def _print_image(event: UnitEvent) -> None:
    if event.message:
        note(f"{event.unit}: {event.message}")


def _cancel(progress: Progress, stack: Stack) -> None:
    progress.cancel()
    stack.cancel()


def _may_replace(project: str, existing: tuple[str, ...]) -> bool:
    return confirmed(
        f"Replace this and all data of {project} with the backup?",
        lines=[f"  {line}" for line in existing],
        refusal=f"restore would replace {project}, and cannot ask for confirmation without a "
        "terminal",
        hint="add --force to replace it without asking",
    )


def _description(archive: Archive) -> str:
    manifest = archive.manifest
    made = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(manifest.created))
    return (
        f"{counted(len(manifest.volumes), 'volume')}, {format_size(manifest.size)}, "
        f"project {manifest.project}, made on {made}"
    )
