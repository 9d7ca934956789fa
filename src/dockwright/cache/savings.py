"""How often something cached was used, and what that saved: one small file for each kind."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import NamedTuple

from dockwright._files import locked, write_file

_FILE = "use.json"


class Total(NamedTuple):
    """What a cache saved so far.

    Attributes:
        hits: how often something in it was used.
        saved_s: how many seconds that saved.
    """

    hits: int = 0
    saved_s: float = 0.0


class Savings:
    """Counts the uses of one cache; any number of processes may count at once.

    Args:
        directory: of the cache; made by the first count.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def add(self, hits: int, saved_s: float) -> None:
        """Count some uses and the time that they saved.

        Raises:
            OSError: nothing can be written there.
        """
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        with locked(self._directory / ".use", create=True):
            before = self.total()
            after = {"hits": before.hits + hits, "saved_s": before.saved_s + max(saved_s, 0.0)}
            write_file(self._directory / _FILE, json.dumps(after).encode())

    def total(self) -> Total:
        """Return what was counted so far; damaged counts begin again."""
        try:
            found = json.loads((self._directory / _FILE).read_bytes())
            hits, saved_s = int(found["hits"]), float(found["saved_s"])
        except (OSError, ValueError, KeyError, TypeError, OverflowError):
            return Total()
        return Total(hits, saved_s) if math.isfinite(saved_s) else Total()
