"""Notes docker-py's calls to the engine: each request, and each client that is made."""

from __future__ import annotations

import functools
from _thread import get_ident

from .log import LOG, clock, frames
from .unix_http import told_otherwise

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_LONGEST_PATH = 300


def _patch_api(module: Any) -> None:
    client = module.APIClient
    client.send = _sending(client.send)
    client.__init__ = _spanned(client.__init__, "client")
    # Its answer comes over a socket of its own, after the request.
    client.exec_start = _spanned(client.exec_start, "engine", path="/exec/start")


def _patch_client(module: Any) -> None:
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
    "docker.api.client": _patch_api,
    "docker.client": _patch_client,
    "docker.models.images": _patch_images,
}
