"""One subscription to the engine's events, shared by everything that waits for one."""

from __future__ import annotations

import json
import logging
import platform
import queue
import sys
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from dockwright.engine.http import Call
from dockwright.engine.parallel import Closing
from dockwright.engine.streams import ByteStream, json_lines
from dockwright.engine.types import Document, Event, parse_time
from dockwright.errors import EngineError

if TYPE_CHECKING:
    from dockwright.engine.http import Transport

log = logging.getLogger(__name__)

_TYPES = ("container", "network", "volume", "image")
_ACTIONS = (
    "attach",
    "connect",
    "create",
    "delete",
    "destroy",
    "die",
    "disconnect",
    "exec_start",
    "extract-to-dir",
    "health_status",
    "import",
    "kill",
    "load",
    "mount",
    "oom",
    "pause",
    "pull",
    "remove",
    "rename",
    "restart",
    "start",
    "stop",
    "tag",
    "unmount",
    "unpause",
    "untag",
    "update",
)
"""All that is asked for. A probe of a health check makes three ``exec_*`` events: one is enough."""

_NO_LABELS: Mapping[str, str] = MappingProxyType({})
_QUEUE_LENGTH = 4096
_CLOCK_DOUBT_S = 0.05  # another host's clock is known no better
_RETRY_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0)


class Subscription(Closing):
    """The events that one waiter wants; a context manager that ends it.

    Use: subscribe, then look at the state, then `get`: nothing between the two is missed.
    """

    def __init__(
        self,
        hub: EventHub,
        *,
        container: str | None,
        labels: Mapping[str, str],
        types: Collection[str],
        actions: Collection[str] | None,
    ) -> None:
        self._hub = hub
        self._container = container
        self._labels = labels.items()
        self._types = frozenset(types)
        self._actions = None if actions is None else frozenset(actions)
        self._events: queue.Queue[Event | None] = queue.Queue(_QUEUE_LENGTH)
        self._lost = False

    @property
    def lost(self) -> bool:
        """Whether events may have been missed since this was last asked: look at the state again.

        The queue was full, or the connection to the engine broke.
        """
        lost, self._lost = self._lost, False
        return lost

    def get(self, timeout_s: float) -> Event | None:
        """Return the next event; None when none comes in time or something may have been missed.

        Args:
            timeout_s: how long to wait, in seconds.
        """
        try:
            return self._events.get(timeout=max(timeout_s, 0.0))
        except queue.Empty:
            return None

    def close(self) -> None:
        """End the subscription."""
        self._hub.unsubscribe(self)

    def offer(self, event: Event) -> None:
        """Take an event, if it is one of those wanted. Called by the hub."""
        if not self._wants(event):
            return
        try:
            self._events.put_nowait(event)
        except queue.Full:
            self._lost = True

    def interrupt(self) -> None:
        """Wake who waits, since something may have been missed. Called by the hub."""
        self._lost = True
        if self._events.empty():
            self._events.put_nowait(None)

    def _wants(self, event: Event) -> bool:
        return (
            event.type in self._types
            and self._wants_action(event.action.partition(":")[0])
            and (self._container is None or self._is_about(event, self._container))
            and self._labels <= event.attributes.items()
        )

    def _wants_action(self, action: str) -> bool:
        return not action.startswith("exec") if self._actions is None else action in self._actions

    @staticmethod
    def _is_about(event: Event, container: str) -> bool:
        return (
            event.id.startswith(container)
            or event.attributes.get("name") == container
            or event.attributes.get("container", "").startswith(container)  # networks report it so
        )


