"""How bytes reach an engine: HTTP adapters whose connections all threads share.

docker-py has such adapters too. But its one for sockets keeps a pool for each *URL*, so that two
different calls never share a connection, and leaks the socket when nobody listens; and its one for
ssh needs paramiko and knows no timeouts.
"""

from __future__ import annotations

import os
import socket
import subprocess
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, urlsplit

import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection

if TYPE_CHECKING:
    import requests

    from dockwright.engine.endpoint import Endpoint

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


class _TcpAdapter(HTTPAdapter):
    """Notices a peer that vanished: streams have no read timeout, so the kernel has to probe."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:  # requests' own signature
        super().init_poolmanager(*args, socket_options=_KEEPALIVE, **kwargs)


class PoolAdapter(HTTPAdapter):
    """Sends everything over one pool, whatever the URL says about the host."""

    def __init__(self, pool: urllib3.HTTPConnectionPool) -> None:
        super().__init__()
        self.pool = pool

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ARG002
        """Return the one pool (requests asks for each request)."""
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


class _UnixPool(urllib3.HTTPConnectionPool):
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


class _SshPool(urllib3.HTTPConnectionPool):
    def __init__(self, command: list[str], size: int) -> None:
        super().__init__("localhost", maxsize=size)
        self._command = command

    def _new_conn(self) -> _SshConnection:
        connection = _SshConnection("localhost")
        connection.command = self._command
        return connection


def _seconds(timeout: object) -> float | None:
    return float(timeout) if isinstance(timeout, int | float) else None
