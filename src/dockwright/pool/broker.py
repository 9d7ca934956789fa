"""The process that owns the pool of one project: ``python -m dockwright.pool.broker``.

It is started by the first client that needs a stack, serves the clients of one user over a Unix
socket, and ends, removing everything, when the last client has gone (or `--keep-warm` later).
A client that dies is an end of file: what it held is dirty at once.
"""

from __future__ import annotations

import argparse
import logging
import os
import queue
import selectors
import signal
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from dockwright.errors import explained
from dockwright.pool.protocol import Connection, Room
from dockwright.pool.runtime import BrokerPlace, peer_uid
from dockwright.pool.served import Client
from dockwright.pool.service import PoolService, ServiceOptions
from dockwright.wait import Cadence

_log = logging.getLogger(__name__)

_MOST_CLIENTS = 500
"""Each has a thread; far more than the workers and runs of one project."""

_FIRST_CLIENT_S = 10.0
"""A broker to which nobody comes ends after this time: its starter died."""


@dataclass(frozen=True, slots=True)
class BrokerOptions:
    """How a broker runs.

    Attributes:
        root: the project's root directory.
        place: its socket, lock and log.
        keep_warm_s: how long the pool stays after the last client has gone, in seconds.
    """

    root: Path
    place: BrokerPlace
    keep_warm_s: float


class Broker:
    """Accepts clients and ends when nobody needs it any more.

    One thread decides: a client that leaves is noted, and the serving thread settles whether the
    broker stays for others or ends; the last client's farewell comes when everything is removed.

    Args:
        listener: a listening Unix socket.
        service: what the clients talk to.
        options: how it runs.
    """

    def __init__(
        self, listener: socket.socket, service: PoolService, options: BrokerOptions
    ) -> None:
        self._listener = listener
        self._service = service
        self._options = options
        self._clients: set[Client] = set()
        self._room = Room()
        self._leaving: queue.SimpleQueue[Client] = queue.SimpleQueue()
        self._last: list[Client] = []
        self._deadline: float | None = time.monotonic() + _FIRST_CLIENT_S
        self._ending = False
        self._wake_read, self._wake_write = socket.socketpair()

    def serve(self) -> None:
        """Serve until the last client has gone and the time to keep warm is over."""
        self._listener.settimeout(0)
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            selector.register(self._wake_read, selectors.EVENT_READ)
            while not self._ending:
                ready = {key.fileobj for key, _ in selector.select(self._remaining_s())}
                if self._wake_read in ready:
                    self._wake_read.recv(4096)
                if self._listener in ready:
                    self._accept()
                self._settle()
        self._end()

    def stop(self) -> None:
        """End as soon as may be; from any thread or a signal handler."""
        self._ending = True
        self._wake_write.send(b"x")

    def _leave(self, client: Client) -> None:
        self._leaving.put(client)
        self._wake_write.send(b"x")

    def _remaining_s(self) -> float | None:
        return None if self._deadline is None else max(0.0, self._deadline - time.monotonic())

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except BlockingIOError:
            return
        sock.settimeout(None)
        if peer_uid(sock) != os.getuid():
            _log.warning("refused a client of user %s", peer_uid(sock))
            sock.close()
            return
        if len(self._clients) >= _MOST_CLIENTS:
            _log.warning("refused a client: there are %s already", _MOST_CLIENTS)
            sock.close()
            return
        client = Client(Connection(sock, self._room), self._service, on_leaving=self._leave)
        self._clients.add(client)
        self._deadline = None
        client.start()

    def _settle(self) -> None:
        """Say farewell to those who leave; end if nobody is left and the time is over."""
        leaving: list[Client] = []
        while not self._leaving.empty():
            leaving.append(self._leaving.get())
        self._clients.difference_update(leaving)
        if leaving and not self._clients:
            self._deadline = time.monotonic() + self._service.stays_s(self._options.keep_warm_s)
        if self._clients or self._remaining_s() != 0.0:
            self._bid_farewell(leaving)
            if leaving and not self._clients:
                self._service.rest()
            return
        self._last += leaving
        # A client that connects now finds either the socket gone or a broker that serves it.
        with self._options.place.locked():
            self._accept()
            if not self._clients:
                self._options.place.address.unlink(missing_ok=True)
                self._ending = True
                return
        self._bid_farewell(self._last)
        self._last.clear()

    def _end(self) -> None:
        self._options.place.address.unlink(missing_ok=True)
        self._listener.close()
        problems: list[str] = []
        try:
            self._service.close()
        except Exception as failure:  # noqa: BLE001 - whatever it is, the clients must hear of it
            problems.append(explained(failure))
            _log.exception("not everything could be removed")
        with suppress(OSError):  # the directory may be gone: the farewell counts more
            self._options.place.vacate()
        self._bid_farewell([*self._last, *self._clients], problems)

    def _bid_farewell(self, clients: list[Client], problems: Sequence[str] = ()) -> None:
        for client in clients:
            client.farewell(problems)


def main() -> None:
    """Run a broker on the listening socket that the starter passed on."""
    parser = argparse.ArgumentParser(prog="python -m dockwright.pool.broker")
    parser.add_argument("--fd", type=int, required=True)
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--engine", default="")
    parser.add_argument("--place", required=True)
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--keep-warm", type=float, default=0.0)
    parser.add_argument("--max-stacks", type=int, default=0)
    parser.add_argument("--start-timeout", type=float, default=120.0)
    parser.add_argument("--poll-first", type=float, default=0.02)
    parser.add_argument("--poll-ceiling", type=float, default=0.25)
    parser.add_argument("--cache", default="")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    service = PoolService(
        ServiceOptions(
            root=given.root,
            engine=given.engine,
            max_stacks=given.max_stacks,
            start_timeout_s=given.start_timeout,
            cadence=Cadence(given.poll_first, given.poll_ceiling),
            cache=Path(given.cache) if given.cache else None,
        )
    )
    options = BrokerOptions(given.root, BrokerPlace(given.place, given.directory), given.keep_warm)
    broker = Broker(socket.socket(fileno=given.fd), service, options)
    _stop_on_signals(broker.stop)
    broker.serve()


def _stop_on_signals(stop: Callable[[], None]) -> None:
    def handle(number: int, frame: FrameType | None) -> None:
        del frame
        _log.info("ending on signal %s", signal.Signals(number).name)
        stop()

    signal.signal(signal.SIGTERM, handle)
    signal.signal(signal.SIGINT, handle)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


if __name__ == "__main__":
    main()