class EventHub:
    """The engine's events for all who wait, over one connection that begins with the first.

    Args:
        transport: the connections to the engine.
    """

    def __init__(self, transport: Transport) -> None:
        self._http = transport
        self._lock = threading.Lock()
        self._subscriptions: frozenset[Subscription] = frozenset()
        self._thread: threading.Thread | None = None
        self._closed = threading.Event()
        self._stream: ByteStream | None = None
        self._position = _Position(0.0)

    def subscribe(
        self,
        *,
        container: str | None = None,
        labels: Mapping[str, str] = _NO_LABELS,
        types: Collection[str] = ("container",),
        actions: Collection[str] | None = None,
    ) -> Subscription:
        """Begin to collect events; everything that happens from now on is seen.

        Args:
            container: only those about this container, an id or a name.
            labels: only those about containers that bear all of these (engines tell the labels of
                containers alone).
            types: which types of object: ``container``, ``network``, ``volume``, ``image``.
            actions: only these actions, without what follows a colon (``health_status``);
                None: all except ``exec_*``.
        """
        if self._closed.is_set():
            raise RuntimeError("the engine's events were closed")
        subscription = Subscription(
            self, container=container, labels=labels, types=types, actions=actions
        )
        with self._lock:
            self._subscriptions |= {subscription}
            # A forked child has the object but not the thread.
            if self._thread is None or not self._thread.is_alive():
                self._position = _Position(time.time())
                self._thread = threading.Thread(
                    target=self._listen, name="dockwright-events", daemon=True
                )
                self._thread.start()
        return subscription

    def unsubscribe(self, subscription: Subscription) -> None:
        """Forget a subscription; the connection stays for the next."""
        with self._lock:
            self._subscriptions -= {subscription}

    def close(self) -> None:
        """End the connection and its thread."""
        self._closed.set()
        with self._lock:
            stream, thread = self._stream, self._thread
        if stream is not None:
            stream.close()
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _listen(self) -> None:
        failures = 0
        while not self._closed.is_set():
            try:
                self._position.adjust(self._clock_offset_s())
                for event in self._events():
                    failures = 0
                    for subscription in self._subscriptions:
                        subscription.offer(event)
            except (EngineError, ValueError) as exc:  # ValueError: a line cut off in the middle
                log.debug("events.broken error=%s", exc)
            for subscription in self._subscriptions:
                subscription.interrupt()
            # The engine may be restarting: wait for it, but end at once when we are closed.
            self._closed.wait(_RETRY_S[min(failures, len(_RETRY_S) - 1)])
            failures += 1

    def _events(self) -> Iterator[Event]:
        params = {"since": self._position.since(), "filters": self._filters(_TYPES, _ACTIONS)}
        stream = self._http.stream(
            Call("GET", "/events", "listen to events", params=params), endless=True
        )
        with self._lock:
            self._stream = stream
        with stream:
            if self._closed.is_set():
                return
            for document in json_lines(stream):
                if self._position.advance(document):
                    yield _event(document)

    def recent(
        self, *, actions: Collection[str], labels: Mapping[str, str] = _NO_LABELS
    ) -> list[Event]:
        """Ask for events about containers until now that may still be on their way to waiters.

        Args:
            actions: only these actions.
            labels: only those about containers that bear all of these.

        Raises:
            EngineError: the engine does not answer.
        """
        offset_s = self._position.offset_s
        until = time.time() + (offset_s + _CLOCK_DOUBT_S if offset_s else 0.0)
        params = {
            "since": self._position.since(),
            "until": f"{until:.9f}",
            "filters": self._filters(("container",), actions),
        }
        call = Call("GET", "/events", "ask for events", params=params)
        events = [_event(json.loads(line)) for line in self._http.lines(call)]
        return [
            each
            for each in events
            if each.action.partition(":")[0] in actions
            and labels.items() <= each.attributes.items()
        ]

    def _filters(self, types: Collection[str], actions: Collection[str]) -> str:
        filters = {"type": list(types)}
        if self._http.can.filters_events:
            filters["event"] = list(actions)
        return json.dumps(filters)

    def _clock_offset_s(self) -> float:
        """Return how far the engine's clock is ahead of ours, rather less than more."""
        if self._http.endpoint.is_local and self._http.version.kernel == _kernel():
            return 0.0  # one kernel, one clock
        info = self._http.document(Call("GET", "/info", "ask for the time"))
        asked_until = time.time()
        answered = parse_time(str(info.get("SystemTime", "")))
        return 0.0 if answered is None else answered - asked_until


class _Position:
    """Up to where the events are known, so that a new connection goes on from there."""

    def __init__(self, began_s: float) -> None:
        self._began_s = began_s
        self.offset_s = 0.0
        self._last_ns = 0
        self._seen_at_last: list[Document] = []

    def adjust(self, offset_s: float) -> None:
        self.offset_s = offset_s

    def since(self) -> str:
        nanoseconds = self._last_ns or int((self._began_s + self.offset_s) * 1e9)
        return f"{nanoseconds // 10**9}.{nanoseconds % 10**9:09d}"

    def advance(self, document: Document) -> bool:
        """Note an event; return whether it is new. The engine repeats those at `since` itself."""
        nanoseconds = int(document.get("timeNano") or int(document.get("time") or 0) * 10**9)
        if nanoseconds > self._last_ns:
            self._last_ns = nanoseconds
            self._seen_at_last = []
        elif nanoseconds == self._last_ns and document in self._seen_at_last:
            return False
        self._seen_at_last.append(document)
        return True


def _event(document: Document) -> Event:
    """Read an event, in Docker's words also where Podman has its own."""
    actor = document.get("Actor") or {}
    attributes = dict(actor.get("Attributes") or {})
    if "containerExitCode" in attributes:
        attributes.setdefault("exitCode", attributes["containerExitCode"])
    kind, action = str(document.get("Type", "")), str(document.get("Action", ""))
    return Event(
        type=kind,
        action="destroy" if action == "remove" and kind != "image" else action,
        id=str(actor.get("ID") or attributes.get("name", "")),
        attributes=MappingProxyType(attributes),
        time_s=int(document.get("timeNano") or 0) / 1e9 or float(document.get("time") or 0),
    )


def _kernel() -> str:
    return platform.release() if sys.platform == "linux" else ""
