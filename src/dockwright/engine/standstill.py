"""Which containers this process holds still for a moment, so that nobody in it inspects them.

Docker starts a health check whenever it is time. If a pause catches one at its start, an inspection
of that container takes the container's lock and waits for the check, and the call that lets the
container go on waits for the lock, for ever (seen with 20.10).
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

_LONGEST_S = 60.0


class Standstill:
    """Counts who holds which container; any thread may ask."""

    def __init__(self) -> None:
        self._held: Counter[str] = Counter()
        self._changed = threading.Condition()

    @contextmanager
    def of(self, container: str) -> Iterator[None]:
        """Have `wait` block for this container inside the block."""
        with self._changed:
            self._held[container] += 1
        try:
            yield
        finally:
            with self._changed:
                self._held[container] -= 1
                self._changed.notify_all()

    def wait(self, container: str) -> None:
        """Wait until nobody holds the container, or for a minute."""
        with self._changed:
            self._changed.wait_for(lambda: not self._held[container], _LONGEST_S)
