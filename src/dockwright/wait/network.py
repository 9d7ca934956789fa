"""Conditions over the network: a TCP port accepts, an HTTP request is answered."""

from __future__ import annotations

import http.client
import re
import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import SplitResult, urlsplit

from dockwright._text import duration
from dockwright.model import Address
from dockwright.wait.loop import Continue, Outcome, Ready, Wait
from dockwright.wait.strategy import Check
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


BODY_BYTES = 1024 * 1024
"""So much of an answer's body is read; the rest does not count."""


@dataclass(frozen=True, slots=True)
class Http:
    """A URL is answered as wanted; redirections are answers, they are not followed.

    Args:
        url: a whole URL, or a path on `port` of the target.
        port: the port in the container, where `url` is a path.
        method: the request's method.
        headers: the request's headers.
        body: the request's body.
        status: the status that is wanted, or a function of it; default: 200 to 399.
        answer: a regular expression searched in the answer's body, or a function of its first
            1 MiB; default: any body will do.
        tls: whether a path is asked for over https.
        verify: whether the server's certificate has to be valid.
        attempt_s: how long one request may be without progress, in seconds.
    """

    url: str
    port: int | None = None
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    status: int | Callable[[int], bool] | None = None
    answer: str | Callable[[bytes], bool] | None = None
    tls: bool = False
    verify: bool = True
    attempt_s: float = 5.0

    def __post_init__(self) -> None:
        if self.port is not None:
            require_port(self.port)
        if self.url.startswith("/"):
            if self.port is None:
                raise ValueError(f"the path {self.url} needs a port, or use a complete URL")
        elif not _is_url(self.url):
            raise ValueError(f"{self.url!r} is neither a path nor an http:// or https:// URL")
        elif self.port is not None:
            raise ValueError(f"{self.url} already has a port; port={self.port} is for paths")

    @property
    def survives_exit(self) -> bool:
        """Nothing answers after an exit."""
        return False

    def __str__(self) -> str:
        where = self.url if self.port is None else f"{self.url} on port {self.port}"
        return f"to answer {self.method} {where}"

    def begin(self, wait: Wait) -> Check:
        """Start to ask repeatedly."""

        def probe() -> Outcome:
            limit_s = max(0.1, min(self.attempt_s, wait.remaining_s()))
            try:
                return self._ask(self._parts(wait), limit_s)
            except TimeoutError:
                return Continue(f"no answer within {duration(limit_s)}")
            except (OSError, http.client.HTTPException) as error:
                return Continue(reason(error))

        return begin_probing(wait, "http", probe)

    def _parts(self, wait: Wait) -> SplitResult:
        if self.port is None:
            return urlsplit(self.url)
        address: Address = wait.target.address(self.port)
        return urlsplit(f"{'https' if self.tls else 'http'}://{address}{self.url}")

    def _ask(self, parts: SplitResult, limit_s: float) -> Outcome:
        connection = _connection(parts, limit_s, verify=self.verify)
        try:
            path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            connection.request(self.method, path, self.body, dict(self.headers))
            answer = connection.getresponse()
            seen = f"status {answer.status} {answer.reason}".rstrip()
            if not self._is_wanted(answer.status):
                return Continue(seen)
            content = answer.read(BODY_BYTES)
            if not self._is_answer(content):
                start = content[:200].decode(errors="replace")
                return Continue(f"{seen}, but not with the wanted body: {start!r}")
            return Ready(answer.status)
        finally:
            connection.close()

    def _is_wanted(self, status: int) -> bool:
        if self.status is None:
            return 200 <= status < 400
        return self.status(status) if callable(self.status) else status == self.status

    def _is_answer(self, content: bytes) -> bool:
        if self.answer is None:
            return True
        if callable(self.answer):
            return self.answer(content)
        return re.search(self.answer, content.decode(errors="replace")) is not None


def _is_url(text: str) -> bool:
    """Return whether `text` is an http or https URL with a host and, if any, a possible port."""
    try:
        parts = urlsplit(text)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # half an IPv6 address, a port that is not a number
        return False


def _connection(parts: SplitResult, limit_s: float, *, verify: bool) -> http.client.HTTPConnection:
    host = parts.hostname or ""  # `_is_url` has looked
    if parts.scheme == "http":
        return http.client.HTTPConnection(host, parts.port, timeout=limit_s)
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return http.client.HTTPSConnection(host, parts.port, timeout=limit_s, context=context)
