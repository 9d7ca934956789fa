"""Calls to one engine: over a shared pool of connections, timed, counted, errors translated."""

from __future__ import annotations

import json
import logging
import os
import threading
import time
import warnings
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import requests
from requests.utils import get_environ_proxies
from urllib3.exceptions import HTTPError, InsecureRequestWarning

from dockwright.engine.adapters import LOCAL_URL, adapter_for
from dockwright.engine.calls import Call
from dockwright.engine.endpoint import Endpoint
from dockwright.engine.failures import refused, unreachable
from dockwright.engine.streams import ByteStream
from dockwright.engine.types import (
    CallStatistics,
    Document,
    EngineStatistics,
    EngineVersion,
    parse_api,
)
from dockwright.errors import EngineError

log = logging.getLogger(__name__)

_NEWEST_API = "1.51"
"""The newest API whose answers were read for this code (Docker 28.3)."""

CONNECT_TIMEOUT_S = 10.0
_PODMAN_FIRST_WORD_S = 3600.0


class Transport:
    """The connections to one engine, safe to use from all threads and after a fork.

    Args:
        endpoint: where the engine is.
        timeout_s: how long the engine may be silent while it answers, in seconds.
        pool_size: how many idle connections are kept.

    Attributes:
        execs: the commands that were run in containers of late: container and exec's id.
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
        except BaseException:  # nobody else has it yet
            self.close()
            raise
        self._prefix = f"/v{self.version.api}"

    def send(self, call: Call) -> None:
        """Make a call whose answer does not matter."""
        with self._send(call) as response, self._translated(call):
            _ = response.content  # read, or the connection could not be used again

    def json(self, call: Call) -> Any:  # what a JSON document may be, the API's page tells
        """Make a call and return the JSON of its answer."""
        with self._send(call) as response, self._translated(call):
            body = response.content
        try:
            return json.loads(body)
        except ValueError as exc:
            raise EngineError(
                f"cannot {call.action}: {self.endpoint.url} answered what is not JSON",
                hint="is a Docker-compatible engine at this address?",
            ) from exc

    def document(self, call: Call) -> Document:
        """Make a call and return the JSON object of its answer."""
        answer: Document = self.json(call)
        return answer

    def documents(self, call: Call) -> list[Document]:
        """Make a call and return the JSON array of its answer."""
        answer: list[Document] | None = self.json(call)
        return answer or []

    def stream(self, call: Call, *, endless: bool = False) -> ByteStream:
        """Make a call and return its answer unread.

        Args:
            call: the call.
            endless: whether the answer may pause for any time, as logs that are followed do.
        """
        if endless and self.version.kind == "podman":
            # It answers only when there is something to tell, e.g. the first line of a log.
            call = replace(call, timeout_s=_PODMAN_FIRST_WORD_S)
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
                words = _explanation(response)
            log.debug("engine.refused call=%r status=%d", call.action, response.status_code)
            if words.lstrip().startswith("<"):
                raise EngineError(
                    f"cannot {call.action}: {self.endpoint.url} answered with a page "
                    f"(HTTP status {response.status_code}), as no engine does",
                    hint="is a Docker-compatible engine at this address?",
                )
            raise refused(response.status_code, words, call.action)
        return response

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
        answer = self.document(Call("GET", "/version", "ask for the version"))
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


def _explanation(response: requests.Response) -> str:
    body = response.text
    try:
        document = json.loads(body)
    except ValueError:
        return body or str(response.reason)
    if isinstance(document, dict):
        # Podman puts the root of the matter in "cause" and the whole sentence in "message".
        return str(document.get("message") or document.get("cause") or body)
    return body
