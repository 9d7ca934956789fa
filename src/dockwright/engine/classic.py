"""A build by the engine's own classic builder, which needs nothing beside the engine."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import IO, TYPE_CHECKING

from docker.utils import build as context_utils

from dockwright.engine.build_request import BuildRequest, BuildWatch
from dockwright.engine.calls import Call
from dockwright.engine.credentials import build_headers
from dockwright.engine.deadline import ending
from dockwright.engine.streams import json_lines
from dockwright.errors import EngineError, ImageBuildError

if TYPE_CHECKING:
    from dockwright.engine.transport import Transport


def build_classic(transport: Transport, request: BuildRequest, watch: BuildWatch) -> str:
    """Send the context and build it.

    Args:
        transport: the connections to the engine.
        request: what to build.
        watch: sees its output; `timeout_s` is how long the builder may be silent.

    Returns:
        The image's id.

    Raises:
        EngineError: the build failed; its message is the builder's reason.
    """
    with _context(request) as (dockerfile, tar):
        call = Call(
            "POST",
            "/build",
            "build image",
            request.name,
            params=_params(request, dockerfile, as_json=transport.version.kind == "podman"),
            data=tar,
            headers={"Content-Type": "application/x-tar", **build_headers()},
            timeout_s=watch.timeout_s,
        )
        image = ""
        with transport.stream(call) as stream, ending(watch.unwanted, stream.close):
            for message in json_lines(stream):
                if error := message.get("error"):
                    raise EngineError(str(error))
                for line in str(message.get("stream") or message.get("status") or "").splitlines():
                    watch.on_line(line)
                image = (message.get("aux") or {}).get("ID") or image
    if not image:
        raise EngineError("the builder named no image at its end")
    return image


def context_files(request: BuildRequest) -> set[str]:
    """Return the names of what a build may copy, relative to its context."""
    own = request.dockerfile_path.with_name(f"{request.dockerfile_path.name}.dockerignore")
    # BuildKit takes a Dockerfile's own list instead: then nothing is left out.
    ignored = [] if own.exists() else _ignored(request)
    found: set[str] = context_utils.exclude_paths(
        str(request.context.resolve()), ignored, dockerfile=request.dockerfile or "Dockerfile"
    )
    return found


def _params(
    request: BuildRequest, dockerfile: str, *, as_json: bool
) -> dict[str, str | int | bool | list[str] | None]:
    hosts = list(request.extra_hosts)
    return {
        "version": "1",
        "dockerfile": dockerfile,
        "t": list(request.tags),
        "buildargs": json.dumps(dict(request.args)),
        "labels": json.dumps(dict(request.labels)),
        "cachefrom": json.dumps(list(request.cache_from)),
        "target": request.target,
        "networkmode": request.network,
        "platform": request.platforms[0] if request.platforms else None,
        # Podman reads one JSON list where Docker reads the parameter several times.
        "extrahosts": json.dumps(hosts) if as_json and hosts else hosts,
        "shmsize": request.shm_size_bytes,
        "nocache": request.no_cache,
        "pull": request.pull,
        "rm": True,
        "forcerm": True,
    }


@contextmanager
def _context(request: BuildRequest) -> Iterator[tuple[str, IO[bytes]]]:
    """Yield the Dockerfile's name in the context and the context's tar, in a file on disk."""
    root = request.context.resolve()
    dockerfile = request.dockerfile_path.resolve()
    text: str | None = None
    if request.dockerfile_inline is None and dockerfile.is_relative_to(root):
        name = str(dockerfile.relative_to(root))
    else:
        # Not a file of the context: put into the archive, and kept out of COPY.
        text = request.dockerfile_text()
        name = f".dockerfile.{sha256(text.encode()).hexdigest()[:20]}"
    with tempfile.TemporaryFile(prefix="dockwright-context-") as file:
        try:
            context_utils.tar(
                root, exclude=_ignored(request), dockerfile=(name, text), fileobj=file
            )
        except OSError as exc:
            raise ImageBuildError(
                f"cannot build image {request.name}: its context cannot be read: {exc}",
                hint="name in .dockerignore what does not belong into the image",
            ) from exc
        yield name, file


def _ignored(request: BuildRequest) -> list[str]:
    try:
        text = (request.context / ".dockerignore").read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return []
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]
