"""HTTP to the engine: pooled connections, timeouts, and statistics of calls."""

from __future__ import annotations

import json
import logging
import os
import re
import socket
import subprocess
import threading
import time
import warnings
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from types import MappingProxyType
from typing import IO, Any, TypeAlias
from urllib.parse import SplitResult, quote, urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.utils import get_environ_proxies
from urllib3.connection import HTTPConnection
from urllib3.exceptions import HTTPError, InsecureRequestWarning

from dockwright.engine.capabilities import Capabilities
from dockwright.engine.endpoint import Endpoint
from dockwright.engine.errors import refused, unreachable
from dockwright.engine.streams import ByteStream
from dockwright.engine.types import (
    CallStatistics,
    Document,
    EngineStatistics,
    EngineVersion,
    parse_api,
)
from dockwright.errors import EngineError
from dockwright.model import Json
from dockwright.untrusted import json_value

LOCAL_URL = "http+docker://localhost"
"""What stands before the path where the address is not part of the URL (sockets and ssh)."""

_KEEPALIVE = [*HTTPConnection.default_socket_options, (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]


def adapter_for(endpoint: Endpoint, *, pool_size: int) -> tuple[str, HTTPAdapter]:
    """Return the URL to put before API paths, and the adapter that reaches `endpoint`."""
    scheme, rest = endpoint.url.split("://", 1)
    if scheme == "unix":
        return LOCAL_URL, PoolAdapter(_UnixPool(rest, pool_size))
    if scheme == "ssh":
        return LOCAL_URL, PoolAdapter(_SshPool(ssh_command(urlsplit(endpoint.url)), pool_size))
    http = "https" if endpoint.tls else "http"
    return f"{http}://{rest}", _TcpAdapter(pool_connections=1, pool_maxsize=pool_size)


def ssh_command(target: SplitResult) -> list[str]:
    """Return the command that the docker CLI runs for ``ssh://[user@]host[:port]``."""
    command = ["ssh", "-o", "ConnectTimeout=30", "-T"]
    if target.username:
        command += ["-l", target.username]
    if target.port:
        command += ["-p", str(target.port)]
    return [*command, "--", target.hostname or "", "docker", "system", "dial-stdio"]


class _Strict:
    """Notices an answer that breaks off; urllib3 before 2 does that only where it is asked to."""

    def urlopen(self, *args: Any, **kwargs: Any) -> Any:
        kwargs.setdefault("enforce_content_length", True)
        return super().urlopen(*args, **kwargs)  # type: ignore[misc]  # of the pool


class _HttpPool(_Strict, urllib3.HTTPConnectionPool):
    pass


class _HttpsPool(_Strict, urllib3.HTTPSConnectionPool):
    pass


class _TcpAdapter(HTTPAdapter):
    """Notices a peer that vanished: streams have no read timeout, so the kernel has to probe."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:  # requests' own signature
        super().init_poolmanager(*args, socket_options=_KEEPALIVE, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}


class PoolAdapter(HTTPAdapter):
    """Sends everything over one pool, whatever the URL says about the host."""

    def __init__(self, pool: urllib3.HTTPConnectionPool) -> None:
        super().__init__()
        self.pool = pool

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ARG002
        """Return the one pool (requests asks for each request)."""
        return self.pool

    def get_connection(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ARG002
        """Return the one pool (requests before 2.32 asks here)."""
        return self.pool

    def request_url(self, request: requests.PreparedRequest, proxies: Any) -> str:  # noqa: ARG002
        """Return the path alone: no proxy is ever in between."""
        return request.path_url

    def close(self) -> None:
        """Close the idle connections."""
        super().close()
        self.pool.close()


class _UnixConnection(HTTPConnection):
    path: str

    def connect(self) -> None:
        connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connected.settimeout(_seconds(self.timeout))
            connected.connect(self.path)
        except OSError:
            connected.close()
            raise
        self.sock = connected


class _UnixPool(_HttpPool):
    def __init__(self, path: str, size: int) -> None:
        super().__init__("localhost", maxsize=size)
        self._path = path

    def _new_conn(self) -> _UnixConnection:
        connection = _UnixConnection("localhost")
        connection.path = self._path
        return connection


class _SshConnection(HTTPConnection):
    """An HTTP connection whose other end is the standard input and output of one ssh process.

    A socket pair instead of pipes: timeouts and `shutdown` then work as on any other connection.
    """

    command: list[str]
    _process: subprocess.Popen[bytes] | None = None
    _pid = 0

    def connect(self) -> None:
        ours, theirs = socket.socketpair()
        try:
            self._pid = os.getpid()
            with theirs:
                # A session of its own: Ctrl-C must not cut the connection that cleans up.
                self._process = subprocess.Popen(
                    self.command,
                    stdin=theirs.fileno(),
                    stdout=theirs.fileno(),
                    start_new_session=True,
                )
        except OSError:
            ours.close()
            raise
        ours.settimeout(_seconds(self.timeout))
        self.sock = ours

    def close(self) -> None:
        super().close()
        process, self._process = self._process, None
        if process is not None and self._pid == os.getpid():  # a forked child's copy is not its own
            process.terminate()
            process.wait()


class _SshPool(_HttpPool):
    def __init__(self, command: list[str], size: int) -> None:
        super().__init__("localhost", maxsize=size)
        self._command = command

    def _new_conn(self) -> _SshConnection:
        connection = _SshConnection("localhost")
        connection.command = self._command
        return connection


def _seconds(timeout: object) -> float | None:
    return float(timeout) if isinstance(timeout, int | float) else None


_ID = re.compile(r"[0-9a-f]{64}")

LabelFilter: TypeAlias = Mapping[str, str | None]
"""Labels that an object must have: with this value, or with any where it is None."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the Engine API.

    Attributes:
        method: the HTTP method.
        path: its path below the API version; build it with `path`, which quotes.
        name: what it does, e.g. ``start container``: for statistics and messages.
        subject: to what, for messages.
        params: the query; None values are left out.
        json: the body as a JSON document.
        data: the body as bytes or as chunks.
        headers: more headers.
        timeout_s: how long the engine may be silent, instead of the engine's default.
    """

    method: str
    path: str
    name: str
    subject: str = ""
    params: Mapping[str, str | int | bool | list[str] | None] = field(default_factory=dict)
    json: Mapping[str, Json] | None = None
    data: bytes | Iterable[bytes] | IO[bytes] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    timeout_s: float | None = None

    @property
    def action(self) -> str:
        """The call in words, for messages."""
        return f"{self.name} {self.subject}".rstrip()


def path(*parts: str) -> str:
    """Return an API path of `parts`, quoted except for the slashes and colons of image names."""
    return "".join(f"/{quote(part, safe='/:@')}" for part in parts)


def short(container: str) -> str:
    """Return a container's id as people know it; a name stays."""
    return container[:12] if _ID.fullmatch(container) else container


def label_filter(labels: LabelFilter) -> str:
    """Return `labels` as the query parameter ``filters``."""
    wanted = [key if value is None else f"{key}={value}" for key, value in labels.items()]
    return json.dumps({"label": wanted} if wanted else {})


def matching(documents: list[Document], labels: LabelFilter) -> list[Document]:
    """Return those that really have `labels`: some engines' own filters had bugs (Podman)."""
    return [document for document in documents if _has(document.get("Labels") or {}, labels)]


def _has(found: Mapping[str, str], wanted: LabelFilter) -> bool:
    return all(
        key in found and (value is None or found[key] == value) for key, value in wanted.items()
    )


log = logging.getLogger(__name__)

_NEWEST_API = "1.51"
"""The newest API whose answers were read for this code (Docker 28.3)."""

CONNECT_TIMEOUT_S = 10.0
_CHUNK_BYTES = 16 * 1024
_ANSWER_BYTES = 256 << 20
_WORDS = 10_000
_FIRST_OUTPUT_S = 3600.0


class Transport:
    """The connections to one engine, safe to use from all threads and after a fork.

    Args:
        endpoint: where the engine is.
        timeout_s: how long the engine may be silent while it answers, in seconds.
        pool_size: how many idle connections are kept.

    Attributes:
        execs: the commands that were run in containers of late: container and exec's id.
        version: which engine answers.
        can: what it does.
    """

    def __init__(self, endpoint: Endpoint, *, timeout_s: float, pool_size: int) -> None:
        self.endpoint = endpoint
        self.timeout_s = timeout_s
        self._pool_size = pool_size
        self.execs: deque[tuple[str, str]] = deque(maxlen=1024)
        self._connect()
        self._prefix = ""
        try:
            self.version = self._negotiate()
        except BaseException:  # nothing else has it yet
            self.close()
            raise
        self.can = Capabilities.of(self.version)
        self._prefix = f"/v{self.version.api}"

    def send(self, call: Call) -> None:
        """Make a call whose answer does not matter."""
        with self._send(call) as response, self._translated(call):
            self._body(response, call)  # read, or the connection could not be used again

    def json(self, call: Call) -> Any:  # its type is in the API's documentation
        """Make a call and return the JSON of its answer."""
        with self._send(call) as response, self._translated(call):
            body = self._body(response, call)
        try:
            return json_value(body, hook=partial(_Answer, call.action))
        except ValueError as exc:
            raise self._no_engine(call, "with something that is not JSON") from exc

    def document(self, call: Call) -> Document:
        """Make a call and return the JSON object of its answer."""
        answer = self.json(call)
        if not isinstance(answer, dict):
            raise self._no_engine(call, f"with JSON that is a {type(answer).__name__}")
        return answer

    def documents(self, call: Call) -> list[Document]:
        """Make a call and return the JSON array of its answer."""
        answer = self.json(call)
        if answer is None:
            return []
        if not isinstance(answer, list) or not all(isinstance(each, dict) for each in answer):
            raise self._no_engine(call, "with JSON that is not an array of objects")
        return answer

    def lines(self, call: Call) -> list[bytes]:
        """Make a call whose answer ends, and return the lines of it."""
        with self._send(call) as response, self._translated(call):
            return self._body(response, call).splitlines()

    def stream(self, call: Call, *, endless: bool = False) -> ByteStream:
        """Make a call and return its answer unread.

        Args:
            call: the call.
            endless: whether the answer may pause for any time, as logs that are followed do.
        """
        if endless and not self.can.answers_before_output:
            call = replace(call, timeout_s=_FIRST_OUTPUT_S)
        return ByteStream(self._send(call), call.action, endless=endless)

    def statistics(self) -> EngineStatistics:
        """Return what all calls until now cost."""
        with self._counting:
            by_call = {
                name: CallStatistics(count, seconds)
                for name, (count, seconds) in self._counters.items()
            }
        return EngineStatistics(
            calls=sum(each.count for each in by_call.values()),
            seconds=sum(each.seconds for each in by_call.values()),
            by_call=MappingProxyType(by_call),
        )

    def mount(self, session: requests.Session) -> str:
        """Let a session of docker-py use these connections; return the URL before its paths."""
        session.mount(self._base_url, self._adapter)
        # Or variables such as REQUESTS_CA_BUNDLE would win over the endpoint's own files.
        session.trust_env = False
        for option, value in self._connection_options().items():
            setattr(session, option, value)
        return self._base_url

    def close(self) -> None:
        """Close the idle connections."""
        self._adapter.close()

    def _connect(self) -> None:
        self._pid = os.getpid()
        self._base_url, self._adapter = adapter_for(self.endpoint, pool_size=self._pool_size)
        self._counting = threading.Lock()
        self._counters: dict[str, tuple[int, float]] = {}

    def _send(self, call: Call) -> requests.Response:
        if os.getpid() != self._pid:
            self._connect()  # a forked child must not speak on its parent's connections
        began = time.perf_counter()
        try:
            with self._translated(call):
                response = self._adapter.send(self._prepared(call), **self._options(call))
        finally:
            self._count(call.name, time.perf_counter() - began)
        if response.status_code >= 400:
            with response, self._translated(call):
                words = _explanation(self._body(response, call), str(response.reason))
            log.debug("engine.refused call=%r status=%d", call.action, response.status_code)
            if words.lstrip().startswith("<"):
                status = response.status_code
                raise self._no_engine(call, f"with a page (HTTP status {status})")
            raise refused(response.status_code, words, call.action)
        return response

    def _body(self, response: requests.Response, call: Call) -> bytes:
        """Read an answer whole; one that does not end is refused."""
        body, deadline = bytearray(), time.monotonic() + (call.timeout_s or self.timeout_s)
        for chunk in response.iter_content(_CHUNK_BYTES):
            body += chunk
            if len(body) > _ANSWER_BYTES or time.monotonic() > deadline:
                response.close()
                raise self._no_engine(call, "and does not end its answer")
        return bytes(body)

    def _no_engine(self, call: Call, how: str) -> EngineError:
        return EngineError(
            f"cannot {call.action}: {self.endpoint.url} answered {how}",
            hint="check that a Docker-compatible engine serves this address",
        )

    def _prepared(self, call: Call) -> requests.PreparedRequest:
        headers = {"User-Agent": "dockwright", **call.headers}
        data = call.data
        if call.json is not None:
            data = json.dumps(call.json, default=dict).encode()
            headers["Content-Type"] = "application/json"
        return requests.Request(
            call.method,
            f"{self._base_url}{self._prefix}{call.path}",
            params={key: _query(value) for key, value in call.params.items() if value is not None},
            data=data,
            headers=headers,
        ).prepare()

    def _options(self, call: Call) -> dict[str, Any]:  # the keyword arguments of `adapter.send`
        timeout_s = call.timeout_s or self.timeout_s
        return {
            "stream": True,
            "timeout": (min(CONNECT_TIMEOUT_S, timeout_s), timeout_s),
            **self._connection_options(),
        }

    def _connection_options(self) -> dict[str, Any]:  # what both `send` and sessions understand
        if self._base_url == LOCAL_URL:
            return {}
        options: dict[str, Any] = {"proxies": get_environ_proxies(self._base_url)}
        if tls := self.endpoint.tls:
            options["verify"] = tls.verify and (str(tls.ca) if tls.ca else True)
            options["cert"] = (str(tls.cert), str(tls.key)) if tls.cert and tls.key else None
            if not tls.verify:
                # The user asked for it in the context or the environment; once is enough.
                warnings.filterwarnings("ignore", category=InsecureRequestWarning)
        return options

    @contextmanager
    def _translated(self, call: Call) -> Iterator[None]:
        try:
            yield
        except (requests.RequestException, HTTPError, OSError) as exc:
            timeout_s = call.timeout_s or self.timeout_s
            raise unreachable(self.endpoint, exc, call.action, timeout_s) from exc

    def _count(self, name: str, seconds: float) -> None:
        with self._counting:
            count, total = self._counters.get(name, (0, 0.0))
            self._counters[name] = (count + 1, total + seconds)

    def _negotiate(self) -> EngineVersion:
        """Ask once which API both sides know: the newest of the engine, as far as we know it."""
        answer = self.json(Call("GET", "/version", "ask for the version"))
        try:
            newest, oldest = answer["ApiVersion"], answer.get("MinAPIVersion") or "1.24"
            api = max(min(newest, _NEWEST_API, key=parse_api), oldest, key=parse_api)
        except (KeyError, TypeError, ValueError) as exc:
            raise EngineError(
                f"{self.endpoint.url} answers, but not as a Docker-compatible engine does",
                hint="check the address in DOCKER_HOST or in the docker context",
            ) from exc
        names = {str(part.get("Name")) for part in answer.get("Components") or ()}
        return EngineVersion(
            server=str(answer.get("Version", "")),
            api=api,
            kind="podman" if any("podman" in name.lower() for name in names) else "docker",
            os=str(answer.get("Os", "linux")),
            arch=str(answer.get("Arch", "")),
            kernel=str(answer.get("KernelVersion", "")),
        )


def _query(value: str | int | bool | list[str]) -> str | int | list[str]:  # noqa: FBT001
    return ("1" if value else "0") if isinstance(value, bool) else value


class _Answer(dict[str, Any]):
    """An object in an engine's answer; a missing member is the engine's fault, not ours."""

    def __init__(self, action: str, members: Mapping[str, Any]) -> None:
        super().__init__(members)
        self._action = action

    def __missing__(self, key: str) -> Any:
        raise _IncompleteAnswerError(
            f"cannot {self._action}: {key!r} is missing in the engine's answer",
            hint="check that a Docker-compatible engine serves this address",
        )


class _IncompleteAnswerError(EngineError, KeyError):
    """Also a `KeyError`, for code that expects one."""


def _explanation(content: bytes, reason: str) -> str:
    body = content.decode(errors="replace")[:_WORDS]
    try:
        document = json_value(body)
    except ValueError:
        return body or reason
    if isinstance(document, dict):
        # Podman puts the root of the matter in "cause" and the whole sentence in "message".
        return str(document.get("message") or document.get("cause") or body)
    return body
