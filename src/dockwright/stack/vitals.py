"""Whether the containers of a copy still run as they did at its baseline.

Rests on no event: whether an engine reports a death before or after it answers the call that caused
it differs from engine to engine, and it may learn of a death only after the test did.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial

from dockwright.engine import Engine, parallel
from dockwright.engine.inside import MainProcess
from dockwright.engine.types import Document
from dockwright.errors import NoSuchObjectError
from dockwright.stack.view import StackView

_NOTICED_S, _PAUSE_S = 5.0, 0.01  # an engine learns of a death within milliseconds


@dataclass(frozen=True, slots=True)
class _Vital:
    """How one container was.

    Attributes:
        container: its id.
        status: the engine's word.
        started: when it was started last, in the engine's words.
        process: its first process; None where it does not run, or this host cannot see it.
    """

    container: str
    status: str
    started: str
    process: MainProcess | None

    @classmethod
    def of(cls, details: Document) -> _Vital:
        state = details["State"]
        running = state["Status"] == "running"
        return cls(
            details["Id"],
            state["Status"],
            state["StartedAt"],
            MainProcess.of(details) if running else None,
        )


class Vitals:
    """Remembers how the containers of one copy run, and finds out whether that has changed.

    Args:
        stack: the copy.
    """

    def __init__(self, stack: StackView) -> None:
        self._stack = stack
        self._engine: Engine = stack.engine
        self._known: dict[str, _Vital] = {}

    def capture(self) -> None:
        """Take what is now as how the containers should run."""
        found = parallel.run(
            [
                partial(self._engine.inspect_container, container)
                for container in self._stack.containers.values()
            ]
        )
        self._known = {each["Id"]: _Vital.of(each) for each in found}

    def intact(self) -> bool:
        """Return whether no container has died, was started again, paused or removed since.

        The kernel is asked where it is this host's, which takes microseconds; else the engine.
        """
        if set(self._stack.containers.values()) != self._known.keys():
            return False
        visible = [each for each in self._known.values() if each.process is not None]
        if not all(self._runs(each) for each in visible):
            return False
        hidden = [each for each in self._known.values() if each.process is None]
        return all(parallel.run([partial(self._is_as_before, each) for each in hidden]))

    def disturbed(self) -> list[str]:
        """Return the services whose containers died, were started again, paused or removed."""
        self.await_engine()
        names = {container: name for name, container in self._stack.containers.items()}
        return sorted(
            names.get(each.container, "")
            for each in self._known.values()
            if not self._is_as_before(each)
        )

    def await_engine(self) -> None:
        """Wait until the engine knows of the deaths that the kernel knows of."""
        deadline = time.monotonic() + _NOTICED_S
        for each in self._known.values():
            while self._is_unnoticed(each) and time.monotonic() < deadline:
                time.sleep(_PAUSE_S)

    def _runs(self, vital: _Vital) -> bool:
        self._engine.await_unpaused(vital.container)
        process = vital.process
        return process is not None and not process.has_ended and not process.is_frozen

    def _is_as_before(self, vital: _Vital) -> bool:
        try:
            now = self._engine.inspect_container(vital.container)["State"]
        except NoSuchObjectError:
            return False
        return (now["Status"], now["StartedAt"]) == (vital.status, vital.started)

    def _is_unnoticed(self, vital: _Vital) -> bool:
        gone = vital.process is not None and vital.process.has_ended
        return gone and self._is_as_before(vital)
