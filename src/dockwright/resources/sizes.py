"""How much a directory holds, and sizes in words."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path


def in_words(size: float) -> str:
    """Return a number of bytes for a message: ``512 B``, ``1.5 MiB``."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def files_below(directory: Path) -> Iterator[tuple[Path, int]]:
    """Yield the files of a directory with their sizes in bytes; of hard links only one."""
    seen: set[tuple[int, int]] = set()
    for parent, _, names in os.walk(directory):
        for name in names:
            file = Path(parent, name)
            try:
                found = file.lstat()
            except FileNotFoundError:
                continue  # somebody removes it just now
            if (found.st_dev, found.st_ino) not in seen:
                seen.add((found.st_dev, found.st_ino))
                yield file, found.st_size
