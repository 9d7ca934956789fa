"""The images that the engines of worlds start with: copied once, and kept for later runs.

    IMAGES/                 mode 0700; .lock is held while a set is added or removed
      KEY/image, overlay2   a data root as the engine wrote it; readers hold a shared lock on KEY
      KEY/manifest.json     its modification time is when the set was last used
      .KEY.part/            being written by the process that holds the lock

A set has the images of one suite. One that contains another set begins as hard links to it, so that
an image that many sets have is on the disk once.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from dockwright._files import locked, write_file
from dockwright.engine import Engine
from dockwright.errors import DiskFullError, StoreError, UsageError
from dockwright.isolate.inside import load as load_module
from dockwright.isolate.inside.plan import ALONE, PLAN, Plan
from dockwright.untrusted import json_value

_FORMAT = 1
_MANIFEST = "manifest.json"
_BOUND_BYTES = 20_000_000_000
_SPARE_BYTES = 500_000_000
_KEPT_PARTS = ("image", "overlay2")


@dataclass(frozen=True, slots=True)
class Image:
    """An image on the user's engine.

    Attributes:
        id: its content id.
        names: its names, ``name:tag``.
        size_bytes: of its unpacked layers.
    """

    id: str
    names: tuple[str, ...]
    size_bytes: int

    @property
    def references(self) -> tuple[str, ...]:
        """What to export so that all its names come along."""
        return self.names or (self.id,)


def all_images(engine: Engine) -> list[Image]:
    """Return the images of an engine."""
    return [
        Image(
            str(each["Id"]),
            tuple(sorted(name for name in each.get("RepoTags") or () if "<none>" not in name)),
            int(each.get("Size") or 0),
        )
        for each in engine.list_images({})
    ]


def named(images: Iterable[Image], references: Iterable[str]) -> list[Image]:
    """Return the images that are meant by names or ids.

    Raises:
        UsageError: the engine has no such image.
    """
    known = list(images)
    found = []
    for reference in references:
        match = next((each for each in known if _is_called(each, reference)), None)
        if match is None:
            raise UsageError(
                f"--image {reference}: the engine has no such image",
                hint=f"get it first: docker pull {reference}",
            )
        found.append(match)
    return found


def remembered(images: Iterable[Image], references: Iterable[str]) -> list[Image]:
    """Return the images that are meant by names or ids, without those that are gone."""
    known = list(images)
    return [each for name in references for each in known if _is_called(each, name)]


def _is_called(image: Image, reference: str) -> bool:
    digest = image.id.partition(":")[2]
    wanted = reference.removeprefix("sha256:")
    return (
        reference in image.names
        or f"{reference}:latest" in image.names
        or (len(wanted) >= 12 and digest.startswith(wanted))
    )


@dataclass(frozen=True, slots=True)
class KeptSet:
    """A set of images as it lies on disk.

    Attributes:
        directory: where it is.
        writer: the program of the engine that wrote it.
        images: what it contains.
        used: when it was last used, in seconds since the epoch.
    """

    directory: Path
    writer: str
    images: tuple[Image, ...]
    used: float

    @property
    def size_bytes(self) -> int:
        """What its images take, wherever their layers are shared."""
        return sum(each.size_bytes for each in self.images)

    @classmethod
    def read(cls, manifest: Path) -> KeptSet:
        """Read what `_make` wrote.

        Raises:
            OSError, ValueError, KeyError, TypeError: it is no manifest of this format.
        """
        known = json_value(manifest.read_bytes())
        if known["format"] != _FORMAT:
            raise ValueError("another format")
        images = (Image(**{**each, "names": tuple(each["names"])}) for each in known["images"])
        used = manifest.stat().st_mtime
        return cls(manifest.parent, str(known["dockerd"]), tuple(images), used)


class PreparedImages:
    """The sets of images that are kept on this machine; any number of processes may use them.

    Args:
        directory: where they are; made when the first set is.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def get(
        self, engine: Engine, images: Sequence[Image], plan: Plan, note: Callable[[str], None]
    ) -> tuple[Path, int]:
        """Return a data root with these images, made now if there is none.

        Args:
            engine: whose images.
            images: what it has to contain.
            plan: of the world that makes it.
            note: called with a line about what takes long.

        Returns:
            Its directory, and a descriptor that keeps others from removing it.

        Raises:
            StoreError: it cannot be made; says why.
        """
        key = _key(images, _writer(plan))
        found = self.directory / key
        if (held := _held(found)) is not None:
            return found, held
        with locked(self.directory / ".lock", create=True):
            if (held := _held(found)) is None:
                self._make_room(sum(each.size_bytes for each in images))
                _make(found, self._nearest(images, _writer(plan)), engine, images, plan, note)
                held = _held(found)
        if held is None:
            raise StoreError(f"{found}: another process removed the prepared images")
        return found, held

    def _nearest(self, images: Sequence[Image], writer: str) -> KeptSet | None:
        """Return the largest set that contains nothing but these images."""
        fitting = [
            each
            for each in self._sets()
            if each.writer == writer and set(each.images) <= set(images)
        ]
        return max(fitting, key=lambda each: len(each.images), default=None)

    def _sets(self) -> Iterator[KeptSet]:
        for file in self.directory.glob(f"*/{_MANIFEST}"):
            with suppress(OSError, ValueError, KeyError, TypeError):
                yield KeptSet.read(file)

    def _make_room(self, size_bytes: int) -> None:
        """Remove what a killed process left, and the sets used longest ago beyond the bound."""
        for draft in self.directory.glob(".*.part"):
            shutil.rmtree(draft, ignore_errors=True)
        sets = sorted(self._sets(), key=lambda each: each.used)
        over = sum(each.size_bytes for each in sets) + size_bytes - _BOUND_BYTES
        for each in sets:
            if over > 0 and remove(each.directory):
                over -= each.size_bytes
        free = shutil.disk_usage(self.directory).free
        if free < size_bytes + _SPARE_BYTES:
            raise DiskFullError(
                f"{self.directory}: not enough space: the images take {size_bytes >> 20} MB, "
                f"{free >> 20} MB are free",
                hint="name fewer images with --image, or set DOCKWRIGHT_CACHE_DIR",
            )


