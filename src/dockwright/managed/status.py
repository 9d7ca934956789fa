"""The status of a long-lived stack: state, health, ports, CPU and memory of each unit."""

from __future__ import annotations

import http.client
import re
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal
from urllib.parse import urlsplit

from dockwright.engine import parallel
from dockwright.errors import DockwrightError, EngineError
from dockwright.model import Address, ProcessSpec, ServiceSpec
from dockwright.recording.gauges import Gauge, GoneError, Reading, container_gauge, process_gauge
from dockwright.stack import Stack, UnitStatus, statuses
from dockwright.wait import Ready
from dockwright.wait.network import connect_once

_LIMIT_S = 1.0

_USUAL_HTTP_PORTS = frozenset({80, 3000, 5000, 8000, 8080, 8081, 8888, 9000})
_NEVER_TRIED = frozenset({3306, 33060})
"""MySQL blocks a host after 100 connections without a login (``max_connect_errors``)."""

_URL = re.compile(
    r"(https?)://(?:localhost|127\.0\.0\.1|0\.0\.0\.0|\[::1\])(?::(\d+))?(/[\w./~%-]*)?"
)


@dataclass(frozen=True, slots=True)
class Health:
    """Whether a unit works.

    Attributes:
        verdict: ``healthy``, ``unhealthy``, ``starting``, or empty if it is unknown.
        source: where it comes from: ``http``, ``tcp``, or ``check`` (the declared health check).
        detail: what was seen, e.g. ``GET http://127.0.0.1:8000/ 200``.
    """

    verdict: str = ""
    source: Literal["http", "tcp", "check", ""] = ""
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.verdict} ({self.source})" if self.source else self.verdict


@dataclass(frozen=True, slots=True)
class _Page:
    """A page that a unit should serve; `declared` if the project names it."""

    tls: bool
    address: Address
    path: str
    declared: bool

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://{self.address}{self.path}"


def health_of(stack: Stack, unit: UnitStatus) -> Health:
    """Return the health of a unit now.

    A failed health check always counts. An HTTP error counts only if no health check succeeds:
    the check may know better which request to make.
    """
    checked = Health(unit.health, "check" if unit.health else "")
    if unit.state != "running" or unit.health == "unhealthy":
        return checked
    page = _page(stack, unit.name)
    status = _status(page) if page else None
    if page is not None and status is not None:
        detail = f"GET {page.url} {status}"
        if status < (400 if page.declared else 500):
            return Health("healthy", "http", detail)
        return checked if unit.health == "healthy" else Health("unhealthy", "http", detail)
    return _by_tcp(stack, unit) or checked


def _by_tcp(stack: Stack, unit: UnitStatus) -> Health | None:
    addresses = list(_tcp_addresses(stack, unit.name))
    for address in addresses:
        if isinstance(connect_once(address, _LIMIT_S), Ready):
            return Health("healthy", "tcp", f"{address} accepts connections")
    published = {text for port, text in unit.ports.items() if port.endswith("/tcp")}
    if unit.health or not published & {str(address) for address in addresses}:
        return None
    return Health("unhealthy", "tcp", f"nothing listens on {', '.join(map(str, addresses))}")


def _page(stack: Stack, name: str) -> _Page | None:
    """Return the page to request from a unit, if it has one that can be reached."""
    for scheme, port, path, declared in _pages(stack, name):
        address = _address(stack, name, port)
        if address is not None:
            return _Page(scheme == "https", address, path, declared)
    return None


def _pages(stack: Stack, name: str) -> Iterator[tuple[str, int, str, bool]]:
    """Yield scheme, port, path and whether the project declares it, most reliable first."""
    if name in stack.processes:
        yield from _urls_in(_ready_url(stack.spec.processes[name]))
        return
    service = stack.spec.services[name]
    yield from _urls_in(_ready_url(service))
    if service.healthcheck is not None:
        yield from _urls_in(" ".join(service.healthcheck.test))
    for port in service.ports:
        if port.protocol == "tcp" and port.app_protocol in ("http", "https"):
            yield port.app_protocol, port.number, "/", False
        elif port.protocol == "tcp" and port.number in _USUAL_HTTP_PORTS:
            yield "http", port.number, "/", False


def _ready_url(unit: ServiceSpec | ProcessSpec) -> str:
    """Return the URL of the ready condition, or an empty text."""
    declared = unit.ready.get("http")
    options = declared if isinstance(declared, Mapping) else {"url": declared}
    url = str(options.get("url") or "")
    if url.startswith("/") and options.get("port"):
        return f"{'https' if options.get('tls') else 'http'}://localhost:{options['port']}{url}"
    return url


def _urls_in(text: str) -> Iterator[tuple[str, int, str, bool]]:
    for found in _URL.finditer(text):
        scheme, port, path = found.groups()
        yield scheme, int(port or (443 if scheme == "https" else 80)), path or "/", True


