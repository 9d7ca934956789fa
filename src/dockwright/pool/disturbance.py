"""Notices that a container of the pool stopped, started or paused without the pool's doing."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from dockwright.engine import Engine
from dockwright.errors import EngineError

_log = logging.getLogger(__name__)

_ACTIONS = ("die", "oom", "pause", "start", "destroy", "health_status: unhealthy")
_LOOK_S = 1.0  # how soon the watching thread notices that it is to end


class DisturbanceWatch:
    """Tells of containers to which something happened.

    Args:
        engine: whose events are listened to.
        on_event: called, in the watch's thread, with the container's id; None: some may have been
            missed, every container is in doubt.
    """

    def __init__(self, engine: Engine, on_event: Callable[[str | None], None]) -> None:
        self._on_event = on_event
        self._closed = threading.Event()
        self._subscription = engine.events.subscribe(actions=_ACTIONS)
        self._thread = threading.Thread(
            target=self._listen, name="dockwright-disturbance", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """End the watch."""
        self._closed.set()
        self._subscription.close()
        self._subscription.interrupt()
        self._thread.join(timeout=2 * _LOOK_S)

    def _listen(self) -> None:
        while not self._closed.is_set():
            try:
                event = self._subscription.get(_LOOK_S)
            except EngineError as failure:
                _log.warning("the engine's events are not to be had: %s", failure)
                return
            if self._subscription.lost:
                self._on_event(None)
            if event is not None:
                self._on_event(event.id)
