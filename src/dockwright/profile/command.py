"""Runs the command to be profiled as it is: same terminal, same exit code, the probe beside it."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType, TracebackType
from typing import IO, TYPE_CHECKING, Any, Self

from dockwright.engine import Engine, Event, parse_time
from dockwright.errors import EngineError, UsageError
from dockwright.profile.analysis import Finished
from dockwright.profile.analysis.records import Container, EngineEvent, EngineFacts, Probe
from dockwright.profile.inside.dockwright_probe import DIRECTORY_VARIABLE

if TYPE_CHECKING:
    from dockwright.engine import Subscription


INSIDE = Path(__file__).parent / "inside"
"""What the profiled processes have in front of their path."""

_FORWARDED = (signal.SIGTERM, signal.SIGHUP)
_TURN_S = 1.0
_CANNOT_RUN = "check the spelling, and that the right virtual environment is active"


def run_command(
    command: Sequence[str], records: Path, *, stdout: IO[str] | None = None
) -> Finished:
    """Run `command` to its end, with the probe in each Python process of it.

    Ctrl-C reaches the command as it would without us, through its terminal or process group; it
    does not end the profile. SIGTERM and SIGHUP are handed on.

    Args:
        command: its words.
        records: an empty directory that the probe writes to.
        stdout: where its standard output goes; None: where ours goes.

    Raises:
        UsageError: there is no such command, or it cannot be run.
    """
    began_s = time.monotonic()
    with _Signals() as signals:
        try:
            process = subprocess.Popen(
                command, env=profiled_environment(os.environ, records), stdout=stdout
            )
        except (FileNotFoundError, PermissionError) as failure:
            raise UsageError(
                f"cannot run {command[0]!r}: {failure.strerror}", hint=_CANNOT_RUN
            ) from failure
        with signals.forwarded_to(process):
            code = _ended(process)
    return Finished(
        command=tuple(command),
        exit_code=code if code >= 0 else 128 - code,
        began_s=began_s,
        ended_s=time.monotonic(),
        interrupted=signals.interrupted,
    )


def profiled_environment(environ: Mapping[str, str], records: Path) -> dict[str, str]:
    """Return the environment of a command whose Python processes load the probe."""
    path = os.pathsep.join(part for part in (str(INSIDE), environ.get("PYTHONPATH")) if part)
    # A command that a test of another run starts is not part of that test.
    kept = {key: text for key, text in environ.items() if key != "PYTEST_CURRENT_TEST"}
    return {**kept, "PYTHONPATH": path, DIRECTORY_VARIABLE: str(records)}


def _ended(process: subprocess.Popen[bytes]) -> int:
    while True:
        try:
            return process.wait(_TURN_S)
        except subprocess.TimeoutExpired:
            continue  # in turns: Python runs its signal handlers between them


class _Signals:
    """What signals do while a command runs: they are its concern, not ours."""

    def __init__(self) -> None:
        self.interrupted = False
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> _Signals:
        self._before = {
            number: signal.signal(number, self._handle) for number in (signal.SIGINT, *_FORWARDED)
        }
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    @contextmanager
    def forwarded_to(self, process: subprocess.Popen[bytes]) -> Iterator[None]:
        """Hand signals on to `process`."""
        self._process = process
        yield
        self._process = None

    def _handle(self, number: int, frame: FrameType | None) -> None:
        del frame
        if number == signal.SIGINT:
            self.interrupted = True
        elif self._process is not None:
            self._process.send_signal(number)


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
        self._happenings: list[EngineEvent] = []
        self._containers: dict[str, Container] = {}
        self._probes: dict[str, list[tuple[Probe, ...]]] = {}
        self._ended = threading.Event()
        self._lost = False

    def __enter__(self) -> Self:
        # Converts the engine's clock into the probe's.
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
        happening = EngineEvent(
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
