"""The address of an engine, and what a connection to it needs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

from dockwright.errors import SettingsError

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
        raise _malformed("ssh://...", source, "a password does not belong into the address")
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
