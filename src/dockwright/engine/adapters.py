"""How bytes reach an engine: HTTP adapters whose connections all threads share.

docker-py's own adapter keeps one connection pool per *URL*, so that two different calls never share
a connection; and its ssh transport needs paramiko and knows no timeouts. These differ in just that.
"""

from __future__ import annotations

import socket
import subprocess
from math import ceil
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit

import requests.adapters
import urllib3
from docker.transport import UnixHTTPAdapter
from docker.transport.basehttpadapter import BaseHTTPAdapter
from urllib3.connection import HTTPConnection

if TYPE_CHECKING:
    from dockwright.engine.endpoint import Endpoint

LOCAL_URL = "http+docker://localhost"
"""What stands before the path where the address is not part of the URL (sockets and ssh)."""

_KEEPALIVE = [
    *urllib3.connection.HTTPConnection.default_socket_options,
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
]


def adapter_for(
    endpoint: Endpoint, *, pool_size: int, timeout_s: float
) -> tuple[str, requests.adapters.HTTPAdapter]:
    """Return the URL to put before API paths, and the adapter that reaches `endpoint`."""
    scheme, rest = endpoint.url.split("://", 1)
    if scheme == "unix":
        return LOCAL_URL, _UnixAdapter(
            f"http+unix://{rest}", timeout=ceil(timeout_s), max_pool_size=pool_size
        )
    if scheme == "ssh":
        return LOCAL_URL, _SshAdapter(urlsplit(endpoint.url), pool_size=pool_size)
    http = "https" if endpoint.tls else "http"
    return f"{http}://{rest}", _TcpAdapter(pool_connections=1, pool_maxsize=pool_size)


class _UnixAdapter(UnixHTTPAdapter):
    """docker-py's adapter with one pool for the socket instead of one for each URL."""

    def get_connection(self, url: Any, proxies: Any = None) -> Any:  # noqa: ARG002 - its signature
        return super().get_connection(LOCAL_URL, proxies)


class _TcpAdapter(requests.adapters.HTTPAdapter):
    """Notices a peer that vanished: streams have no read timeout, so the kernel has to probe."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:  # requests' own signature
        super().init_poolmanager(*args, socket_options=_KEEPALIVE, **kwargs)


class _SshAdapter(BaseHTTPAdapter):
    """Speaks through ``ssh HOST docker system dial-stdio``, one ssh process a connection."""

    def __init__(self, target: SplitResult, *, pool_size: int) -> None:
        self._pool = _SshPool("localhost", maxsize=pool_size)
        self._pool.command = ssh_command(target)
        super().__init__()

    def get_connection(self, url: Any, proxies: Any = None) -> _SshPool:  # noqa: ARG002 - its too
        return self._pool

    def request_url(self, request: requests.PreparedRequest, proxies: Any) -> str:  # noqa: ARG002
        return request.path_url

    def close(self) -> None:
        super().close()
        self._pool.close()


def ssh_command(target: SplitResult) -> list[str]:
    """Return the command that the docker CLI runs for ``ssh://[user@]host[:port]``."""
    command = ["ssh", "-o", "ConnectTimeout=30", "-T"]
    if target.username:
        command += ["-l", target.username]
    if target.port:
        command += ["-p", str(target.port)]
    return [*command, "--", target.hostname or "", "docker", "system", "dial-stdio"]


class _SshConnection(HTTPConnection):
    """An HTTP connection whose other end is the standard input and output of one ssh process.

    A socket pair instead of pipes: timeouts and `shutdown` then work as on any other connection.
    """

    command: list[str]
    _process: subprocess.Popen[bytes] | None = None

    def connect(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            # A session of its own: Ctrl-C must not cut the connection that cleans up.
            self._process = subprocess.Popen(
                self.command,
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                start_new_session=True,
            )
        ours.settimeout(self.timeout if isinstance(self.timeout, int | float) else None)
        self.sock = ours

    def close(self) -> None:
        super().close()
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            process.wait()


class _SshPool(urllib3.HTTPConnectionPool):
    command: list[str]

    def _new_conn(self) -> _SshConnection:
        connection = _SshConnection("localhost")
        connection.command = self.command
        return connection
