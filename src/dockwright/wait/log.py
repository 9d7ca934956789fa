"""Waiting for a line in a log."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from dockwright.wait.log_sources import LogFollower
from dockwright.wait.outcome import Continue, Outcome, Ready
from dockwright.wait.strategy import Check, Wait
from dockwright.wait.worker import Worker


@dataclass(frozen=True, slots=True)
class Log:
    """Lines of the log match a pattern; those since the last start count.

    Args:
        pattern: a regular expression, searched in each line.
        times: how many lines have to match.
        stream: only lines of this stream; None: both.
    """

    pattern: str
    times: int = 1
    stream: Literal["stdout", "stderr"] | None = None

    def __post_init__(self) -> None:
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise ValueError(f"{self.pattern!r} is not a regular expression: {error}") from error
        if self.times < 1:
            raise ValueError(f"a line can be awaited 1 time or more, not {self.times}")
        if self.stream not in {None, "stdout", "stderr"}:
            raise ValueError(f"a stream is stdout or stderr, not {self.stream!r}")

    @property
    def survives_exit(self) -> bool:
        """The line may be the last before the exit, and be read after it."""
        return True

    def __str__(self) -> str:
        times = "" if self.times == 1 else f" {self.times} times"
        return f"to log {self.pattern!r}{times}"

    def begin(self, wait: Wait) -> Check:
        """Start to follow the log."""
        state_of = wait.target.begin_state(wait)
        follower = wait.target.log().follow()
        wait.closing.callback(follower.close)
        search = _Search(self, follower)
        worker = Worker(wait, "log", search.run)

        def check() -> Outcome:
            worker.raise_failure()
            ended = worker.ended  # before looking: all that was read by then is seen
            if search.found is not None:
                return Ready(search.found)
            if (state := state_of()).has_exited:
                follower.finish()
                if ended:
                    return wait.target.failure(state)
            return Continue(search.describe())

        return check


class _Search:
    """Counts the matching lines of one follower; keeps only the last line."""

    def __init__(self, strategy: Log, follower: LogFollower) -> None:
        self._strategy = strategy
        self._follower = follower
        self._matches = 0
        self._last: str | None = None
        self.found: str | None = None

    def run(self, worker: Worker) -> None:
        """Read until enough lines matched or no more can come."""
        pattern = re.compile(self._strategy.pattern)
        for line in self._follower:
            if worker.closed.is_set():
                return
            if self._strategy.stream not in {None, line.stream}:
                continue
            self._last = line.text
            if pattern.search(line.text):
                self._matches += 1
            if self._matches == self._strategy.times:
                self.found = line.text
                return

    def describe(self) -> str:
        """Say what was read so far."""
        if self._last is None:
            return "it has logged nothing yet"
        found = f"{self._matches} of {self._strategy.times} lines" if self._matches else "no line"
        return f"{found} matched, the last is {self._last[:200]!r}"
