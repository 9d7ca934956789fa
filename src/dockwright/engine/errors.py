"""What an engine's error messages mean, and what to do about them. No other file knows them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from dockwright.engine.types import registry_of
from dockwright.errors import (
    AddressPoolError,
    ConflictError,
    DiskFullError,
    EngineError,
    EnginePermissionError,
    EngineTimeoutError,
    EngineUnreachableError,
    ImageBuildError,
    ImageMissingError,
    NoSuchObjectError,
    PortInUseError,
)

if TYPE_CHECKING:
    from dockwright.engine.endpoint import Endpoint

_PORT = re.compile(
    r"(?:\bfor |listen \w+ |exposing port \w+ |bind (?:host )?port (?:for )?)"
    r"(?:\[[0-9a-f:]*\]|[0-9a-f:]*|[\d.]*):(\d+)(?=[/\s,:]|$)",
    re.I,
)
"""The host's port in an address such as ``0.0.0.0:8080``, ``:::443``, ``[::1]:80/tcp``."""

_NO_IMAGE = re.compile(r"no such image|image not known|not found: does not exist or no pull", re.I)
_IMAGE_UNKNOWN = re.compile(r"(\S+): image not known", re.I)
_IMAGE_NAME = re.compile(
    r"(?:no such image: |access to |image for |manifest for |find image )(\S+?):?(?:\s|$)", re.I
)
_DOCKER_HUB = re.compile(r"docker\.io/(library/)?")
"""What Podman puts before names that have no registry."""


class _Rule(NamedTuple):
    pattern: re.Pattern[str]
    error: type[EngineError]
    hint: str


def _rule(pattern: str, error: type[EngineError], hint: str) -> _Rule:
    return _Rule(re.compile(pattern, re.IGNORECASE), error, hint)


_RULES = (
    _rule(
        r"no space left on device|disk quota exceeded|wrote only \d+ of \d+ bytes",
        DiskFullError,
        "free space where the engine keeps its data (`docker system df` shows what uses it), "
        "then try again",
    ),
    _rule(
        r"non-overlapping IPv4 address pool|pools have been fully subnetted|no free .*subnet",
        AddressPoolError,
        "remove unused networks (`dockwright clean` removes what dead runs left), or "
        'give the engine more subnets: "default-address-pools" in its daemon.json',
    ),
    _rule(
        r"pool overlaps with other one on this address space|subnet \S+ is already used",
        AddressPoolError,
        "another network has this subnet: choose another under `ipam:`, or leave it out",
    ),
    _rule(
        r"port is already allocated|address already in use|ports are not available",
        PortInUseError,
        "another container or process on the host uses it: `docker ps` or `ss -ltnp` shows "
        "which; without a fixed host port the engine chooses a free one",
    ),
    _rule(
        r"authorization denied|permission denied while trying to connect",
        EnginePermissionError,
        "ask the engine's administrator for access",
    ),
    _rule(
        r"name .* (is )?already (in use|used|exists)",
        ConflictError,
        "remove or rename the other one, or choose another name",
    ),
    _rule(
        r"has active endpoints|volume is in use|is in use by|is being used|"
        r"has dependent containers",
        ConflictError,
        "remove the containers that use it first",
    ),
    _rule(
        r"in database: no such (container|volume)",
        NoSuchObjectError,
        "it was removed, or never existed",
    ),
    _rule(
        r"container state improper|can only create exec sessions on running containers",
        ConflictError,
        "it has ended, was never started, or is paused: its log may say why",
    ),
    _rule(
        r"bind source path does not exist",
        EngineError,
        "create it on the engine's host first, or write `./path:/target`: that creates a directory",
    ),
    _rule(
        r"unable to find (user|group)|no matching entries in (passwd|group)",
        EngineError,
        "use a user that the image has, or a numeric id",
    ),
    _rule(
        r"/proc/sys/|sysctl",
        EngineError,
        "check `sysctls:`: the kernel of the engine's host lacks it, or a container may not set it",
    ),
    _rule(
        r"gathering device information",
        EngineError,
        "check `devices:`: the device must exist on the engine's host",
    ),
    _rule(
        r"does not (match|provide) the specified platform",
        ImageMissingError,
        "pull or build the image for that platform, or leave out `platform:`",
    ),
    _rule(
        r"looking up logging plugin|unknown (runtime specified|or invalid runtime)|"
        r"error looking up volume plugin|plugin \S+ not found",
        EngineError,
        "the engine does not have it: `docker info` lists its plugins and runtimes",
    ),
    _rule(
        r"executable file not found|no such file or directory: unknown|exec format error",
        EngineError,
        "check the command, and that the image is made for the engine's architecture",
    ),
)


