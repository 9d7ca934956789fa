"""The docker command's contexts: named endpoints and their TLS files, in its config directory."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

from dockwright.engine.endpoint import Endpoint, TlsFiles, normalised_url
from dockwright.engine.types import Document
from dockwright.errors import SettingsError


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
            f"{chosen_by}: there is no docker context {name!r}",
            hint=f"known contexts: {', '.join(known_contexts(config))}",
        )
    endpoint = (_read(meta).get("Endpoints") or {}).get("docker") or {}
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


def _read(path: Path) -> Document:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except PermissionError as exc:
        raise SettingsError(f"{path} may not be read by this user", hint="check its owner") from exc
    except (OSError, ValueError) as exc:
        raise SettingsError(
            f"{path} is not valid: {exc}",
            hint="correct it, or remove it (`docker login` rewrites it)",
        ) from exc
    if not isinstance(document, dict):
        raise SettingsError(f"{path} is not valid: it must hold a JSON object")
    return document
