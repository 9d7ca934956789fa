"""What the docker command would send to a registry: its logins and credential helpers."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from typing import TypeVar

from docker import auth
from docker.credentials.errors import StoreError
from docker.errors import DockerException

from dockwright.engine.types import registry_of
from dockwright.errors import EngineError

T = TypeVar("T")

HELPER_TIMEOUT_S = 30.0
"""How long credential helpers may take; some ask a service, none waits for a person."""

_PAUSE_S = 0.05
"""How long a helper that is ended may take to be gone before others are looked for."""

_EXPECTED = (DockerException, StoreError, ValueError)


def pull_headers(image: str) -> dict[str, str]:
    """Return the headers that log in to the registry of `image`; empty if there is no login.

    Raises:
        EngineError: the configured credential helper does not work.
    """
    registry = registry_of(image)

    def read() -> Mapping[str, str] | None:
        config = auth.load_config()
        _require_helpers([config.get_credential_store(registry)])
        login: Mapping[str, str] | None = config.resolve_authconfig(registry)
        return login

    login = _read(registry, read)
    if not login:
        return {}
    return {"X-Registry-Auth": auth.encode_header(login).decode()}


def build_headers() -> dict[str, str]:
    """Return the headers with the logins of all registries: a build may pull from any.

    Raises:
        EngineError: a configured credential helper does not work.
    """

    def read() -> Mapping[str, object]:
        config = auth.load_config()
        _require_helpers([config.creds_store, *config.cred_helpers.values()])
        logins = config.get_all_credentials()  # type: ignore[no-untyped-call]  # stubs
        return {registry: login for registry, login in logins.items() if login}

    known = _read("the registries", read)
    if not known:
        return {}
    encoded = base64.urlsafe_b64encode(json.dumps(known).encode()).decode()
    return {"X-Registry-Config": encoded}


def _require_helpers(stores: Iterable[str | None]) -> None:
    for store in stores:
        # docker-py itself only warns, and goes on without a login.
        if store and not shutil.which(f"docker-credential-{store}"):
            raise StoreError(f"docker-credential-{store} is not installed")


def _read(registry: str, read: Callable[[], T]) -> T:
    """Call docker-py, which neither bounds how long a helper takes nor checks what it prints."""
    with ThreadPoolExecutor(1, "dockwright-credentials") as thread:
        future = thread.submit(read)
        try:
            return future.result(HELPER_TIMEOUT_S)
        except TimeoutError:
            while not future.done():  # it may be about to start one, and goes on to the next
                _end_helpers()
                wait([future], _PAUSE_S)
            reason = f"a credential helper did not answer within {HELPER_TIMEOUT_S:g} s"
            raise _no_credentials(registry, reason) from None
        except Exception as exc:  # whatever a helper or the SDK raises becomes one sentence
            reason = str(exc) if isinstance(exc, _EXPECTED) else f"{type(exc).__name__}: {exc}"
            raise _no_credentials(registry, reason) from exc


def _end_helpers() -> None:
    import psutil  # costs 20 ms, and only this needs it

    def end(process: psutil.Process) -> None:
        with suppress(psutil.Error):  # it may end by itself meanwhile
            process.suspend()  # it starts no other process, which would keep its pipes open
            for child in process.children():
                end(child)
            process.kill()

    for child in psutil.Process().children():
        with suppress(psutil.Error):
            if any("docker-credential-" in word for word in child.cmdline()):
                end(child)


def _no_credentials(registry: str, reason: str) -> EngineError:
    return EngineError(
        f"the credentials for {registry} cannot be read: {reason}",
        hint="see credsStore, credHelpers and auths in the docker command's config.json; "
        "`docker login` and `docker logout` rewrite them",
    )