def refused(status: int, message: str, action: str) -> EngineError:
    """Return the error for an answer of 400 or more.

    Args:
        status: the HTTP status.
        message: the engine's own words.
        action: what was asked for: ``start container web``.
    """
    words = message.strip().rstrip(".") or f"HTTP status {status}"
    text = f"cannot {action}: {words}"
    if _NO_IMAGE.search(words):
        return _image_missing(words, action)
    for rule in _RULES:
        if rule.pattern.search(words):
            if rule.error is PortInUseError:
                return rule.error(_name_port(words, action), hint=rule.hint)
            return rule.error(text, hint=rule.hint)
    kinds: dict[int, tuple[type[EngineError], str | None]] = {
        401: (EnginePermissionError, "log in to the engine or its registry"),
        403: (ConflictError, None),  # "not supported for this object", not "not for this user"
        404: (NoSuchObjectError, "it was removed, or never existed"),
        409: (ConflictError, None),
        504: (EngineTimeoutError, None),
    }
    error, hint = kinds.get(status, (EngineError, None))
    return error(text, hint=hint)


def pull_failed(reference: str, reason: str) -> EngineError:
    """Return the error for an image that could not be pulled."""
    text = f"image {reference} cannot be pulled: {reason.strip()}"
    if _is_disk_full(reason):
        return DiskFullError(text, hint=_RULES[0].hint)
    return ImageMissingError(text, hint=_pull_hint(reason, registry_of(reference)))


def build_failed(name: str, reason: str, lines: list[str]) -> EngineError:
    """Return the error for a build that failed, with the last lines that the builder wrote."""
    reason = reason.removeprefix(f"cannot build image {name}: ").strip()
    text = "\n    ".join([f"cannot build image {name}: {reason}", *lines])
    if _is_disk_full(text):
        return DiskFullError(text, hint=_RULES[0].hint)
    is_about_base = re.search(r"pull access denied|manifest|registry|dial tcp", reason)
    return ImageBuildError(
        text, hint=_pull_hint(reason, "of its base image") if is_about_base else None
    )


_PULL_HINTS = (
    (
        r"denied|unauthorized|authentication required|no basic auth",
        "check the name; if the image is private: `docker login` to the registry {}",
    ),
    (
        r"no matching manifest|does not (match|provide) the specified platform",
        "the image is not made for the engine's architecture: set `platform:`",
    ),
    (
        r"toomanyrequests|rate limit",
        "the registry limits anonymous pulls: `docker login` to the registry {}",
    ),
    (
        r"dial tcp|lookup|timeout|refused|no route|TLS handshake|EOF|x509|awaiting headers",
        "the engine cannot reach the registry {}: check its network and proxy, or build or load "
        "the image by other means",
    ),
    (
        r"manifest.*(unknown|not found)|not found|does not exist",
        "check the image's name and tag",
    ),
)


def _pull_hint(reason: str, registry: str) -> str | None:
    for pattern, hint in _PULL_HINTS:
        if re.search(pattern, reason, re.IGNORECASE):
            return hint.format(registry)
    return None


def _is_disk_full(text: str) -> bool:
    return _RULES[0].pattern.search(text) is not None


