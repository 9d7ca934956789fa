"""Which engine is meant: found in the order in which the docker command looks."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from dockwright.engine.contexts import current_context, endpoint_of_context
from dockwright.engine.endpoint import Endpoint, TlsFiles, normalised_url
from dockwright.errors import SettingsError

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
            continue  # somebody else's home
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
