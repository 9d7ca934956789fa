"""What a container of the Docker SDK for Python is created with, as a stack of one service.

The arguments are those of ``docker.models.containers.ContainerCollection.create``. What a Compose
file cannot say in the same way, or what another container cannot stand in for, has a reason.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import shlex
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, TypeAlias

Document: TypeAlias = dict[str, Any]

_TESTCONTAINERS = "org.testcontainers"
_DATABASES = (
    (5432, "POSTGRES_"),
    (3306, "MYSQL_"),
    (3306, "MARIADB_"),
)
_IMAGE = re.compile(r"(?:.*/)?([^/:@]+)")
_REDIS = re.compile(r"redis|valkey")
_REDIS_PORT = 6379


class NotLeasableError(Exception):
    """Another container cannot stand in for this one; the message says why."""


class _UnknownError(Exception):
    """A Compose file cannot say it in the same way."""


@dataclass(frozen=True, slots=True)
class ContainerRequest:
    """What a suite asks the Docker SDK to create.

    Attributes:
        image: its name.
        arguments: the keyword arguments, without the image.
        files: tar archives that are copied into it before it starts, each with its directory.
    """

    image: str
    arguments: Mapping[str, Any]
    files: tuple[tuple[str, bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class ContainerSpec:
    """A container as a stack of one service.

    Attributes:
        service: the name of the service.
        document: the Compose file.
        database: whether it is a server that a reset brings back while it runs.
        digest: identifies the content of `document`.
    """

    service: str
    document: Document
    database: bool
    digest: str = field(init=False)

    def __post_init__(self) -> None:
        text = json.dumps(self.document, sort_keys=True)
        object.__setattr__(self, "digest", hashlib.sha256(text.encode()).hexdigest()[:12])


def container_spec(request: ContainerRequest, service: str) -> ContainerSpec:
    """Return the stack that stands for a container.

    Args:
        request: what the suite asks for.
        service: what its service is called.

    Raises:
        NotLeasableError: it has to be created as it was asked for.
    """
    described, unknown = describe(request)
    database = is_database(request.image, described)
    if unknown:
        raise NotLeasableError(f"a pooled container cannot have {', '.join(unknown)}")
    if reason := _reason_against(request, described, database=database):
        raise NotLeasableError(reason)
    described["network_mode"] = "bridge"
    if not database:
        # Its own wait strategy decides when it is ready, and its log has to be that of a new one.
        described["x-dockwright"] = {"reset": "recreate", "ready": "running", "cache": False}
    return ContainerSpec(service, document_of({service: described}, service), database)


def describe(request: ContainerRequest) -> tuple[Document, list[str]]:
    """Return a container as a service of a Compose file, and what a service cannot have.

    The files that are copied into it are ``configs`` with their content in place.
    """
    described: Document = {"image": request.image}
    unknown: list[str] = []
    for name, value in request.arguments.items():
        if name in _IGNORED or _empty(value):
            continue
        try:
            described |= _KEYS[name](value) if name in _KEYS else _raise(f"{name}={value!r}")
        except _UnknownError as reason:
            unknown.append(str(reason))
    try:
        files = [
            _used(file) for directory, data in request.files for file in _files(directory, data)
        ]
    except _UnknownError as reason:
        unknown.append(str(reason))
    else:
        described |= {"configs": files} if files else {}
    return described, unknown


def document_of(services: Mapping[str, Document], name: str = "") -> Document:
    """Return the Compose file of some services that `describe` returned."""
    document: Document = {"name": name} if name else {}
    document["services"] = {}
    configs: dict[str, Document] = {}
    for service, described in services.items():
        used = []
        for number, file in enumerate(described.get("configs", ()), start=1):
            source = f"{service}-file-{number}"
            configs[source] = {"content": file["content"]}
            used.append({**{k: v for k, v in file.items() if k != "content"}, "source": source})
        document["services"][service] = {**described, **({"configs": used} if used else {})}
    found: Document = _escaped(document | ({"configs": configs} if configs else {}))
    return found


def _reason_against(request: ContainerRequest, described: Document, *, database: bool) -> str:
    """Return why another container cannot stand in for this one; empty: one can."""
    given = request.arguments
    if name := described.get("container_name"):
        return f"it has a name of its own, {name!r}"
    for key in ("auto_remove", "remove"):
        if given.get(key):
            return f"it removes itself when it ends ({key}=True)"
    ports = described.get("ports", ())
    if not ports:
        return "it publishes no port, so nothing is gained by keeping it"
    if fixed := [port["published"] for port in ports if "published" in port]:
        return f"it has a host port of its own, {fixed[0]}"
    for mount in described.get("volumes", ()):
        if mount["type"] == "volume":
            return f"it uses the volume {mount['source']}"
        if not mount.get("read_only"):
            return f"it may write to {mount['source']}, which outlives it"
    if given.get("network") and not database:
        return "it may need its network while it starts"
    return ""


def is_database(image: str, described: Mapping[str, Any]) -> bool:
    """Return whether dockwright knows a server of this kind, by what it is given."""
    ports = {int(port["target"]) for port in described.get("ports", ())}
    names = described.get("environment") or {}
    if any(
        port in ports and any(name.startswith(prefix) for name in names)
        for port, prefix in _DATABASES
    ):
        return True
    base = _IMAGE.match(image)
    return _REDIS_PORT in ports and base is not None and bool(_REDIS.search(base[1]))


def service_name(kind: str, image: str) -> str:
    """Return the name of the service for a container class such as ``PostgresContainer``."""
    own = re.sub(r"(Docker)?Container$", "", kind)
    if not own:
        match = _IMAGE.match(image)
        own = match[1] if match else "container"
    return re.sub(r"[^a-z0-9]+", "-", own.lower()).strip("-") or "container"


def _empty(value: object) -> bool:
    return value is None or value is False or (not isinstance(value, int) and not value)


def _raise(unknown: str) -> Document:
    raise _UnknownError(unknown)


@dataclass(frozen=True, slots=True)
class _File:
    """A file that is copied into a container: its path there, its header, and its text."""

    path: PurePosixPath
    member: tarfile.TarInfo
    text: str


def _used(file: _File) -> Document:
    return {
        "target": str(file.path),
        "content": file.text,
        "uid": str(file.member.uid),
        "gid": str(file.member.gid),
        "mode": file.member.mode,
    }


def _files(directory: str, data: bytes) -> Iterator[_File]:
    """Yield the files in an archive that is unpacked in a directory."""
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for member in archive:
            if not member.isdir():
                path = PurePosixPath("/", directory, member.name.lstrip("/"))
                yield _File(path, member, _text_of(archive, member))


def _text_of(archive: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    file = archive.extractfile(member) if member.isfile() else None
    try:
        text = file.read().decode() if file is not None else ""
    except UnicodeDecodeError:
        text = ""
    if not text:  # a Compose file cannot say it
        raise _UnknownError(f"a file that is empty or not text ({member.name})")
    return text


def _escaped(value: Any) -> Any:
    """Return a document in which ``$`` stands for itself."""
    if isinstance(value, str):
        return value.replace("$", "$$")
    if isinstance(value, Mapping):
        return {key: _escaped(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_escaped(each) for each in value]
    return value


def _words(value: object) -> list[str]:
    if isinstance(value, str):
        return shlex.split(value)
    if isinstance(value, Iterable):
        return [str(each) for each in value]
    raise _UnknownError(f"the command {value!r}")


def _pairs(value: object) -> dict[str, str]:
    if isinstance(value, Mapping):
        found = {str(key): each for key, each in value.items()}
    elif isinstance(value, Iterable) and not isinstance(value, str):
        found = dict(str(each).partition("=")[::2] for each in value)
    else:
        raise _UnknownError(repr(value))
    if missing := [key for key, each in found.items() if each is None]:
        raise _UnknownError(f"the variable {missing[0]} without a value")
    return {key: _text(each) for key, each in found.items()}


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _ports(value: object) -> list[Document]:
    if not isinstance(value, Mapping):
        raise _UnknownError(f"the ports {value!r}")
    found = []
    for key, host in value.items():
        number, _, protocol = str(key).partition("/")
        if not number.isdecimal() or isinstance(host, list):
            raise _UnknownError(f"the port {key}:{host}")
        port: Document = {"target": int(number), "protocol": protocol or "tcp"}
        if isinstance(host, tuple):
            port["host_ip"], host = host
        if host is not None:
            port["published"] = str(host)
        found.append(port)
    return found


def _volumes(value: object) -> list[Document]:
    if not isinstance(value, Mapping):
        raise _UnknownError(f"the volumes {value!r}")
    return [_mount(str(source), mount) for source, mount in value.items()]


def _mount(source: str, mount: Mapping[str, str]) -> Document:
    modes = (mount.get("mode") or "rw").split(",")
    found: Document = {"type": "volume", "source": source, "target": str(mount["bind"])}
    if source.startswith(("/", ".", "~")):
        found |= {"type": "bind", "bind": {"create_host_path": True}}
    return found | ({"read_only": True} if "ro" in modes else {})


def _tmpfs(value: object) -> list[str]:
    if not isinstance(value, Mapping):
        raise _UnknownError(f"tmpfs={value!r}")
    return [f"{path}:{_tmpfs_options(text)}" if text else str(path) for path, text in value.items()]


def _tmpfs_options(text: object) -> str:
    return str(text) if "=" in str(text) or "," in str(text) else f"size={text}"


def _healthcheck(value: Mapping[str, Any]) -> Document:
    given = {str(key).lower(): each for key, each in value.items()}
    names = {"interval": "interval", "timeout": "timeout", "start_period": "start_period"}
    names |= {"startperiod": "start_period"}
    found: Document = {
        names[key]: f"{int(each)}ns" for key, each in given.items() if key in names and each
    }
    if given.get("test"):
        found["test"] = given["test"] if isinstance(given["test"], str) else list(given["test"])
    if given.get("retries"):
        found["retries"] = int(given["retries"])
    return found


def _ulimits(value: Iterable[Mapping[str, Any]]) -> Document:
    return {
        str(each["Name"]): {
            key: int(number)
            for key, number in (("soft", each.get("Soft")), ("hard", each.get("Hard")))
            if number is not None
        }
        for each in value
    }


def _labels(value: object) -> Document:
    own = {k: v for k, v in _pairs(value).items() if not k.startswith(f"{_TESTCONTAINERS}.session")}
    return {"labels": own}


def _as(key: str, convert: Callable[[Any], Any] = lambda value: value) -> Callable[[Any], Document]:
    return lambda value: {key: convert(value)}


_KEYS: Mapping[str, Callable[[Any], Document]] = {
    "cap_add": _as("cap_add", list),
    "cap_drop": _as("cap_drop", list),
    "command": _as("command", _words),
    "cpu_period": _as("cpu_period"),
    "cpu_quota": _as("cpu_quota"),
    "cpu_shares": _as("cpu_shares"),
    "cpuset_cpus": _as("cpuset"),
    "dns": _as("dns", list),
    "dns_opt": _as("dns_opt", list),
    "dns_search": _as("dns_search", list),
    "domainname": _as("domainname", str),
    "entrypoint": _as("entrypoint", _words),
    "environment": _as("environment", _pairs),
    "extra_hosts": _as("extra_hosts", _pairs),
    "group_add": _as("group_add", lambda value: [str(each) for each in value]),
    "healthcheck": _as("healthcheck", _healthcheck),
    "hostname": _as("hostname", str),
    "init": _as("init", bool),
    "labels": _labels,
    "mem_limit": _as("mem_limit"),
    "mem_reservation": _as("mem_reservation"),
    "memswap_limit": _as("memswap_limit"),
    "name": _as("container_name", str),
    "nano_cpus": _as("cpus", lambda value: int(value) / 1e9),
    "oom_score_adj": _as("oom_score_adj"),
    "pids_limit": _as("pids_limit"),
    "platform": _as("platform", str),
    "ports": _as("ports", _ports),
    "privileged": _as("privileged", bool),
    "read_only": _as("read_only", bool),
    "security_opt": _as("security_opt", list),
    "shm_size": _as("shm_size"),
    "stdin_open": _as("stdin_open", bool),
    "stop_signal": _as("stop_signal", str),
    "sysctls": _as("sysctls", _pairs),
    "tmpfs": _as("tmpfs", _tmpfs),
    "tty": _as("tty", bool),
    "ulimits": _as("ulimits", _ulimits),
    "user": _as("user", str),
    "volumes": _as("volumes", _volumes),
    "working_dir": _as("working_dir", str),
}
"""How an argument of the SDK is written in a Compose file."""

_IGNORED = frozenset(
    {
        *("auto_remove", "detach", "network", "networking_config"),
        *("remove", "stderr", "stdout", "stream"),
    }
)
"""What does not change the container itself; networks are joined when it is leased."""
