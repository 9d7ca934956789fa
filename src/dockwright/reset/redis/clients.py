"""Connections that a test left behind and that later tests would notice.

A subscriber counts in the reply to PUBLISH, a blocked BLPOP takes what the next test pushes, a
MONITOR slows everything down. Which connection is an application's own cannot be asked, so only
those are ended that were not there at the baseline, wait for something, and come from the
service's own container (a process that an exec left) or from the host (a test's own client).
Those of other containers stay: an application may subscribe whenever it likes.
"""

from __future__ import annotations

from collections.abc import Iterator

from dockwright.reset.base import Resettable
from dockwright.reset.redis.session import RedisSession, Reply

LIST = ("CLIENT", "LIST")
_WAITING = frozenset("bOSt")
"""Flags of clients that are blocked, monitors, replicas, or told of changed keys."""


class Clients:
    """The connections of the baseline.

    Args:
        service: the service, for the addresses of its container.
        reply: the reply to `LIST` at the baseline.
    """

    def __init__(self, service: Resettable, reply: Reply) -> None:
        self._service = service
        self._known = {client["id"] for client in _clients(reply)}

    def forget(self) -> None:
        """Know none of them any more: the server was restarted and counts from 1 again."""
        self._known = set()

    def end_strangers(self, session: RedisSession, reply: Reply) -> int:
        """End those that a test left; return how many.

        Args:
            session: a connection to the server.
            reply: the reply to `LIST` now.
        """
        waiting = self.strangers(reply)
        if not waiting:
            return 0
        near = set(self._near())
        ids = [client["id"] for client in waiting if _host(client["addr"]) in near]
        session.call(*(("CLIENT", "KILL", "ID", each) for each in ids))
        return len(ids)

    def strangers(self, reply: Reply) -> list[dict[str, str]]:
        """Return those that wait for something and were not there at the baseline."""
        return [
            client
            for client in _clients(reply)
            if client["id"] not in self._known and _waits(client)
        ]

    def _near(self) -> Iterator[str]:
        """Yield the addresses of the container itself, and of the host as the container sees it."""
        yield from ("127.0.0.1", "::1", "")
        details = self._service.engine.inspect_container(self._service.container())
        for network in details["NetworkSettings"]["Networks"].values():
            for name in ("IPAddress", "Gateway", "GlobalIPv6Address", "IPv6Gateway"):
                if address := network.get(name):
                    yield address


def _clients(reply: Reply) -> list[dict[str, str]]:
    lines = reply.decode(errors="replace").splitlines() if isinstance(reply, bytes) else []
    fields = ((field.partition("=") for field in line.split(" ")) for line in lines)
    return [{name: value for name, _, value in each} for each in fields]


def _waits(client: dict[str, str]) -> bool:
    subscribed = any(client.get(name, "0") != "0" for name in ("sub", "psub", "ssub"))
    return subscribed or not _WAITING.isdisjoint(client.get("flags", ""))


def _host(address: str) -> str:
    """Return the host of ``10.0.0.2:6379`` or ``[::1]:6379``; that of a Unix socket is empty."""
    return "" if address.startswith("/") else address.rpartition(":")[0].strip("[]")
