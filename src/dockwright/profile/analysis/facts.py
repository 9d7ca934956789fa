"""What the engine told: the graces and health intervals that its events show."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Happening:
    """One event, at a time of the machine's monotonic clock.

    Attributes:
        kind: ``container``, ``image``, ``network`` or ``volume``.
        action: ``start``, ``kill``, ``die``, ``health_status``...
        id: of the object.
        at_s: when, in seconds.
        name: of the object.
        detail: a kill's signal, a health status.
        project: the Compose project of a container.
    """

    kind: str
    action: str
    id: str
    at_s: float
    name: str = ""
    detail: str = ""
    project: str = ""

    def is_of(self, project: str) -> bool:
        """Tell whether the object is one of a Compose project, by its label or its name."""
        return self.project == project or self.name.startswith((f"{project}_", f"{project}-"))


@dataclass(frozen=True, slots=True)
class Container:
    """What a container is called, and what it is one of."""

    id: str
    name: str = ""
    image: str = ""
    project: str = ""
    service: str = ""
    working_dir: str = ""

    @property
    def title(self) -> str:
        """How a person calls it: copies of one service have one title."""
        if self.service:
            return f"service {self.service} ({self.image})"
        return f"a container of {self.image}" if self.image else f"container {self.id[:12]}"

    def is_named(self, ref: str) -> bool:
        """Tell whether it is what somebody calls by this name, or by the begin of its id."""
        return bool(ref) and (ref == self.name or (len(ref) >= 3 and self.id.startswith(ref)))


@dataclass(frozen=True, slots=True)
class Probe:
    """One run of a health check."""

    begin: float
    end: float
    good: bool


@dataclass(frozen=True, slots=True)
class Loss:
    """Time that the engine let pass, whoever waited for it.

    Attributes:
        cause: ``grace`` or ``health``.
        container: whose.
        begin: from when, by the monotonic clock.
        end: until when.
        certain: whether the events prove it.
    """

    cause: str
    container: Container
    begin: float
    end: float
    certain: bool

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.end - self.begin


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """All that was seen of an engine.

    Attributes:
        happenings: its events, by time.
        containers: the configurations of those that started.
        probes: of each container, the last probes before each time it became healthy.
        complete: whether no event was lost.
    """

    happenings: tuple[Happening, ...] = ()
    containers: Mapping[str, Container] = field(default_factory=dict)
    probes: Mapping[str, tuple[tuple[Probe, ...], ...]] = field(default_factory=dict)
    complete: bool = True

    def container(self, happening: Happening) -> Container:
        """Return the container that something happened to."""
        known = self.containers.get(happening.id)
        return known or Container(happening.id, happening.name)

    def losses(self) -> Iterator[Loss]:
        """Yield every grace and health interval that was waited out."""
        begun: dict[str, Happening] = {}
        asked: dict[str, Happening] = {}
        for each in self.happenings:
            if each.kind != "container":
                continue
            if each.action == "start":
                begun[each.id] = each
            elif each.action == "die":
                asked.pop(each.id, None)
            elif each.action == "kill":
                yield from self._grace(asked, each)
            elif each.action == "health_status" and each.detail == "healthy" and each.id in begun:
                yield from self._interval(begun.pop(each.id), each)

    def _grace(self, asked: dict[str, Happening], kill: Happening) -> Iterator[Loss]:
        """A stop asks first, and kills when the grace is over."""
        if kill.detail not in ("9", "SIGKILL"):
            asked.setdefault(kill.id, kill)
        elif kill.id in asked:
            first = asked.pop(kill.id)
            yield Loss("grace", self.container(kill), first.at_s, kill.at_s, certain=True)

    def _interval(self, start: Happening, healthy: Happening) -> Iterator[Loss]:
        """Between two probes nobody looks: readiness came somewhere in the last interval.

        The first probe comes one interval after the start. Where it succeeded, a probe at the
        start might have done so as well, and all of the interval may have been lost; where
        others had failed before, half of the last interval was, on average.
        """
        container = self.container(start)
        log = next(
            (
                probes
                for probes in self.probes.get(start.id, ())
                if probes and start.at_s < probes[-1].end <= healthy.at_s + 1.0
            ),
            (),
        )
        good = next((probe for probe in log if probe.good and probe.begin > start.at_s), None)
        if good is None:
            return
        failed = [probe for probe in log if not probe.good and start.at_s < probe.end < good.begin]
        begin = (failed[-1].end + good.begin) / 2 if failed else start.at_s
        yield Loss("health", container, begin, good.begin, certain=False)
