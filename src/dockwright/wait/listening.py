"""Waits until a container listens on the ports that its Compose file declares, for a while."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from dockwright.engine.types import Document
from dockwright.errors import UsageError
from dockwright.wait.loop import Cadence, Continue, Outcome, Ready, Wait
from dockwright.wait.network import connect_once
from dockwright.wait.strategy import Check
from dockwright.wait.target import ContainerTarget
from dockwright.wait.worker import begin_probing

_log = logging.getLogger(__name__)

PATIENCE_S = 10.0
"""How long a long-lived stack waits for a declared port; it may be that of a debugger."""

_CADENCE = Cadence(first_s=0.010, ceiling_s=0.050, share=0.02)
_ATTEMPT_S = 2.0
_LISTEN = "0A"
_LOOPBACK = ("0100007F", "00000000000000000000000001000000")


def _warn(service: str, ports: tuple[int, ...]) -> None:
    _log.warning(
        "%s does not listen on port %s, which it declares; it counts as started anyway",
        service,
        " and ".join(map(str, ports)),
    )


class SilentPorts:
    """Remembers declared ports on which services did not listen, to wait for them only once.

    Args:
        on_silent: called with a service and its silent ports, once for each; default: a warning.
    """

    def __init__(self, on_silent: Callable[[str, tuple[int, ...]], None] = _warn) -> None:
        self._on_silent = on_silent
        self._lock = threading.Lock()
        self._known: dict[str, frozenset[int]] = {}

    def of(self, service: str) -> frozenset[int]:
        """Return the ports of a service that are not worth waiting for."""
        return self._known.get(service, frozenset())

    def add(self, service: str, ports: Iterable[int]) -> None:
        """Note that nothing listened on these ports in time."""
        with self._lock:
            new = set(ports) - self.of(service)
            self._known[service] = self.of(service) | new
        if new:
            self._on_silent(service, tuple(sorted(new)))


@dataclass(frozen=True, slots=True)
class Listening:
    """The container runs and listens on its ports, or `patience_s` (if any) is over.

    This is for a service whose file says where it listens, but not when it is ready. Where this
    host sees the container's processes, nothing connects to it: some servers take one client only.

    Args:
        ports: the container's TCP ports; none: it is enough that it runs.
        silent: remembers the ports on which nothing listened in time.
        patience_s: how long to wait for them once it runs, in seconds, before it counts as ready
            without them; None: it never does.
    """

    ports: tuple[int, ...]
    silent: SilentPorts = field(default_factory=SilentPorts)
    patience_s: float | None = None

    @property
    def survives_exit(self) -> bool:
        """Nothing listens after an exit."""
        return False

    def __str__(self) -> str:
        if not self.ports:
            return "to run"
        return f"to listen on port {' and '.join(map(str, self.ports))}"

    def begin(self, wait: Wait) -> Check:
        """Start to look at its ports repeatedly."""
        target = wait.target
        if not isinstance(target, ContainerTarget):
            raise UsageError(f"cannot wait for {target.name} {self}: it is not a container")
        look = _Look(target, self, wait)
        return begin_probing(wait, "listening", look, cadence=_CADENCE)


class _Look:
    """Checks the ports of one container, each until something listens there."""

    def __init__(self, target: ContainerTarget, wanted: Listening, wait: Wait) -> None:
        self._target = target
        self._wanted = wanted
        self._wait = wait
        self._missing = set(wanted.ports) - wanted.silent.of(target.name)
        self._document: Document = {}
        self._runs_since: float | None = None

    def __call__(self) -> Outcome:
        if not self._runs():
            return Continue(f"it is {self._document['State']['Status']}")
        now = self._wait.options.clock.now()
        self._runs_since = now if self._runs_since is None else self._runs_since
        self._missing -= self._found()
        if not self._missing:
            return Ready()
        patience_s = self._wanted.patience_s
        if patience_s is not None and now - self._runs_since >= patience_s:
            self._wanted.silent.add(self._target.name, self._missing)
            return Ready()
        return Continue(f"nothing listens on port {', '.join(map(str, sorted(self._missing)))} yet")

    def _runs(self) -> bool:
        if self._runs_since is None:
            target = self._target
            self._document = target.engine.inspect_container(target.container_id)
        return bool(self._document["State"]["Running"])

    def _found(self) -> set[int]:
        if not self._missing:
            return set()
        pid, container = int(self._document["State"]["Pid"]), str(self._document["Id"])
        seen = listened_ports(pid, container)
        return {port for port in self._missing if self._connects(port)} if seen is None else seen

    def _connects(self, port: int) -> bool:
        limit_s = max(0.1, min(_ATTEMPT_S, self._wait.remaining_s()))
        return isinstance(connect_once(self._target.address(port), limit_s), Ready)


def listened_ports(pid: int, container: str) -> set[int] | None:
    """Return the TCP ports on which a container listens for others than itself.

    Args:
        pid: of its first process, as the engine knows it.
        container: its id, by which the process is known again.

    Returns:
        None where this host does not see the process: the engine runs on another system, or in
        another namespace, where the number means something else.
    """
    process = Path("/proc", str(pid))
    try:
        if container not in (process / "cgroup").read_text():
            return None
        tables = [each.read_text() for each in (process / "net").glob("tcp*")]  # tcp6 may lack
    except OSError:  # this is not Linux, or the process has ended
        return None
    rows = [line.split() for table in tables for line in table.splitlines()[1:]]
    places = [row[1].split(":") for row in rows if row[3] == _LISTEN]
    return {int(port, 16) for host, port in places if host not in _LOOPBACK}
