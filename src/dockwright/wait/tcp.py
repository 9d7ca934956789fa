"""Waiting for a port to be listened on."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from dockwright.model import Address
from dockwright.wait.outcome import Continue, Outcome, Ready
from dockwright.wait.strategy import Check, Wait
from dockwright.wait.worker import begin_probing

_LINGER_S = 0.05
"""How long a new connection is looked at. Docker's proxy accepts for a service that does not listen
yet, then fails to reach it and closes: within about a millisecond on one host."""


@dataclass(frozen=True, slots=True)
class Tcp:
    """A port accepts connections and does not close them at once.

    A service that listens is not always one that can serve: prefer its health check, `Http` or
    `Exec` where there is one.

    Args:
        port: the port in the container; of a process: on this host.
        host: connect to this host instead of asking the target for the address.
        attempt_s: how long one attempt to connect may take, in seconds.
    """

    port: int
    host: str | None = None
    attempt_s: float = 5.0

    def __post_init__(self) -> None:
        require_port(self.port)

    @property
    def survives_exit(self) -> bool:
        """Nothing listens after an exit."""
        return False

    def __str__(self) -> str:
        return f"to accept connections on port {self.port}"

    def begin(self, wait: Wait) -> Check:
        """Start to connect repeatedly."""

        def probe() -> Outcome:
            address = Address(self.host, self.port) if self.host else wait.target.address(self.port)
            return connect_once(address, max(0.1, min(self.attempt_s, wait.remaining_s())))

        return begin_probing(wait, "tcp", probe)


def require_port(port: int) -> None:
    """Raise unless `port` can be a TCP port."""
    if type(port) is not int:
        raise TypeError(f"a port is a number, not {port!r}")
    if not 1 <= port <= 65535:
        raise ValueError(f"a port is a number from 1 to 65535, not {port}")


def connect_once(address: Address, limit_s: float) -> Outcome:
    """Return whether a service listens there now; a proxy that listens for none does not count."""
    try:
        with socket.create_connection((address.host, address.port), limit_s) as connection:
            connection.settimeout(_LINGER_S)
            try:
                closed = not connection.recv(1)
            except TimeoutError:  # it waits for us to speak first
                closed = False
    except OSError as error:
        return Continue(f"{address}: {reason(error)}")
    return Continue(f"{address}: connected, but closed at once") if closed else Ready(address)


def reason(error: BaseException) -> str:
    """Return an error's text, or its name where it has none: ``connection refused``."""
    text = getattr(error, "strerror", None) or str(error)
    return text[0].lower() + text[1:] if text else type(error).__name__
