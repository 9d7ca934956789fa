"""The lines of several services as one: ordered by their times, in constant memory."""

from __future__ import annotations

import heapq
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from dockwright.engine import LogLine
from dockwright.errors import DockwrightError

_PATIENCE_S = 0.1
"""How long, while following, the lines of others wait for one of a service that is silent."""

_READ_AHEAD = 256
"""How many lines of each service are read before they are shown."""


@dataclass(frozen=True, slots=True)
class ServiceLine:
    """One line and the service that wrote it."""

    service: str
    line: LogLine

    @property
    def time_s(self) -> float:
        """When it was written; a line without a time comes first."""
        return self.line.time_s or 0.0


def merge_ended(logs: Mapping[str, Iterable[LogLine]]) -> Iterator[ServiceLine]:
    """Yield the lines of logs that end, by time; one line of each is held at once."""
    labelled = [_labelled(service, lines) for service, lines in logs.items()]
    return heapq.merge(*labelled, key=lambda each: each.time_s)


def _labelled(service: str, lines: Iterable[LogLine]) -> Iterator[ServiceLine]:
    return (ServiceLine(service, line) for line in lines)


class FollowedLogs:
    """Yields the lines of logs that may go on for ever, by time as far as waiting 0.1 s allows.

    Each log is read in a thread of its own, never more than 256 lines ahead.

    Args:
        logs: the lines of each service; ends when all of them end.
    """

    def __init__(self, logs: Mapping[str, Iterable[LogLine]]) -> None:
        self._changed = threading.Condition()
        self._pending: dict[str, deque[ServiceLine]] = {service: deque() for service in logs}
        self._open = set(logs)
        self._silent_since = dict.fromkeys(logs, time.monotonic())
        self._failure: DockwrightError | None = None
        for service, lines in logs.items():
            # Daemons: a reader that waits for a silent service must not keep the command alive.
            threading.Thread(target=self._read, args=(service, lines), daemon=True).start()

    def __iter__(self) -> Iterator[ServiceLine]:
        """Yield lines until every log has ended.

        Raises:
            DockwrightError: a log could not be read any further.
        """
        while (line := self._next()) is not None:
            yield line
        if self._failure is not None:
            raise self._failure

    def _read(self, service: str, lines: Iterable[LogLine]) -> None:
        pending = self._pending[service]
        try:
            for line in _labelled(service, lines):
                with self._changed:
                    self._changed.wait_for(lambda: len(pending) < _READ_AHEAD)
                    pending.append(line)
                    self._changed.notify_all()
        except DockwrightError as failure:
            self._failure = failure
        finally:
            with self._changed:
                self._open.discard(service)
                self._changed.notify_all()

    def _next(self) -> ServiceLine | None:
        with self._changed:
            while True:
                heads = [pending[0] for pending in self._pending.values() if pending]
                if not heads and not self._open:
                    return None
                patience_s = self._patience_s()
                if heads and patience_s <= 0:
                    return self._take(min(heads, key=lambda head: head.time_s).service)
                self._changed.wait(patience_s if heads else None)

    def _patience_s(self) -> float:
        """Return for how long a silent service may still come up with an older line, in seconds."""
        silent = [self._silent_since[each] for each in self._open if not self._pending[each]]
        return max(silent, default=-_PATIENCE_S) + _PATIENCE_S - time.monotonic()

    def _take(self, service: str) -> ServiceLine:
        line = self._pending[service].popleft()
        self._silent_since[service] = time.monotonic()
        self._changed.notify_all()
        return line
