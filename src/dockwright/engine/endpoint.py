"""The address of an engine, and what a connection to it needs."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from dockwright.engine.types import Document
from dockwright.errors import SettingsError
from dockwright.untrusted import json_value, read_plain

_FILE_BYTES = 4 << 20
_SCHEMES = ("unix", "tcp", "http", "https", "ssh")


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """What a TLS connection to an engine needs.

    Attributes:
        verify: whether the engine's certificate is checked.
        ca: the authority that it is checked against; None: the system's.
        cert: our certificate, where the engine asks for one.
        key: its key.
    """

    verify: bool
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None

    @classmethod
    def in_directory(cls, directory: Path, *, verify: bool) -> TlsFiles:
        """Take those of ``ca.pem``, ``cert.pem`` and ``key.pem`` that `directory` holds."""
        ca, cert, key = (
            found if (found := directory / name).is_file() else None
            for name in ("ca.pem", "cert.pem", "key.pem")
        )
        return cls(verify=verify, ca=ca, cert=cert, key=key)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address of a Docker-compatible engine.

    Attributes:
        url: ``unix:///...``, ``tcp://host:port`` or ``ssh://[user@]host[:port]``.
        source: who named it: ``DOCKER_HOST``, ``context NAME``, ``socket``, ...
        tls: the TLS files, or None for a plain connection.
    """

    url: str
    source: str
    tls: TlsFiles | None = None

    @property
    def is_local(self) -> bool:
        """Whether the engine is on this host: a unix socket or a loopback address."""
        return self.url.startswith("unix://") or self.host_ip in {"127.0.0.1", "localhost", "::1"}

    @property
    def host_ip(self) -> str:
        """The address, or the host name, at which the engine's published ports are reached."""
        if self.url.startswith("unix://"):
            return "127.0.0.1"
        return urlsplit(self.url).hostname or "127.0.0.1"


def normalised_url(address: str, source: str) -> str:
    """Return an address in one of the forms that `Endpoint.url` has.

    Raises:
        SettingsError: it has none.
    """
    address = address.strip()
    if "://" not in address:
        # As the docker command: a path is a socket's, anything else a host and port.
        address = f"unix://{address}" if address.startswith("/") else f"tcp://{address}"
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError as exc:
        raise _malformed(address, source, str(exc)) from exc
    if parts.scheme == "unix":
        if not parts.path or parts.netloc:
            raise _malformed(address, source, "a socket needs an absolute path: unix:///path")
        return address
    if parts.scheme not in _SCHEMES:
        raise _malformed(address, source, f"the scheme is not one of {', '.join(_SCHEMES)}")
    if not parts.hostname:
        raise _malformed(address, source, "the host is missing")
    if parts.scheme == "ssh":
        return _ssh_url(parts, source)
    return f"tcp://{_netloc(parts, port)}"


def _ssh_url(parts: SplitResult, source: str) -> str:
    address = parts.geturl()
    if parts.password:
        raise _malformed("ssh://...", source, "a password does not belong in the address")
    if (parts.hostname or "").startswith("-") or (parts.username or "").startswith("-"):
        raise _malformed(address, source, "neither user nor host may begin with '-'")
    if parts.path not in {"", "/"}:
        raise _malformed(address, source, "a path after the host is not supported")
    return address.rstrip("/")


def _netloc(parts: SplitResult, port: int | None) -> str:
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    return f"{host}:{port or (2376 if parts.scheme == 'https' else 2375)}"


def _malformed(address: str, source: str, reason: str) -> SettingsError:
    return SettingsError(
        f"{source}: {address!r} is not the address of an engine: {reason}",
        hint="for example unix:///var/run/docker.sock, tcp://host:2376 or ssh://user@host",
    )


def current_context(config: Path) -> str | None:
    """Return the name of the context in use, or None where none is chosen.

    Raises:
        SettingsError: ``config.json`` cannot be read.
    """
    name = _read(config / "config.json").get("currentContext")
    return name if isinstance(name, str) and name else None


def known_contexts(config: Path) -> list[str]:
    """Return the names of all contexts below `config`, sorted, ``default`` first."""
    names = [_read(meta).get("Name") for meta in (config / "contexts/meta").glob("*/meta.json")]
    return ["default", *sorted(name for name in names if isinstance(name, str))]


def endpoint_of_context(name: str, config: Path, *, chosen_by: str) -> Endpoint:
    """Return the engine that the context `name` means.

    Args:
        name: the context's name.
        config: the docker command's config directory.
        chosen_by: who chose it, for messages.

    Raises:
        SettingsError: it is not known, or its files are broken.
    """
    digest = sha256(name.encode()).hexdigest()
    meta = config / "contexts/meta" / digest / "meta.json"
    if not meta.is_file():
        raise SettingsError(
            f"{chosen_by}: unknown docker context {name!r}",
            hint=f"known contexts: {', '.join(known_contexts(config))}",
        )
    endpoint = _part(_part(_read(meta), "Endpoints"), "docker")
    host = endpoint.get("Host")
    if not isinstance(host, str) or not host:
        raise SettingsError(
            f"docker context {name!r} names no engine (Endpoints.docker.Host in {meta})"
        )
    url = normalised_url(host, f"docker context {name!r}")
    verify = not endpoint.get("SkipTLSVerify", False)
    files = TlsFiles.in_directory(config / "contexts/tls" / digest / "docker", verify=verify)
    uses_tls = url.startswith("tcp://") and (
        files.ca or files.cert or not verify or host.startswith("https://")
    )
    return Endpoint(url, f"context {name}", files if uses_tls else None)


