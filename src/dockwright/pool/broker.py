"""The process that owns the pool of one project: ``python -m dockwright.pool.broker``.

The first client that needs a stack starts it. It serves the clients of one user over a Unix socket,
and removes everything and exits when the last client has left (or `keep_warm` later). It reads its
settings from standard input, as JSON. If a client dies, its connection ends, and what it held is
dirty at once.
"""

from __future__ import annotations

import argparse
import itertools
import json
import logging
import math
import os
import queue
import selectors
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from types import FrameType

from dockwright import __version__
from dockwright.compose import LoadOptions
from dockwright.errors import DockwrightError, LeaseError, explained
from dockwright.model import Json, Requirement
from dockwright.pool.lease import Lease, LeaseInfo, SeedKey
from dockwright.pool.protocol import (
    PROTOCOL,
    Connection,
    Grant,
    Message,
    PendingLimit,
    ProtocolError,
    decoding,
    error_from_json,
    error_to_json,
)
from dockwright.pool.runtime import BrokerPlace, peer_uid
from dockwright.pool.service import PoolService
from dockwright.recording import Summary, decoded, encoded
from dockwright.settings import Settings
from dockwright.stack.host_ports import port_mode

_log = logging.getLogger(__name__)

_MOST_ACQUIRING = 100


class Client:
    """Serves one connection in a thread of its own.

    Args:
        connection: to the client.
        service: answers its requests.
        on_leaving: called once, when the client says goodbye or is gone.

    Attributes:
        waits: whether it wants to know that everything is removed.
    """

    def __init__(
        self,
        connection: Connection,
        service: PoolService,
        *,
        on_leaving: Callable[[Client], None],
    ) -> None:
        self._connection = connection
        self._service = service
        self._on_leaving = on_leaving
        self._leases: dict[int, Lease] = {}
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._pid = 0
        self._gone = False
        self._goodbye: int | None = None
        self.waits = True
        self._acquiring = threading.Semaphore(_MOST_ACQUIRING)
        self._uses_stacks = False
        self._actions: Mapping[str, Callable[[Message], Json]] = {
            "hello": self._hello,
            "declare": self._declare,
            "prepare": self._prepare,
            "seeded": self._seeded,
            "reset": self._reset,
            "audit": self._audit,
            "statistics": self._statistics,
            "drain": self._drain,
            "keep": self._keep,
            "record": self._record,
        }

    def start(self) -> None:
        """Serve in the background."""
        threading.Thread(target=self._serve, name="dockwright-client", daemon=True).start()

    def farewell(self, problems: Sequence[str]) -> None:
        """Answer the client's goodbye with what happened meanwhile, and close the connection."""
        if self._goodbye is not None:
            # Each event is reported once: to a client that used stacks, not to one that only looks.
            report = self._report() if self._uses_stacks else Summary()
            summary = replace(report, problems=tuple(problems))
            self._answer(self._goodbye, {"summary": summary.to_json()})
        self._connection.close()

    def _report(self) -> Summary:
        try:
            return self._service.report()
        except Exception as failure:  # noqa: BLE001 - the client waits for the answer
            _log.exception("could not report what the pool did")
            return Summary(notes=(f"warning: what the pool did is unknown: {explained(failure)}",))

    def _serve(self) -> None:
        try:
            while self._goodbye is None and (message := self._connection.receive()) is not None:
                self._handle(message)
        except ProtocolError as failure:
            _log.warning("dropped a client: %r", failure.message)
        finally:
            self._leave()

    def _handle(self, message: Message) -> None:
        with decoding("a request's id or name"):
            number, action = int(message["id"]), str(message["do"])
        if action == "goodbye":
            self.waits = bool(message.get("wait", True))
            self._goodbye = number
        elif action == "acquire":  # may take long; meanwhile the connection may end
            if not self._acquiring.acquire(blocking=False):
                raise ProtocolError(f"more than {_MOST_ACQUIRING} requests for leases at once")
            threading.Thread(
                target=self._acquire, args=(number, message), name="dockwright-acquire", daemon=True
            ).start()
        elif action == "release":
            self._release(number, message)
        elif action in self._actions:
            self._attempt(number, lambda: self._actions[action](message))
        else:
            self._refuse(number, ProtocolError(f"unknown request {action[:100]!r}"))

    def _attempt(self, number: int, work: Callable[[], Json]) -> None:
        try:
            result = work()
        except ProtocolError as failure:
            _log.warning("refused a request: %r", failure.message)
            self._refuse(number, failure)
        except (DockwrightError, ExceptionGroup) as failure:
            self._refuse(number, failure)
        except Exception as failure:  # noqa: BLE001 - the client must not wait forever
            _log.exception("a request failed")
            self._refuse(number, failure)
        else:
            self._answer(number, result)

    def _hello(self, message: Message) -> Json:
        with decoding("a greeting"):
            protocol, version = message["protocol"], str(message["version"])[:100]
            pid = int(message["pid"])
        if protocol != PROTOCOL or version != __version__:
            raise LeaseError(
                f"the broker is dockwright {__version__}, the client {version}",
                hint="the client starts a broker of its own version beside it",
            )
        self._pid = pid
        return {"version": __version__, "protocol": PROTOCOL}

    def _declare(self, message: Message) -> Json:
        with decoding("a declaration"):
            name, options = str(message["name"]), decoded(LoadOptions, message["load"])
            seed = None if message["seed"] is None else decoded(SeedKey, message["seed"])
            run, ports = str(message["run"]), port_mode(message["ports"])
        self._uses_stacks = True
        declared = self._service.declare(name, options, seed, run=run, ports=ports)
        return {"key": declared.key, "warnings": list(declared.warnings)}

    def _prepare(self, message: Message) -> Json:
        with decoding("a request to prepare"):
            key, exclusive = str(message["key"]), int(message["exclusive"])
        self._service.pool.prepare(key, exclusive=exclusive)
        return None

    def _acquire(self, number: int, message: Message) -> None:
        def work() -> Json:
            with decoding("a request for a lease"):
                asked = decoded(Requirement, message["requirement"])
                requirement = replace(asked, holder=f"{self._pid} {asked.holder}")
                timeout_s = _seconds(message["timeout_s"])
            lease = self._service.pool.acquire(
                requirement,
                timeout_s=timeout_s,
                abandoned=lambda: self._gone,
            )
            with self._lock:
                if not self._gone:
                    key = next(self._numbers)
                    self._leases[key] = lease
                    return encoded(Grant.of(key, lease))
            self._service.release(lease, keep=False)  # the client has just died
            return None

        self._attempt(number, work)
        self._acquiring.release()

    def _release(self, number: int, message: Message) -> None:
        with decoding("a release"):
            key, keep = int(message["lease"]), bool(message["keep"])
        with self._lock:
            lease = self._leases.pop(key, None)
        # Answer first: the thread of the reset would delay this one.
        self._answer(number, None)
        if lease is not None:
            self._service.release(lease, keep=keep)

    def _reset(self, message: Message) -> Json:
        with decoding("a request for a reset"), self._lock:
            number = int(message["lease"])
            lease = self._leases[number]
        self._service.pool.reset(lease)
        return encoded(Grant.of(number, lease))

    def _audit(self, message: Message) -> Json:
        with decoding("a request for an audit"), self._lock:
            number, before = int(message["lease"]), bool(message["before"])
            lease = self._leases[number]
        traces = self._service.pool.audit(lease, before=before)
        lease.facts = LeaseInfo.of(lease.stack)  # the way back may have replaced containers
        return {
            "grant": encoded(Grant.of(number, lease)),
            "traces": [encoded(each) for each in traces],
        }

    def _seeded(self, message: Message) -> Json:
        with decoding("the end of a seed"):
            failure = message["error"]
            error = None if failure is None else error_from_json(failure)
            with self._lock:
                lease = self._leases.pop(int(message["lease"]))
        self._service.pool.seeded(lease, error)
        return None

    def _statistics(self, message: Message) -> Json:
        del message
        statistics = self._service.statistics()
        return None if statistics is None else asdict(statistics)

    def _drain(self, message: Message) -> Json:
        del message
        self._service.drain()
        return None

    def _keep(self, message: Message) -> Json:
        with decoding("a request to stay"):
            seconds = _seconds(message["seconds"])
        self._service.keep_for(seconds)
        return None

    def _record(self, message: Message) -> Json:
        with decoding("a request to record"):
            lane = str(message["lane"])
        self._service.record(lane, self._pid)
        return None

    def _leave(self) -> None:
        with self._lock:
            self._gone = True
            leases = list(self._leases.values())
            self._leases.clear()
        self._service.wake()
        self._service.left(self._pid)
        for lease in leases:
            self._service.release(lease, keep=False)
        if self._goodbye is None and self._pid:
            self._service.clean_up_after(self._pid)
        self._on_leaving(self)

    def _answer(self, number: int, result: Json) -> None:
        self._send({"id": number, "ok": result})

    def _refuse(self, number: int, failure: Exception) -> None:
        self._send({"id": number, "error": error_to_json(failure)})

    def _send(self, message: Mapping[str, object]) -> None:
        try:
            self._connection.send(message)
        except OSError:
            _log.info("could not answer: the client is gone")


