"""One client of a broker, as the broker sees it: its messages, its leases, its end."""

from __future__ import annotations

import itertools
import logging
import math
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace

from dockwright import __version__
from dockwright.errors import DockwrightError, LeaseError, explained
from dockwright.measure import Summary
from dockwright.model import Json, Requirement
from dockwright.pool.codec import lease_to_json, load_options_from_json
from dockwright.pool.lease import Lease
from dockwright.pool.protocol import (
    PROTOCOL,
    Connection,
    Message,
    ProtocolError,
    decoding,
    error_from_json,
    error_to_json,
)
from dockwright.pool.seed import SeedKey
from dockwright.pool.service import PoolService

_log = logging.getLogger(__name__)

_MOST_ACQUIRING = 100


class Client:
    """Serves one connection in a thread of its own.

    Args:
        connection: to the client.
        service: what it talks to.
        on_leaving: called once when the client says goodbye or is gone.
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
        self._acquiring = threading.Semaphore(_MOST_ACQUIRING)
        self._uses_stacks = False
        self._actions: Mapping[str, Callable[[Message], Json]] = {
            "hello": self._hello,
            "declare": self._declare,
            "prepare": self._prepare,
            "seeded": self._seeded,
            "statistics": self._statistics,
            "drain": self._drain,
            "keep": self._keep,
            "record": self._record,
        }

    def start(self) -> None:
        """Serve in the background."""
        threading.Thread(target=self._serve, name="dockwright-client", daemon=True).start()

    def farewell(self, problems: Sequence[str]) -> None:
        """Answer the client's goodbye, tell what happened meanwhile, and close the connection."""
        if self._goodbye is not None:
            # Who only looks must not take away what the next one who used stacks is to be told.
            told = self._report() if self._uses_stacks else Summary()
            summary = replace(told, problems=tuple(problems))
            self._answer(self._goodbye, {"summary": summary.to_json()})
        self._connection.close()

    def _report(self) -> Summary:
        try:
            return self._service.report()
        except Exception as failure:  # noqa: BLE001 - the client waits for its farewell
            _log.exception("nobody is told what the pool did")
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
            self._goodbye = number
        elif action == "acquire":  # may take long; the end of the connection must be seen meanwhile
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
            self._refuse(number, ProtocolError(f"nobody can do {action[:100]!r} here"))

    def _attempt(self, number: int, work: Callable[[], Json]) -> None:
        try:
            result = work()
        except ProtocolError as failure:
            _log.warning("refused a request: %r", failure.message)
            self._refuse(number, failure)
        except (DockwrightError, ExceptionGroup) as failure:
            self._refuse(number, failure)
        except Exception as failure:  # noqa: BLE001 - the client must not wait for ever
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
                hint="a broker of the client's own version is started beside it",
            )
        self._pid = pid
        return {"version": __version__, "protocol": PROTOCOL}

    def _declare(self, message: Message) -> Json:
        with decoding("a declaration"):
            name, options = str(message["name"]), load_options_from_json(message["load"])
            seed, run = SeedKey.from_json(message["seed"]), message["run"]
        self._uses_stacks = True
        declared = self._service.declare(name, options, seed, run=run)
        return {"key": declared.key, "warnings": list(declared.warnings)}

    def _prepare(self, message: Message) -> Json:
        with decoding("a request to prepare"):
            key, exclusive = str(message["key"]), int(message["exclusive"])
        self._service.prepare(key, exclusive=exclusive)
        return None

    def _acquire(self, number: int, message: Message) -> None:
        def work() -> Json:
            with decoding("a request for a lease"):
                asked = Requirement(**message["requirement"])
                requirement = replace(asked, holder=f"{self._pid} {asked.holder}")
                hash(requirement)  # a list or an object in it is none of its values
                timeout_s = _seconds(message["timeout_s"])
            lease = self._service.acquire(
                requirement,
                timeout_s=timeout_s,
                abandoned=lambda: self._gone,
            )
            with self._lock:
                if not self._gone:
                    key = next(self._numbers)
                    self._leases[key] = lease
                    return {"lease": key, **lease_to_json(lease)}
            self._service.release(lease, keep=False)  # the client died in this very moment
            return None

        self._attempt(number, work)
        self._acquiring.release()

    def _release(self, number: int, message: Message) -> None:
        with decoding("a release"):
            key, keep = int(message["lease"]), bool(message["keep"])
        with self._lock:
            lease = self._leases.pop(key, None)
        # Answered first: the thread of the reset that begins would keep this one from it.
        self._answer(number, None)
        if lease is not None:
            self._service.release(lease, keep=keep)

    def _seeded(self, message: Message) -> Json:
        with decoding("the end of a seed"):
            failure = message["error"]
            error = None if failure is None else error_from_json(failure)
            with self._lock:
                lease = self._leases.pop(int(message["lease"]))
        self._service.seeded(lease, error)
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
        self._on_leaving(self)

    def _answer(self, number: int, result: Json) -> None:
        self._send({"id": number, "ok": result})

    def _refuse(self, number: int, failure: Exception) -> None:
        self._send({"id": number, "error": error_to_json(failure)})

    def _send(self, message: Mapping[str, object]) -> None:
        try:
            self._connection.send(message)
        except OSError:
            _log.info("an answer came too late: its client is gone")


def _seconds(value: object) -> float:
    seconds = float(str(value))
    if not math.isfinite(seconds):
        raise ValueError(f"{value!r} seconds")
    return seconds
