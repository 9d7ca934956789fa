"""Entries without an engine: a draft whose volumes are small tars."""

from __future__ import annotations

import io
import tarfile
import time
from collections.abc import Iterator

from dockwright.cache import BaselineStore, Draft, Manifest, Part, Stored


def tar_of(**files: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def describe(key: str, parts: tuple[Part, ...]) -> Manifest:
    return Manifest(key, "shop", time.time(), 2.5, {"format": "1"}, parts)


def finish(draft: Draft, key: str) -> bool:
    return draft.finish(lambda parts: describe(key, parts), wanted=lambda: True)


def put(store: BaselineStore, key: str, *volumes: bytes) -> bool:
    """Write an entry with these tars as its volumes; tell whether this call did."""
    draft = store.draft(key)
    if draft is None:
        return False
    with draft:
        for number, content in enumerate(volumes or (tar_of(file=b"content"),)):
            draft.add("db", f"/data{number}", _pieces(content))
        assert finish(draft, key)
        store.publish(draft, key)
    return True


def volumes_of(stored: Stored) -> list[bytes]:
    return [b"".join(stored.chunks(part)) for part in stored.manifest.parts]


def keys(store: BaselineStore) -> list[str]:
    return [stored.manifest.key for stored in store.entries()]


def _pieces(content: bytes) -> Iterator[bytes]:
    for start in range(0, len(content), 1000):
        yield content[start : start + 1000]