def _part(document: Document, key: str) -> Document:
    part = document.get(key)
    return part if isinstance(part, dict) else {}


def _read(path: Path) -> Document:
    try:
        document = json_value(read_plain(path, limit_bytes=_FILE_BYTES))
    except FileNotFoundError:
        return {}
    except PermissionError as exc:
        raise SettingsError(
            f"{path} cannot be read: permission denied", hint="check its owner"
        ) from exc
    except (OSError, ValueError) as exc:
        raise SettingsError(
            f"{path} is not valid: {exc}",
            hint="correct it, or remove it (`docker login` rewrites it)",
        ) from exc
    if not isinstance(document, dict):
        raise SettingsError(f"{path} is not valid: it must hold a JSON object")
    return document


DEFAULT_SOCKET = Path("/var/run/docker.sock")
_PROBE_TIMEOUT_S = 1.0


def resolve_endpoint(
    environ: Mapping[str, str],
    home: Path,
    *,
    explicit: str | None = None,
    source: str = "the option",
) -> Endpoint:
    """Find the engine: explicit, DOCKER_HOST, DOCKER_CONTEXT, current context, usual sockets.

    Args:
        environ: the environment.
        home: the home directory.
        explicit: an address that goes before all others, as DOCKER_HOST would name it.
        source: who named that one, for messages.

    Returns:
        The endpoint; whether anything answers there is not checked, except that of the usual
        sockets the first that accepts a connection is taken.

    Raises:
        SettingsError: an address is malformed, a context is not known, or its files are broken.
    """
    config = Path(environ.get("DOCKER_CONFIG") or home / ".docker")
    if explicit:
        return _addressed(explicit, source, environ, config)
    if address := environ.get("DOCKER_HOST"):
        return _addressed(address, "DOCKER_HOST", environ, config)
    if name := environ.get("DOCKER_CONTEXT"):
        chosen_by = "DOCKER_CONTEXT"
    else:
        name, chosen_by = current_context(config), str(config / "config.json")
    if name and name != "default":
        return endpoint_of_context(name, config, chosen_by=chosen_by)
    return first_answering(usual_sockets(environ, home))


def usual_sockets(environ: Mapping[str, str], home: Path) -> list[Path]:
    """Return where engines usually listen on this system, the likeliest first."""
    runtime = Path(environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}")
    sockets = [
        DEFAULT_SOCKET,
        runtime / "docker.sock",
        home / ".docker/run/docker.sock",
        home / ".docker/desktop/docker.sock",
        home / ".orbstack/run/docker.sock",
        home / ".colima/default/docker.sock",
        home / ".config/colima/default/docker.sock",
        home / ".rd/docker.sock",
        runtime / "podman/podman.sock",
        Path("/run/podman/podman.sock"),
    ]
    if sys.platform == "darwin":
        sockets.append(home / ".local/share/containers/podman/machine/podman.sock")
    return sockets


def first_answering(sockets: Iterable[Path]) -> Endpoint:
    """Return the first socket that accepts; else one that exists; else the default one.

    One that exists is worth returning: the call that follows tells why it does not work
    (no permission, or left by an engine that ended).
    """
    candidates = list(sockets)
    for path in candidates:
        if _accepts(path):
            return Endpoint(f"unix://{path}", "socket")
    for path in candidates:
        try:
            if path.is_socket():
                return Endpoint(f"unix://{path}", "socket")
        except PermissionError:
            continue  # another user's home
    return Endpoint(f"unix://{candidates[0]}", "default")


def _accepts(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_PROBE_TIMEOUT_S)
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


def _addressed(address: str, source: str, environ: Mapping[str, str], config: Path) -> Endpoint:
    url = normalised_url(address, source)
    if not url.startswith("tcp://"):
        return Endpoint(url, source)
    tls = _environment_tls(url, environ, config)
    if tls is None and address.strip().startswith("https://"):
        tls = TlsFiles(verify=True)
    return Endpoint(url, source, tls)


def _environment_tls(url: str, environ: Mapping[str, str], config: Path) -> TlsFiles | None:
    verify = bool(environ.get("DOCKER_TLS_VERIFY"))
    given = environ.get("DOCKER_CERT_PATH")
    if not (verify or given or environ.get("DOCKER_TLS")):
        return None
    directory = Path(given) if given else config
    if given:
        missing = [n for n in ("ca.pem", "cert.pem", "key.pem") if not (directory / n).is_file()]
        if missing:
            raise SettingsError(
                f"DOCKER_CERT_PATH={given}: {', '.join(missing)} missing, needed for {url}",
                hint="put ca.pem, cert.pem and key.pem there, or unset DOCKER_CERT_PATH",
            )
    return TlsFiles.in_directory(directory, verify=verify)
