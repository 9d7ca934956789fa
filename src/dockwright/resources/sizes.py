"""How much a directory holds."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path


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
