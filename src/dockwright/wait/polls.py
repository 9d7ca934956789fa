"""The four functions that wait for common things by name and say whether they happened in time."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias
from urllib.parse import urlsplit

from dockwright.engine import connect
from dockwright.errors import NoSuchObjectError, WaitFailedError, WaitTimeoutError
from dockwright.model import Address
from dockwright.wait.exits import Exited, Running
from dockwright.wait.health import Healthy
from dockwright.wait.loop import require_duration
from dockwright.wait.network import Http, Tcp
from dockwright.wait.processes import FileDeleted, ProcessExited, ProcessLike
from dockwright.wait.strategy import WaitCondition, wait_for
from dockwright.wait.target import ContainerTarget, ProcessTarget, Target

if TYPE_CHECKING:
    from dockwright.engine import Engine


class _HasId(Protocol):
    @property
    def id(self) -> str | None: ...


ContainerLike: TypeAlias = str | _HasId
"""A container's id or name, or an object with its `id`, such as docker-py's ``Container``."""


def poll_for_process_exit(process: ProcessLike, timeout: float = 60.0) -> bool:
    """Wait until a process has ended.

    Args:
        process: a pid, a `subprocess.Popen` (which is reaped), a `psutil.Process`, or a text: all
            processes whose name it is or whose command line contains it have to end. A text never
            means the caller or the processes that it descends from.
        timeout: how long to wait, in seconds.

    Returns:
        Whether it ended in time; True for one that is not there at all.

    Raises:
        TypeError, ValueError: `process` or `timeout` is invalid.
    """
    return _happens(Target(), ProcessExited(process), timeout)


def poll_for_container_stop(
    container: ContainerLike, timeout: float = 60.0, *, engine: Engine | None = None
) -> bool:
    """Wait until a container has stopped, whatever its exit code, and nothing restarts it.

    Args:
        container: its id or name, or an object with its `id`.
        timeout: how long to wait, in seconds.
        engine: the engine that it is on; default: the one that the docker command would use.

    Returns:
        Whether it stopped in time; True for one that is not there (any more).

    Raises:
        TypeError, ValueError: `container` or `timeout` is invalid.
        EngineError: the engine could not be asked.
    """
    require_duration(timeout)
    target = _container(container, engine)
    try:
        return _happens(target, Exited(code=None), timeout)
    except NoSuchObjectError:
        return True


def poll_for_file_deletion(path: str | os.PathLike[str], timeout: float = 60.0) -> bool:
    """Wait until a file or directory is gone.

    Args:
        path: where it is; of a link, the link itself.
        timeout: how long to wait, in seconds.

    Returns:
        Whether it was gone in time; True for one that is not there at all. False where the
        directories on the way to it may not be searched.

    Raises:
        TypeError, ValueError: `path` or `timeout` is invalid.
    """
    if not os.fspath(path):
        raise ValueError("a path must not be empty")
    return _happens(Target(), FileDeleted(Path(path)), timeout)


def poll_for_service_health(
    service: Target | Address | ContainerLike,
    timeout: float = 60.0,
    *,
    engine: Engine | None = None,
) -> bool:
    """Wait until a service is healthy.

    Args:
        service: an http or https URL: it is answered with a status below 400. ``host:port``: it
            accepts connections. A container's name, id or object with `id`: its health check
            succeeds, or it runs where it has none. A target: the same for a container, and that it
            runs for a process.
        timeout: how long to wait, in seconds.
        engine: the engine that the container is on; default: the one that the docker command
            would use.

    Returns:
        Whether it was healthy in time; False at once for a container that exits.

    Raises:
        TypeError, ValueError: `service` or `timeout` is invalid.
        NoSuchObjectError: there is no such container.
        EngineError: the engine could not be asked.
    """
    require_duration(timeout)
    target, strategy = _service(service, engine)
    return _happens(target, strategy, timeout)


def _happens(target: Target, strategy: WaitCondition, timeout: float) -> bool:
    try:
        wait_for(target, strategy, timeout_s=timeout)
    except (WaitTimeoutError, WaitFailedError):
        return False
    return True


def _service(
    service: Target | Address | ContainerLike, engine: Engine | None
) -> tuple[Target, WaitCondition]:
    if isinstance(service, ProcessTarget):
        return service, Running()
    if isinstance(service, Target):
        return service, Healthy()
    if isinstance(service, Address):
        return Target(), Tcp(service.port, host=service.host)
    if isinstance(service, str):
        if "://" in service:
            return Target(), Http(service)
        if ":" in service:
            return Target(), _host_and_port(service)
    return _container(service, engine), Healthy()


def _host_and_port(text: str) -> Tcp:
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(f"{text!r} is not host:port: {error}") from error
    if host is None or port is None:
        raise ValueError(f"{text!r} is neither a URL, nor host:port, nor a container")
    return Tcp(port, host=host)


def _container(container: ContainerLike, engine: Engine | None) -> ContainerTarget:
    name = container if isinstance(container, str) else getattr(container, "id", None)
    if not isinstance(name, str):
        raise TypeError(
            "a container is an id, a name or an object with an `id`, "
            f"not {type(container).__name__}"
        )
    if not name.strip() or "/" in name.lstrip("/"):
        raise ValueError(f"{name!r} is not a container's id or name")
    return ContainerTarget(engine or connect(), name.lstrip("/"))