def _seconds(value: object) -> float:
    seconds = float(str(value))
    if not math.isfinite(seconds):
        raise ValueError(f"{value!r} seconds")
    return seconds


_MOST_CLIENTS = 500
"""Each has a thread; this is far more than the workers and runs of one project."""

_FIRST_CLIENT_S = 10.0
"""A broker without clients exits after this time: the process that started it died."""


class Broker:
    """Accepts clients, and exits when it has none left.

    Clients that leave are queued; the serving thread alone decides whether the broker stays or
    exits. The last client gets its answer when everything is removed, or before if it does not wait
    for that and nothing outside the stacks depends on it.

    Args:
        listener: a listening Unix socket.
        service: answers the clients' requests.
        keep_warm_s: how long it stays after the last client has gone, in seconds.
    """

    def __init__(
        self, listener: socket.socket, service: PoolService, *, keep_warm_s: float
    ) -> None:
        self._listener = listener
        self._place = BrokerPlace.at(Path(listener.getsockname()))
        self._service = service
        self._keep_warm_s = keep_warm_s
        self._clients: set[Client] = set()
        self._pending = PendingLimit()
        self._leaving: queue.SimpleQueue[Client] = queue.SimpleQueue()
        self._last: list[Client] = []
        self._deadline: float | None = time.monotonic() + _FIRST_CLIENT_S
        self._ending = False
        self._wake_read, self._wake_write = socket.socketpair()

    def serve(self) -> None:
        """Serve until the last client has left and the time to keep warm is over."""
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
        """Exit as soon as possible; may be called from any thread or a signal handler."""
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
            _log.warning("refused a client: there are already %s", _MOST_CLIENTS)
            sock.close()
            return
        client = Client(Connection(sock, self._pending), self._service, on_leaving=self._leave)
        self._clients.add(client)
        self._deadline = None
        client.start()

    def _settle(self) -> None:
        """Answer the clients that leave; exit if none is left and the time to keep warm is over."""
        leaving: list[Client] = []
        while not self._leaving.empty():
            leaving.append(self._leaving.get())
        self._clients.difference_update(leaving)
        if leaving and not self._clients:
            self._deadline = time.monotonic() + self._service.stays_s(self._keep_warm_s)
        if self._clients or self._remaining_s() != 0.0:
            self._bid_farewell(leaving)
            if leaving and not self._clients:
                self._service.prepare_for_next_run()
            return
        self._last += leaving
        # A client that connects now finds either the socket gone or a broker that serves it.
        with self._place.locked():
            self._accept()
            if not self._clients:
                self._place.address.unlink(missing_ok=True)
                self._ending = True
                return
        self._bid_farewell(self._last)
        self._last.clear()

    def _end(self) -> None:
        self._place.address.unlink(missing_ok=True)
        self._listener.close()
        if not self._service.touches_the_host:
            hurried = [each for each in self._last if not each.waits]
            if hurried:
                self._service.note_removal()
            self._bid_farewell(hurried)
            self._last = [each for each in self._last if each.waits]
        problems: list[str] = []
        try:
            self._service.close()
        except Exception as failure:  # noqa: BLE001 - whatever it is, the clients have to get it
            problems.append(explained(failure))
            _log.exception("could not remove everything")
        with suppress(OSError):  # the directory may be gone; the clients still need their answer
            self._place.vacate()
        self._bid_farewell([*self._last, *self._clients], problems)

    def _bid_farewell(self, clients: list[Client], problems: Sequence[str] = ()) -> None:
        for client in clients:
            client.farewell(problems)


def main() -> None:
    """Run a broker on the listening socket that the starter passed on."""
    parser = argparse.ArgumentParser(prog="python -m dockwright.pool.broker")
    parser.add_argument("--fd", type=int, required=True)
    parser.add_argument("--socket", help="its path; shows which broker this is")
    parser.add_argument("--root", help="the project's directory; shows whose broker this is")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    settings = decoded(Settings, json.load(sys.stdin))
    broker = Broker(
        socket.socket(fileno=given.fd), PoolService(settings), keep_warm_s=settings.keep_warm
    )
    _stop_on_signals(broker.stop)
    broker.serve()


def _stop_on_signals(stop: Callable[[], None]) -> None:
    def handle(number: int, frame: FrameType | None) -> None:
        del frame
        _log.info("exiting on signal %s", signal.Signals(number).name)
        stop()

    signal.signal(signal.SIGTERM, handle)
    signal.signal(signal.SIGINT, handle)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


if __name__ == "__main__":
    main()
