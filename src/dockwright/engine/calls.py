"""What one call of the Engine API is: its parts, its path, its filters."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import IO, TypeAlias
from urllib.parse import quote

from dockwright.engine.types import Document
from dockwright.model import Json

_ID = re.compile(r"[0-9a-f]{64}")

LabelFilter: TypeAlias = Mapping[str, str | None]
"""Labels that an object must have: with this value, or with any where it is None."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the Engine API.

    Attributes:
        method: the HTTP method.
        path: its path below the API version; build it with `path`, which quotes.
        name: what it does, e.g. ``start container``: for statistics and messages.
        subject: to what, for messages.
        params: the query; None values are left out.
        json: the body as a JSON document.
        data: the body as bytes or as chunks.
        headers: more headers.
        timeout_s: how long the engine may be silent, instead of the engine's default.
    """

    method: str
    path: str
    name: str
    subject: str = ""
    params: Mapping[str, str | int | bool | list[str] | None] = field(default_factory=dict)
    json: Mapping[str, Json] | None = None
    data: bytes | Iterable[bytes] | IO[bytes] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    timeout_s: float | None = None

    @property
    def action(self) -> str:
        """The call in words, for messages."""
        return f"{self.name} {self.subject}".rstrip()


def path(*parts: str) -> str:
    """Return an API path of `parts`, quoted except for the slashes and colons of image names."""
    return "".join(f"/{quote(part, safe='/:@')}" for part in parts)


def short(container: str) -> str:
    """Return a container's id as people know it; a name stays."""
    return container[:12] if _ID.fullmatch(container) else container


def label_filter(labels: LabelFilter) -> str:
    """Return `labels` as the query parameter ``filters``."""
    wanted = [key if value is None else f"{key}={value}" for key, value in labels.items()]
    return json.dumps({"label": wanted} if wanted else {})


def matching(documents: list[Document], labels: LabelFilter) -> list[Document]:
    """Return those that really have `labels`: some engines' own filters had bugs (Podman)."""
    return [document for document in documents if _has(document.get("Labels") or {}, labels)]


def _has(found: Mapping[str, str], wanted: LabelFilter) -> bool:
    return all(
        key in found and (value is None or found[key] == value) for key, value in wanted.items()
    )
