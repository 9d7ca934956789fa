"""How busy isolated workers kept the machine, and how many of them may be faster."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

_ENOUGH = 0.8  # of the processor time; beyond that, workers wait for each other
_MOST_TIMES = 4
_SHORT_S = 5.0


@dataclass(frozen=True)
class Busy:
    """What one run says about the number of workers.

    Attributes:
        workers: how many there were.
        wall_s: how long they took, in seconds.
        used_s: the processor time of their worlds together, in seconds.
        cores: how many the machine has.
        most: how many workers the suite can be divided among.
    """

    workers: int
    wall_s: float
    used_s: float
    cores: int
    most: int

    @classmethod
    def from_facts(cls, facts: Any) -> Busy:
        """Read what `to_facts` returned.

        Raises:
            TypeError, ValueError: it is something else.
        """
        busy = cls(**facts)
        if not (busy.workers > 0 and busy.wall_s > 0 and busy.cores > 0):
            raise ValueError("no run is like this")
        return busy

    def to_facts(self) -> dict[str, Any]:
        """Return it as a JSON object."""
        return asdict(self)

    @property
    def share(self) -> float:
        """The part of the machine's processor time that the worlds used: 0 to 1."""
        return self.used_s / (self.wall_s * self.cores)

    @property
    def proposed(self) -> int:
        """How many workers may be faster; as many as there were if more would not help."""
        if self.wall_s < _SHORT_S:
            return self.workers
        filling = int(self.workers * _ENOUGH / max(self.share, 0.01))
        return max(self.workers, min(filling, _MOST_TIMES * self.workers, self.most))

    def __str__(self) -> str:
        """Say both in words."""
        text = (
            f"{self.workers} isolated worker{'s' * (self.workers > 1)} kept {self.cores} "
            f"core{'s' * (self.cores > 1)} busy for {self.share:.0%} of {self.wall_s:.0f} s"
        )
        more = self.proposed
        return f"{text}; up to {more} workers may be faster" if more > self.workers else text
