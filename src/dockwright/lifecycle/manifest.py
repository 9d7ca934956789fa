"""What a backup holds, as its ``manifest.json`` says it: written in one form, read strictly."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from dockwright.errors import ArchiveError

FORMAT = 1
MANIFEST = "manifest.json"
SEAL = "manifest.sha256"
SPEC = "compose.yaml"
CONFIG = "config.tar"
MOST_TEXT_BYTES = 16 << 20
"""How long the stack spec and the config directory may be: a restore holds both in memory."""

_PART = re.compile(r"compose\.yaml|config\.tar|volumes/[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}\.tar")
_PROJECT = re.compile(r"[a-z0-9][a-z0-9_-]*")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_LAST = 8**11 - 1  # the last second that a tar header has room for
_MOST_BYTES = 1 << 53


@dataclass(frozen=True, slots=True)
class Part:
    """One file of the backup.

    Attributes:
        name: ``compose.yaml``, ``config.tar`` or ``volumes/NAME.tar``.
        size: of its content, in bytes.
        stored: how many bytes it takes in the backup, as it is compressed there.
        sha256: of these bytes (hex).
        volume: the volume's key in the Compose file; ``SERVICE:TARGET`` where it has no name;
            empty where the part is no volume.
    """

    name: str
    size: int
    stored: int
    sha256: str
    volume: str = ""


@dataclass(frozen=True, slots=True)
class ImageOf:
    """The image that a service ran at the time of the backup.

    Attributes:
        reference: what the Compose file calls it.
        id: the engine's name of it; empty where the engine did not have it.
        digests: the names by which a registry knows it.
    """

    reference: str
    id: str
    digests: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup holds.

    Attributes:
        project: the project name of the stack.
        created: when, whole seconds since the epoch.
        dockwright: the version that made it.
        compression: the name of the codec of its parts.
        platform: of the engine, e.g. ``linux/amd64``.
        running: the services and processes that ran.
        images: by service.
        parts: its files, in their order.
    """

    project: str
    created: int
    dockwright: str
    compression: str
    platform: str
    running: tuple[str, ...]
    images: Mapping[str, ImageOf]
    parts: tuple[Part, ...]

    @property
    def volumes(self) -> tuple[Part, ...]:
        """The parts that are volumes."""
        return tuple(part for part in self.parts if part.volume)

    @property
    def size(self) -> int:
        """The bytes of all contents."""
        return sum(part.size for part in self.parts)

    @property
    def stored(self) -> int:
        """The bytes of all parts as they are stored."""
        return sum(part.stored for part in self.parts)

    def part(self, name: str) -> Part | None:
        """Return the part of this name, if there is one."""
        return next((part for part in self.parts if part.name == name), None)

    def document(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return {"format": FORMAT, **asdict(self)}

    def dump(self) -> bytes:
        """Return the file's content."""
        return json.dumps(self.document(), indent=2, sort_keys=True).encode() + b"\n"


def parse_manifest(content: bytes, where: str) -> Manifest:
    """Read what `Manifest.dump` wrote.

    Args:
        content: of the file.
        where: the backup, for messages.

    Raises:
        ArchiveError: it is something else, or of a later version.
    """
    try:
        document = json.loads(content)
        if document.pop("format") != FORMAT:
            raise ArchiveError(
                f"{where}: the backup has a format that this version does not know",
                hint="restore it with the version of dockwright that made it, or a later one",
            )
        manifest = _built(document)
        wrong = _wrong(manifest)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as exc:
        raise ArchiveError(f"{where}: its manifest is not one of dockwright's") from exc
    if wrong:
        raise ArchiveError(f"{where}: its manifest is wrong: {wrong}")
    if manifest.dump() != content:
        raise ArchiveError(f"{where}: its manifest is not one of dockwright's")
    return manifest


def _built(document: dict[str, Any]) -> Manifest:
    return Manifest(
        **{
            **document,
            "running": tuple(document["running"]),
            "images": {
                name: ImageOf(**{**image, "digests": tuple(image["digests"])})
                for name, image in document["images"].items()
            },
            "parts": tuple(Part(**part) for part in document["parts"]),
        }
    )


def _wrong(manifest: Manifest) -> str:
    """Tell what of it cannot be; nothing where all can."""
    names = [part.name for part in manifest.parts]
    if not all(type(text) is str for text in _texts(manifest)):
        return "something in it is not a text"
    if len({name.lower() for name in names}) != len(names):
        return "it names a part twice"
    volumes = [part.volume for part in manifest.volumes]
    if len(set(volumes)) != len(volumes):
        return "it names a volume twice"
    if not _PROJECT.fullmatch(manifest.project) or not _is_within(manifest.created, _LAST):
        return "the project or the time is none"
    for part in manifest.parts:
        if not _PART.fullmatch(part.name):
            return f"there can be no part {part.name!r}"
        if part.name.startswith("volumes/") != bool(part.volume):
            return f"part {part.name} says that it is volume {part.volume!r}"
        sized = _is_within(part.size, _MOST_BYTES) and _is_within(part.stored, _MOST_BYTES)
        if not sized or not _SHA256.fullmatch(part.sha256):
            return f"part {part.name} has no right size or checksum"
    return "" if SPEC in names else f"there is no {SPEC}"


def _texts(manifest: Manifest) -> Iterator[object]:
    """Everything in it that has to be a text."""
    yield from (manifest.project, manifest.dockwright, manifest.compression, manifest.platform)
    yield from manifest.running
    for image in manifest.images.values():
        yield from (image.reference, image.id, *image.digests)
    for part in manifest.parts:
        yield from (part.name, part.sha256, part.volume)


def _is_within(number: object, most: int) -> bool:
    return type(number) is int and 0 <= number <= most
