"""Keeps what the engine tells while a command runs: events, and how containers are configured."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from dockwright.engine import Engine, Event, parse_time
from dockwright.errors import EngineError
from dockwright.profile.analysis.facts import Container, EngineFacts, Happening, Probe

if TYPE_CHECKING:
    from dockwright.engine import Subscription

log = logging.getLogger(__name__)

_ACTIONS = ("create", "start", "kill", "die", "stop", "destroy", "health_status", "oom", "pull",
            "remove", "delete")  # fmt: skip
_LOOK_S = 0.2
_DRAIN_S = 0.3


class EngineWatch:
    """Collects events from its beginning to its end; a context manager.

    Args:
        engine: whose events.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._happenings: list[Happening] = []
        self._containers: dict[str, Container] = {}
        self._probes: dict[str, list[tuple[Probe, ...]]] = {}
        self._ended = threading.Event()
        self._lost = False

    def __enter__(self) -> Self:
        # The engine's clock and the probe's are told apart by one look at both.
        self._ahead_s = time.time() - time.monotonic()
        self._subscription: Subscription = self._engine.events.subscribe(
            types=("container", "network", "volume", "image"), actions=_ACTIONS
        )
        self._thread = threading.Thread(target=self._collect, name="dockwright-profile")
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()
        self._subscription.close()

    def facts(self) -> EngineFacts:
        """Return what was seen; to be asked for after the end."""
        return EngineFacts(
            happenings=tuple(sorted(self._happenings, key=lambda each: each.at_s)),
            containers=dict(self._containers),
            probes={key: tuple(each) for key, each in self._probes.items()},
            complete=not self._lost,
        )

    def _collect(self) -> None:
        while True:
            ending = self._ended.is_set()
            event = self._subscription.get(_DRAIN_S if ending else _LOOK_S)
            self._lost = self._subscription.lost or self._lost
            if event is not None:
                self._take(event)
            elif ending:
                return

    def _take(self, event: Event) -> None:
        action, _, rest = event.action.partition(": ")
        happening = Happening(
            kind=event.type,
            action=action,
            id=event.id,
            at_s=event.time_s - self._ahead_s,
            name=event.attributes.get("name", event.id),
            detail=rest or event.attributes.get("signal", ""),
            project=event.attributes.get("com.docker.compose.project", ""),
        )
        self._happenings.append(happening)
        if event.type == "container" and action in ("start", "health_status"):
            self._look_at(event.id, after_probe=rest == "healthy")

    def _look_at(self, container: str, *, after_probe: bool) -> None:
        try:
            document = self._engine.inspect_container(container)
        except EngineError as gone:
            log.debug("profile.gone container=%s error=%s", container, gone)
            return
        self._containers[container] = _container(document)
        if after_probe:
            health = document.get("State", {}).get("Health") or {}
            probes = tuple(self._probe(each) for each in health.get("Log") or ())
            self._probes.setdefault(container, []).append(probes)

    def _probe(self, entry: Mapping[str, Any]) -> Probe:
        begin, end = (parse_time(str(entry.get(key, ""))) or 0.0 for key in ("Start", "End"))
        return Probe(begin - self._ahead_s, end - self._ahead_s, entry.get("ExitCode") == 0)


def _container(document: Mapping[str, Any]) -> Container:
    config = document.get("Config") or {}
    labels = config.get("Labels") or {}
    return Container(
        id=str(document.get("Id", "")),
        name=str(document.get("Name", "")).lstrip("/"),
        image=str(config.get("Image", "")),
        project=labels.get("com.docker.compose.project", ""),
        service=labels.get("com.docker.compose.service", ""),
        working_dir=labels.get("com.docker.compose.project.working_dir", ""),
    )
