"""Who came into a copy's containers from outside: commands run, files copied, signals sent.

Whatever else changes inside a container is the doing of its own processes.
"""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor

from dockwright.engine import Engine, Event
from dockwright.engine.types import Document
from dockwright.errors import EngineError
from dockwright.stack.naming import COMPOSE_PROJECT
from dockwright.wait.health import declared_healthcheck, is_probe, probe_command

_COMMAND = "exec_start"
_LATEST = 64
"""How many commands of a copy are remembered: health checks among them may still run."""
_STARTING_S, _PAUSE_S = 1.0, 0.01
_ACTIONS = (_COMMAND, "extract-to-dir", "attach", "kill")


class Entries:
    """Collects the engine's events about the containers of one copy.

    An engine's events may come late. `catch_up` asks for those that have not come yet, so that
    nothing rests on their order. Where they cannot be had, everybody counts as having entered.

    Args:
        engine: where the copy is.
        project: its name.
    """

    def __init__(self, engine: Engine, project: str) -> None:
        self._engine = engine
        self._project = project
        self._subscription = engine.events.subscribe(
            labels={COMPOSE_PROJECT: project}, actions=_ACTIONS
        )
        self._blind = not engine.can.reports_copied_files
        self._lost = False
        self._asker = ThreadPoolExecutor(1, "dockwright-entries")
        self._late: Future[list[Event]] | None = None
        self._known_until_s = 0.0  # by the engine's clock
        self._commands: dict[str, dict[str, str]] = {}
        self._latest: dict[str, tuple[str, str]] = {}
        self._copied: set[str] = set()
        self._signalled: set[str] = set()

    def catch_up(self) -> None:
        """Ask for all events until now; whoever wants to know something waits for the answer."""
        self._take_arrived()
        self._late = self._asker.submit(
            self._engine.events.recent, actions=_ACTIONS, labels={COMPOSE_PROJECT: self._project}
        )

    def entered(self, container: str, details: Document) -> bool:
        """Return whether somebody but us and health checks ran a command there or copied files.

        Args:
            container: its id.
            details: its inspect.
        """
        self._take_late()
        commands = self._commands.get(container, {}).items()
        foreign = (
            not self._engine.made_exec(exec_id) and not self.is_check(command, details)
            for exec_id, command in commands
        )
        return self._blind or self._lost or container in self._copied or any(foreign)

    def signalled(self, container: str) -> bool:
        """Return whether somebody sent a signal to its first process."""
        self._take_late()
        return container in self._signalled

    @staticmethod
    def is_check(command: str, details: Document) -> bool:
        """Return whether a command line is a health check, run by the engine or by a wait."""
        healthcheck = declared_healthcheck(details["Config"])
        argv = probe_command(healthcheck, details["Config"]) if healthcheck else []
        return is_probe(command) or (bool(argv) and command == " ".join(argv).strip())

    def check_pids(self, container: str, details: Document) -> set[int]:
        """Return the pids, on the engine's host, of the health checks that run there now.

        A check's command line does not always give it away: scripts run under an interpreter.
        """
        self.catch_up()
        self._take_late()
        checks = [
            exec_id
            for exec_id, (where, command) in self._latest.items()
            if where == container and self.is_check(command, details)
        ]
        deadline = time.monotonic() + _STARTING_S
        while 0 in (pids := self._engine.pids_of(checks)) and time.monotonic() < deadline:
            time.sleep(_PAUSE_S)  # the engine has no event for a command that has its pid
        return pids

    def forget(self) -> None:
        """Forget what happened until now."""
        self._take_late()
        self._take_arrived()  # else they would pile up where nobody asks for them
        self._commands.clear()
        self._copied.clear()
        self._signalled.clear()
        self._lost = False

    def close(self) -> None:
        """Stop to listen."""
        self._subscription.close()
        self._asker.shutdown(wait=False)

    def _take_late(self) -> None:
        late, self._late = self._late, None
        if late is None:
            return
        try:
            events = late.result()
        except (EngineError, ValueError):  # ValueError: an answer that is cut off
            self._lost = True
            return
        for event in events:
            self._take(event)
        exact = (each.time_s for each in events if each.time_s % 1)  # not rounded to seconds
        self._known_until_s = max([self._known_until_s, *exact])

    def _take_arrived(self) -> None:
        while (event := self._subscription.get(0)) is not None:
            if event.time_s > self._known_until_s:  # else the engine was asked for it
                self._take(event)
        self._lost |= self._subscription.lost

    def _take(self, event: Event) -> None:
        action, _, command = event.action.partition(":")
        if action == _COMMAND:
            exec_id, command = event.attributes.get("execID", ""), command.strip()
            self._commands.setdefault(event.id, {})[exec_id] = command
            self._latest[exec_id] = event.id, command
            if len(self._latest) > _LATEST:
                del self._latest[next(iter(self._latest))]
        elif action == "kill":
            self._signalled.add(event.id)
        else:
            self._copied.add(event.id)
