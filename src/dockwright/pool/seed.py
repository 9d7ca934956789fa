"""What puts a suite's own data into a freshly started stack, before its baseline is captured.

The broker knows no pytest: it leases the copy to one client, which runs the suite's hooks on it and
reports back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dockwright.model import Json
from dockwright.pool.lease import LeasedStack


@dataclass(frozen=True, slots=True)
class SeedKey:
    """What a broker knows of a seed.

    Attributes:
        digest: stands for what it does: copies that were seeded otherwise are other stacks.
        lasting: whether the digest covers all that it reads, so that what it wrote to volumes may
            be kept for later runs; else every new copy is seeded anew.
    """

    digest: str
    lasting: bool

    def to_json(self) -> Json:
        """Return it as plain values."""
        return {"digest": self.digest, "lasting": self.lasting}

    @classmethod
    def from_json(cls, values: dict[str, Any] | None) -> SeedKey | None:
        """Read what `to_json` returned."""
        return None if values is None else cls(**values)


@dataclass(frozen=True, slots=True)
class Seed(SeedKey):
    """What a client knows of it.

    Attributes:
        run: seeds a stack, given with its declared name; raises `DockwrightError` if it cannot.
    """

    run: Callable[[LeasedStack, str], None]