def unreachable(endpoint: Endpoint, exc: Exception, action: str, timeout_s: float) -> EngineError:
    """Return the error for a call that got no answer at all."""
    where = f"{endpoint.url} (from {endpoint.source})"
    causes = list(_causes(exc))
    if any(isinstance(cause, PermissionError) for cause in causes):
        return EnginePermissionError(
            f"cannot {action}: permission denied for the engine at {where}",
            hint="add the user to the group that owns the socket (`sudo usermod -aG docker $USER`, "
            "then log in again), or use a rootless engine",
        )
    if _is_read_timeout(exc):
        return EngineTimeoutError(
            f"cannot {action}: the engine at {where} did not answer within {timeout_s:g} s",
            hint="check whether the engine is overloaded or hangs (see its log and `docker info`)",
        )
    reason, hint = _why_absent(causes)
    return EngineUnreachableError(f"cannot {action}: no engine at {where}: {reason}", hint=hint)


def lost_connection(action: str, exc: Exception) -> EngineError:
    """Return the error for an answer that broke off while it was read."""
    if any(isinstance(cause, TimeoutError) for cause in _causes(exc)):
        return EngineTimeoutError(f"{action}: the engine sent nothing for too long")
    return EngineUnreachableError(
        f"{action}: the engine closed the connection in the middle of its answer "
        f"({type(exc).__name__}: {exc})",
        hint="check the engine's log: it may have been restarted",
    )


def _name_port(words: str, action: str) -> str:
    found = _PORT.search(words)
    port = f"host port {found[1]}" if found else "a host port"
    return f"cannot {action}: {port} is in use ({words})"


def _image_missing(words: str, action: str) -> ImageMissingError:
    found = _IMAGE_UNKNOWN.search(words) or _IMAGE_NAME.search(words)
    what, hint = "its image", "pull or build it"
    if found:
        name = _DOCKER_HUB.sub("", found[1])
        what, hint = f"image {name}", f"pull it (`docker pull {name}`) or build it"
    return ImageMissingError(f"cannot {action}: {what} is not on the engine", hint=hint)


def _causes(exc: BaseException) -> Iterator[BaseException]:
    """Yield an exception and what is wrapped in it, in `args`, `reason` or `__cause__`."""
    pending: list[object] = [exc]
    seen: set[int] = set()
    while pending:
        item = pending.pop()
        if isinstance(item, BaseException) and id(item) not in seen:
            seen.add(id(item))
            yield item
            pending += [item.__cause__, item.__context__, getattr(item, "reason", None), *item.args]


def _is_read_timeout(exc: Exception) -> bool:
    # By name: `requests` must not be imported before an engine is used.
    names = {type(cause).__name__ for cause in _causes(exc)}
    return bool(names & {"ReadTimeout", "ReadTimeoutError"}) and "ConnectTimeout" not in names


_ABSENT: tuple[tuple[Callable[[BaseException], bool], str, str], ...] = (
    (
        lambda cause: isinstance(cause, FileNotFoundError) and cause.filename == "ssh",
        "the command `ssh` is not installed",
        "install an ssh client",
    ),
    (
        lambda cause: isinstance(cause, FileNotFoundError | NotADirectoryError),
        "the socket does not exist",
        "start Docker or Podman, or set DOCKER_HOST or a docker context to its address",
    ),
    (
        lambda cause: isinstance(cause, ConnectionRefusedError),
        "nothing listens there (the engine has ended, or the port is wrong)",
        "start the engine (`sudo systemctl start docker`, or Docker Desktop)",
    ),
    (
        lambda cause: "SSL" in type(cause).__name__ or "CERTIFICATE" in str(cause),
        "the TLS connection failed",
        "check the certificates (DOCKER_CERT_PATH, or the context's), and that the engine uses TLS",
    ),
    (
        lambda cause: (
            "NameResolution" in type(cause).__name__ or "gaierror" in type(cause).__name__
        ),
        "its host name cannot be resolved",
        "check the host name in DOCKER_HOST or in the docker context",
    ),
    (
        lambda cause: "ConnectTimeout" in type(cause).__name__,
        "it did not accept a connection in time",
        "check the address, and whether a firewall blocks it",
    ),
)


def _why_absent(causes: list[BaseException]) -> tuple[str, str]:
    for matches, reason, hint in _ABSENT:
        if any(matches(cause) for cause in causes):
            return reason, hint
    last = causes[-1]
    return (
        f"the connection broke ({type(last).__name__}: {last})",
        "check that an engine serves this address (for ssh: that `ssh HOST docker version` works)",
    )