def _tcp_addresses(stack: Stack, name: str) -> Iterator[Address]:
    if name in stack.processes:
        ports = list(stack.processes[name].ports)
    else:
        service = stack.spec.services[name]
        declared = (*service.ports, *service.exposed)
        ports = [port.number for port in declared if port.protocol == "tcp"]
    for port in dict.fromkeys(ports):
        address = _address(stack, name, port) if port not in _NEVER_TRIED else None
        if address is not None:
            yield address


def _address(stack: Stack, name: str, port: int) -> Address | None:
    try:
        return stack.address(name, port)
    except DockwrightError:  # not published, and not reachable from this host
        return None


def _status(page: _Page) -> int | None:
    """Return the HTTP status, or None if there is no HTTP response."""
    parts = urlsplit(page.url)
    host = parts.hostname or ""
    if page.tls:
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE  # we only check that it responds, not its identity
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            host, parts.port, timeout=_LIMIT_S, context=context
        )
    else:
        connection = http.client.HTTPConnection(host, parts.port, timeout=_LIMIT_S)
    try:
        connection.request("GET", page.path, headers={"Host": "localhost"})
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


_SPAN_S = 0.25
"""The least time between two readings of CPU time: some clocks tick only every 10 ms."""


@dataclass(frozen=True, slots=True)
class UnitSample:
    """One service or native process at one moment.

    Attributes:
        unit: its state, ports and uptime.
        health: whether it works.
        cpu_percent: of one processor, since the previous sample; None: not running, or unknown.
        memory_bytes: without reclaimable page cache; None: not running, or unknown.
    """

    unit: UnitStatus
    health: Health
    cpu_percent: float | None = None
    memory_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class _Used:
    gauge: Gauge
    reading: Reading
    at_s: float


class StatusSampler:
    """Samples a stack once or repeatedly; CPU use is the difference between two readings.

    Args:
        clock: returns the time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._used: dict[str, _Used] = {}

    def sample(self, stack: Stack) -> list[UnitSample]:
        """Return a sample of every unit of an attached stack, in start order."""
        units = statuses(stack)
        running = {key: unit for unit in units if (key := _key(stack, unit)) is not None}
        before = {key: used for key, used in self._used.items() if key in running}
        first = self._readings(stack, {k: u for k, u in running.items() if k not in before})
        # The health is checked between the two readings, so that the wait costs nothing extra.
        healths = parallel.run([partial(health_of, stack, unit) for unit in units])
        if first:
            began = max(used.at_s for used in first.values())
            # There is no condition to wait for: a rate needs time to pass.
            threading.Event().wait(max(0.0, began + _SPAN_S - self._clock()))
        before |= first
        self._used = _batched({key: partial(self._again, used) for key, used in before.items()})
        return [
            UnitSample(unit, health, *self._use(_key(stack, unit), before))
            for unit, health in zip(units, healths, strict=True)
        ]

    def _readings(self, stack: Stack, units: Mapping[str, UnitStatus]) -> dict[str, _Used]:
        return _batched({key: partial(self._first, stack, unit) for key, unit in units.items()})

    def _first(self, stack: Stack, unit: UnitStatus) -> _Used | None:
        try:
            if unit.kind == "process":
                gauge = process_gauge(int(unit.identifier))
            else:
                gauge = container_gauge(stack.engine, stack.containers[unit.name])
            return self._read(gauge)
        except (GoneError, EngineError):
            return None

    def _again(self, used: _Used) -> _Used | None:
        try:
            return self._read(used.gauge)
        except (GoneError, EngineError):
            return None

    def _read(self, gauge: Gauge) -> _Used:
        reading = gauge()
        return _Used(gauge, reading, self._clock())

    def _use(self, key: str | None, before: Mapping[str, _Used]) -> tuple[float | None, int | None]:
        now, then = self._used.get(key or ""), before.get(key or "")
        if now is None or then is None:
            return None, None
        span_s, memory = now.at_s - then.at_s, now.reading.memory_bytes
        if now.reading.cpu_s is None or then.reading.cpu_s is None or span_s <= 0:
            return None, memory
        return max(0.0, now.reading.cpu_s - then.reading.cpu_s) / span_s * 100, memory


def _batched(tasks: Mapping[str, Callable[[], _Used | None]]) -> dict[str, _Used]:
    """Run tasks in parallel; return their results, without those that are None."""
    results = parallel.run(list(tasks.values()))
    return {key: used for key, used in zip(tasks, results, strict=True) if used is not None}


def _key(stack: Stack, unit: UnitStatus) -> str | None:
    """Return what identifies this start of a unit; None if it is not running."""
    if unit.state != "running":
        return None
    return unit.identifier if unit.kind == "process" else stack.containers[unit.name]
