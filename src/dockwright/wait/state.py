"""A target's state; that of a container is read again when an engine event may have changed it."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dockwright.errors import NoSuchObjectError

if TYPE_CHECKING:
    from dockwright.engine import Engine, Event
    from dockwright.engine.types import Document
    from dockwright.wait.loop import Wait

BACKSTOP_S = 1.0
"""After this time the state is read even if no event came: engines lose some."""

_ACTIONS = ("start", "die", "oom", "pause", "unpause", "destroy", "health_status")


@dataclass(frozen=True, slots=True)
class State:
    """What a container or process does now; its text completes a sentence: ``exited with code 1``.

    Attributes:
        status: the engine's word: ``created``, ``running``, ``exited``... or ``removed``.
        exit_code: the code of its last exit, negative for a signal that ended a process; None
            where it did not exit or the code is unknown.
        out_of_memory: whether the kernel killed it because memory ran out.
        health: the engine's verdict (``starting``, ``healthy``, ``unhealthy``); empty: none.
    """

    status: str
    exit_code: int | None = None
    out_of_memory: bool = False
    health: str = ""

    @property
    def has_exited(self) -> bool:
        """Whether it ended and nothing will restart it."""
        return self.status in {"exited", "dead", "removing", "removed"}

    @property
    def hint(self) -> str | None:
        """What to do about it, where that is known."""
        if self.out_of_memory:
            return "raise its memory limit, or give the engine's host more memory"
        return None

    def __str__(self) -> str:
        if not self.has_exited:
            return f"is {self.status}" + (f", health {self.health}" if self.health else "")
        if self.exit_code is None:
            return "was removed" if self.status == "removed" else "exited"
        if self.exit_code < 0:
            return f"was ended by signal {-self.exit_code}"
        why = " (out of memory)" if self.out_of_memory else ""
        then = " and was removed" if self.status == "removed" else ""
        return f"exited with code {self.exit_code}{why}{then}"


def container_state(document: Document) -> State:
    """Return the state from an inspect answer."""
    state = document["State"]
    status = str(state["Status"])
    ended = status not in {"created", "running", "paused"}
    return State(
        status=status,
        exit_code=int(state["ExitCode"]) if ended else None,
        out_of_memory=bool(state.get("OOMKilled")),
        health=str((state.get("Health") or {}).get("Status", "")).removeprefix("none"),
    )


class StateWatch:
    """Follows one container's state for one wait, and wakes it when the state may have changed.

    Attributes:
        became_healthy: whether the engine's own probe found it healthy since the wait began.
    """

    def __init__(self, engine: Engine, container_id: str, wait: Wait) -> None:
        self.became_healthy = False
        self._engine = engine
        self._container_id = container_id
        self._wait = wait
        self._stale = True
        self._read_at = 0.0
        self._state: State | None = None
        self._died_with: int | None = None
        self._closed = False
        # Subscribed before the state is first read, so that no change falls between the two.
        self._subscription = engine.events.subscribe(container=container_id, actions=_ACTIONS)
        self._listener = threading.Thread(target=self._listen, name="dockwright-state", daemon=True)
        wait.closing.callback(self._close)
        self._listener.start()

    def state(self) -> State:
        """Return the state, as fresh as the last event or the backstop."""
        now = self._wait.options.clock.now()
        if self._state is None or self._stale or now - self._read_at >= BACKSTOP_S:
            self._stale = False  # before reading: an event meanwhile makes it stale again
            self._read_at = now
            self._state = self._read()
        return self._state

    def _read(self) -> State:
        try:
            return container_state(self._engine.inspect_container(self._container_id))
        except NoSuchObjectError:
            if self._state is None:
                raise  # it never was there: that is the caller's mistake
            return State("removed", exit_code=self._died_with)

    def _listen(self) -> None:
        while not self._closed:
            event = self._subscription.get(BACKSTOP_S)
            if event is not None:
                self._note(event)
            if event is not None or self._subscription.lost:
                self._stale = True
                self._wait.wakeup.set()

    def _note(self, event: Event) -> None:
        code = event.attributes.get("exitCode", "")
        if event.action == "die" and code.isdecimal():
            self._died_with = int(code)
        if event.action in {"health_status: healthy", "health_status: unhealthy", "start"}:
            self.became_healthy = event.action == "health_status: healthy"

    def _close(self) -> None:
        self._closed = True
        self._subscription.close()
        self._subscription.interrupt()  # so that the listener ends now
        self._listener.join()
