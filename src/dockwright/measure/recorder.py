"""What one pytest process records, until the run's main process makes one record of it all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dockwright.measure.attempt import Attempt
from dockwright.measure.own_use import own_use
from dockwright.measure.tape import Open, Tape


class Recorder:
    """Notes the tests of one process; in the main process, also those of the others.

    Args:
        worker: the name of this process: ``main``, or xdist's id such as ``gw0``.
        began: when pytest was configured here, on the monotonic clock.

    Attributes:
        tape: notes what the process does.
        attempts: the tests that have ended, as far as nobody took them away.
        others: what the processes that ran tests told at their end.
        collected: when the tests were collected; None: not seen.
    """

    def __init__(self, worker: str, began: float) -> None:
        self.worker = worker
        self.tape = Tape()
        self.tape.recording = True
        self.attempts: list[Attempt] = []
        self.others: list[Mapping[str, Any]] = []
        self._began = began
        self._recorded = self.tape.clock()
        self.collected: float | None = None
        self._current: Attempt | None = None
        self._wide: set[str] = set()

    def set_up(self, fixture: str, *, wide: bool) -> Open:
        """Return what the set-up of a fixture is to be noted as.

        Args:
            fixture: its name.
            wide: whether its scope is wider than one test.
        """
        if wide:
            self._wide.add(fixture)
        return Open("fixture", fixture, "setup", shared=wide)

    def attempt(self, nodeid: str, stage: str) -> Attempt:
        """Return the attempt that a test is at; its set-up begins one.

        Args:
            nodeid: of the test.
            stage: the one that has just ended.
        """
        current = self._current
        if stage == "setup" or current is None or current.nodeid != nodeid:
            current = self._current = Attempt(nodeid, self.worker)
        return current

    def ended(self, attempt: Attempt, fixtures: Sequence[str]) -> None:
        """Note that an attempt is over.

        Args:
            attempt: at a test.
            fixtures: all those that the test uses.
        """
        attempt.pieces = self.tape.take()
        uses = self._wide.intersection(fixtures)
        # Some are asked for by name, at run time.
        uses.update(each[1] for each in attempt.pieces if each[0] == "fixture" and each[5])
        attempt.uses = tuple(uses)
        self.attempts.append(attempt)
        self._current = None

    def to_send(self) -> list[Any]:
        """Return the attempts that have ended, as xdist can send them, and forget them."""
        attempts, self.attempts = self.attempts, []
        return [each.to_plain() for each in attempts]

    def receive(self, told: Iterable[Sequence[Any]]) -> None:
        """Take over attempts of another process."""
        self.attempts += map(Attempt.from_plain, told)

    def farewell(self) -> dict[str, Any]:
        """Return what is known of this process at its end, beside its attempts."""
        return {
            "worker": self.worker,
            "began": self._began,
            "recorded": self._recorded,
            "collected": self.collected,
            "ended": self.tape.clock(),
            "use": own_use(),
        }
