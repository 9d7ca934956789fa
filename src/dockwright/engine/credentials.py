"""What the docker command would send to a registry: its logins and credential helpers."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Iterable

from docker import auth
from docker.credentials.errors import StoreError
from docker.errors import DockerException

from dockwright.engine.types import registry_of
from dockwright.errors import EngineError


def pull_headers(image: str) -> dict[str, str]:
    """Return the headers that log in to the registry of `image`; empty if there is no login.

    Raises:
        EngineError: the configured credential helper does not work.
    """
    registry = registry_of(image)
    try:
        config = auth.load_config()
        _require_helpers([config.get_credential_store(registry)])
        login = config.resolve_authconfig(registry)
    except (DockerException, StoreError, ValueError) as exc:
        raise _no_credentials(registry, exc) from exc
    if not login:
        return {}
    return {"X-Registry-Auth": auth.encode_header(login).decode()}


def build_headers() -> dict[str, str]:
    """Return the headers with the logins of all registries: a build may pull from any."""
    try:
        config = auth.load_config()
        _require_helpers([config.creds_store, *config.cred_helpers.values()])
        logins = config.get_all_credentials()  # type: ignore[no-untyped-call]  # stubs
    except (DockerException, StoreError, ValueError) as exc:
        raise _no_credentials("the registries", exc) from exc
    known = {registry: login for registry, login in logins.items() if login}
    if not known:
        return {}
    encoded = base64.urlsafe_b64encode(json.dumps(known).encode()).decode()
    return {"X-Registry-Config": encoded}


def _require_helpers(stores: Iterable[str | None]) -> None:
    for store in stores:
        # docker-py itself only warns, and goes on without a login.
        if store and not shutil.which(f"docker-credential-{store}"):
            raise StoreError(f"docker-credential-{store} is not installed")


def _no_credentials(registry: str, exc: Exception) -> EngineError:
    return EngineError(
        f"the credentials for {registry} cannot be read: {exc}",
        hint="see credsStore, credHelpers and auths in the docker command's config.json; "
        "`docker login` and `docker logout` rewrite them",
    )
