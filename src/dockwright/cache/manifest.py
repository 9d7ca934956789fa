"""What an entry of the store says about itself, in its ``manifest.json``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True)
class Part:
    """One volume of an entry.

    Attributes:
        service: a service that mounts the volume.
        target: where it does.
        file: the compressed tar in the entry's directory.
        tar_bytes: the size of the tar.
        stored_bytes: the size of the file.
        sha256: of the file, in hex.
    """

    service: str
    target: str
    file: str
    tar_bytes: int
    stored_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """One baseline.

    Attributes:
        key: names the entry.
        stack: the name of the project that it belongs to.
        created: when, in seconds since the epoch.
        start_s: how long the start took that made it, in seconds.
        inputs: what the key was made from.
        parts: the volumes.
    """

    key: str
    stack: str
    created: float
    start_s: float
    inputs: Mapping[str, str]
    parts: tuple[Part, ...]

    @property
    def stored_bytes(self) -> int:
        """What the entry takes on disk."""
        return sum(part.stored_bytes for part in self.parts)

    def to_json(self) -> str:
        """Return the manifest as text."""
        return json.dumps(asdict(self), indent=2)

    @classmethod
    def from_json(cls, text: str) -> Manifest:
        """Read what `to_json` wrote.

        Raises:
            ValueError: it is none.
        """
        try:
            fields: dict[str, Any] = json.loads(text)
            parts = tuple(Part(**part) for part in fields.pop("parts"))
            return cls(**fields, parts=parts)
        except (AttributeError, KeyError, TypeError) as exc:
            raise ValueError(f"no manifest of a baseline: {exc}") from exc
