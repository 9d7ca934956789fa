"""Looks at a whole backup before anything is touched: every byte, and what it would do."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import cast

from dockwright.lifecycle.archive_members import check_members
from dockwright.lifecycle.archive_read import Archive
from dockwright.lifecycle.backup_config import ROOT
from dockwright.lifecycle.backup_progress import Progress, ahead
from dockwright.lifecycle.backup_spec import read_spec
from dockwright.lifecycle.manifest import CONFIG, SPEC, Part
from dockwright.model import Json, StackSpec


def spec_part(archive: Archive) -> Part:
    """Return the part that is the stack spec."""
    return next(part for part in archive.manifest.parts if part.name == SPEC)


def archived_spec(
    archive: Archive, *, project: str, working_dir: Path, values: Mapping[str, str] | None = None
) -> StackSpec:
    """Return the stack spec that a backup holds, for this host; see `read_spec`."""
    return read_spec(
        archive.text(spec_part(archive)), project=project, working_dir=working_dir, values=values
    )


def verify(archive: Archive, progress: Progress, *, trust: bool = False) -> None:
    """Prove every byte of a backup, and that it holds nothing that must not be restored.

    Args:
        archive: the backup.
        progress: is told how far it is; may call it off.
        trust: allow links that leave their volumes, and devices.

    Raises:
        ArchiveError: something is wrong; says what and where.
    """
    manifest = archive.manifest
    progress.begin("verifying the backup", manifest.stored)
    # Two cores are worth it: one hashes what is stored, one looks at what is in it.
    with ThreadPoolExecutor(1, thread_name_prefix="dockwright-verify") as pool:
        looked = pool.submit(_check_contents, archive, progress, trust=trust)
        archive.verify(progress.advance)
        looked.result()


def _check_contents(archive: Archive, progress: Progress, *, trust: bool) -> None:
    with tempfile.TemporaryDirectory() as nowhere:
        spec = archived_spec(archive, project=archive.manifest.project, working_dir=Path(nowhere))
    targets = _targets(spec)
    for part in archive.manifest.parts:
        if part.name.endswith(".tar"):
            with ahead(archive.content(part)) as chunks:
                check_members(
                    _heeding(chunks, progress),
                    f"{archive.path}: {part.name}",
                    root=ROOT if part.name == CONFIG else root_of(part),
                    target=targets.get(part.volume, ""),
                    trust=trust,
                )


def _heeding(chunks: Iterator[bytes], progress: Progress) -> Iterator[bytes]:
    for chunk in chunks:
        progress.check()
        yield chunk


def root_of(volume: Part) -> str:
    """Return the directory that the tar of a volume begins with."""
    return volume.name.removeprefix("volumes/").removesuffix(".tar")


def _targets(spec: StackSpec) -> dict[str, str]:
    """Return where each volume is mounted: absolute links below that stay in it."""
    targets: dict[str, str] = {}
    for service in spec.services.values():
        for entry in cast("list[Mapping[str, Json]]", service.config.get("volumes") or ()):
            if entry["type"] == "volume":
                target = str(entry["target"])
                targets.setdefault(str(entry.get("source") or f"{service.name}:{target}"), target)
    return targets