def remove(place: Path) -> bool:
    """Remove a set unless a run uses it; return whether it is gone."""
    descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    else:
        (place / _MANIFEST).unlink(missing_ok=True)  # first: without it, it is no set
        shutil.rmtree(place, ignore_errors=True)
        return True
    finally:
        os.close(descriptor)


def _held(place: Path) -> int | None:
    """Return a descriptor with a shared lock on a set; None: there is no such set."""
    try:
        descriptor = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return None
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    if not (place / _MANIFEST).is_file():
        os.close(descriptor)
        return None
    os.utime(place / _MANIFEST)
    return descriptor


def _writer(plan: Plan) -> str:
    """Return whose data root it is: that of one daemon, and of one range of user ids."""
    return f"{plan.dockerd} (rootless)" if plan.rootless else plan.dockerd


def _key(images: Iterable[Image], writer: str) -> str:
    content = sorted((each.id, each.names) for each in images)
    return hashlib.sha256(json.dumps([_FORMAT, writer, content]).encode()).hexdigest()[:24]


def _make(
    place: Path,
    nearest: KeptSet | None,
    engine: Engine,
    images: Sequence[Image],
    plan: Plan,
    note: Callable[[str], None],
) -> None:
    draft = place.with_name(f".{place.name}.part")
    try:
        _write(draft, nearest, engine, images, plan, note)
        draft.rename(place)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _write(
    draft: Path,
    nearest: KeptSet | None,
    engine: Engine,
    images: Sequence[Image],
    plan: Plan,
    note: Callable[[str], None],
) -> None:
    present: tuple[Image, ...] = ()
    if nearest is not None:
        # cp keeps owners, modes and the devices that stand for removed files.
        subprocess.run(["cp", "-al", nearest.directory, draft], check=True, capture_output=True)
        (draft / _MANIFEST).unlink()
        present = nearest.images
    draft.mkdir(exist_ok=True, mode=0o710)
    missing = [each for each in images if each not in present]
    if missing:
        size = sum(each.size_bytes for each in missing) >> 20
        names = ", ".join(each.references[0] for each in missing)
        note(f"copying images for the engines of the workers, once ({size} MB): {names}")
        _load(draft, engine, missing, plan)
    for entry in draft.iterdir():
        if entry.name not in _KEPT_PARTS:
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    manifest = {
        "format": _FORMAT,
        "dockerd": _writer(plan),
        "images": [asdict(each) for each in images],
    }
    write_file(draft / _MANIFEST, json.dumps(manifest).encode())


def _load(draft: Path, engine: Engine, images: Sequence[Image], plan: Plan) -> None:
    """Copy images into a data root, by an engine that runs on it for that time."""
    inside = replace(plan, data_root=str(draft), images="", home=False)
    command = inside.command(ALONE, plan.python, "-I", "-S", load_module.__file__)
    references = [name for each in images for name in each.references]
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, PLAN: inside.to_json()},
    )
    assert process.stdin is not None
    with suppress(BrokenPipeError), engine.export_images(references) as archive:
        for chunk in archive:
            process.stdin.write(chunk)
    _, said = process.communicate()
    if process.returncode:
        reason = said.decode(errors="replace").strip() or f"exit code {process.returncode}"
        raise StoreError(f"cannot prepare the images: {reason}")
