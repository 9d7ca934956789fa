"""Notes HTTP on the engine's socket that is not docker-py's: requests, urllib3, http.client."""

from __future__ import annotations

import functools
import os
from _thread import get_ident

from .log import LOG, clock, frames

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_LONGEST_PATH = 300
_NAMES = ("docker.sock", "podman.sock")
_UNIX = "unix://"

told_otherwise: set[int] = set()
"""The threads in which docker-py makes a request: the record of that has more in it."""


def _patch_client(module: Any) -> None:
    connection = module.HTTPConnection
    connection.putrequest = _asking(connection.putrequest)
    connection.getresponse = _answered(connection.getresponse)
    response = module.HTTPResponse
    for name in ("read", "read1", "readinto"):
        setattr(response, name, _reading(getattr(response, name)))


def _asking(real: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(real)
    def putrequest(self: Any, method: str, url: str, *rest: Any, **options: Any) -> Any:
        __tracebackhide__ = True
        self.dockwright_asked = (clock(), method, url)
        return real(self, method, url, *rest, **options)

    return putrequest


def _answered(real: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(real)
    def getresponse(self: Any, *args: Any, **options: Any) -> Any:
        __tracebackhide__ = True
        # Before: an answer that ends the connection takes its socket along.
        is_engine = get_ident() not in told_otherwise and _leads_to_engine(self.sock)
        response = real(self, *args, **options)
        if is_engine:
            begin, method, url = self.dockwright_asked
            call = {"method": method, "path": url[:_LONGEST_PATH], "status": response.status}
            response.dockwright_call = {**call, "call": begin}
            LOG.span("engine", begin, frames(), **response.dockwright_call)
        return response

    return getresponse


def _reading(real: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(real)
    def read(self: Any, *args: Any, **options: Any) -> Any:
        call = getattr(self, "dockwright_call", None)
        if call is None:
            return real(self, *args, **options)
        __tracebackhide__ = True
        begin = clock()
        try:
            return real(self, *args, **options)
        finally:
            LOG.span("engine", begin, frames(), **call)

    return read


def _leads_to_engine(socket: Any) -> bool:
    try:
        name = socket.getpeername()
    except (AttributeError, OSError):
        return False  # none, or closed already
    if not isinstance(name, str):
        return False
    host = os.environ.get("DOCKER_HOST", "")
    return name.endswith(_NAMES) or (host.startswith(_UNIX) and host[len(_UNIX) :] == name)


def _patch_api(module: Any) -> None:
    client = module.APIClient
    client.send = _sending(client.send)
    client.__init__ = _spanned(client.__init__, "client")
    # Its answer comes over a socket of its own, after the request.
    client.exec_start = _spanned(client.exec_start, "engine", path="/exec/start")


def _patch_sdk_client(module: Any) -> None:
    real = module.DockerClient.__dict__["from_env"].__func__
    module.DockerClient.from_env = classmethod(_spanned(real, "client"))
    module.from_env = module.DockerClient.from_env


def _patch_images(module: Any) -> None:
    images = module.ImageCollection
    images.pull = _spanned(images.pull, "pull")
    images.build = _spanned(images.build, "engine", path="/build")


def _sending(real: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(real)
    def send(self: Any, request: Any, **options: Any) -> Any:
        __tracebackhide__ = True
        begin = clock()
        status = 0
        thread = get_ident()
        told_otherwise.add(thread)
        try:
            response = real(self, request, **options)
            status = response.status_code
        finally:
            told_otherwise.discard(thread)
            path = str(request.path_url)[:_LONGEST_PATH]
            LOG.span(
                "engine", begin, frames(), method=str(request.method), path=path, status=status
            )
        return response

    return send


def _spanned(real: Callable[..., Any], kind: str, **detail: str) -> Callable[..., Any]:
    @functools.wraps(real)
    def call(*args: Any, **options: Any) -> Any:
        __tracebackhide__ = True
        begin = clock()
        try:
            return real(*args, **options)
        finally:
            LOG.span(kind, begin, frames(), **detail)

    return call


PATCHES: dict[str, Callable[[Any], None]] = {
    "http.client": _patch_client,
    "docker.api.client": _patch_api,
    "docker.client": _patch_sdk_client,
    "docker.models.images": _patch_images,
}
