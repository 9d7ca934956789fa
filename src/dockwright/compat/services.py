"""What pytest-docker's ``docker_services`` fixture gives, on a stack of ours."""

from __future__ import annotations

import threading
import timeit
from collections.abc import Callable, Mapping

from dockwright.compat.compose import Compose
from dockwright.wait import Cadence

_FIRST_PAUSE_S = 0.02


class Services:
    """What ``docker_services`` gives.

    Args:
        published: returns ``host:port`` by ``port/protocol`` for a service's published ports.
        compose: for the commands that suites run on their own.
    """

    def __init__(self, published: Callable[[str], Mapping[str, str]], compose: Compose) -> None:
        self._published = published
        self._docker_compose = compose  # private there too, and used all the same

    def port_for(self, service: str, container_port: int) -> int:
        """Return the port of the host that leads to the service's own port.

        Raises:
            ValueError: the service does not publish it.
            UnknownServiceError: no such service; lists those that are.
        """
        address = self._published(service).get(f"{container_port}/tcp")
        if address is None:
            raise ValueError(f'Could not detect port for "{service}:{container_port}".')
        return int(address.rpartition(":")[2])

    def wait_until_responsive(
        self,
        check: Callable[[], object],
        timeout: float,
        pause: float,
        clock: Callable[[], float] = timeit.default_timer,
    ) -> None:
        """Wait until `check` returns something true.

        Args:
            check: is called at once and then again and again.
            timeout: how long to wait, in seconds.
            pause: the longest pause between two calls, in seconds; the first ones are shorter.
            clock: tells the time in seconds.

        Raises:
            Exception: it was not in time, with pytest-docker's text.
        """
        longest_s = max(pause, 0.001)
        cadence = Cadence(min(_FIRST_PAUSE_S, longest_s), longest_s)
        began = now = clock()
        while now - began < timeout:
            if check():
                return
            # Nothing tells when a user's own check becomes true: it has to be polled.
            threading.Event().wait(cadence.pause_s(now - began))
            now = clock()
        raise Exception("Timeout reached while waiting on service!")  # noqa: TRY002 - see above
