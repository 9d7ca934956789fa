"""Keys that later versions of Compose know: right, but not something that dockwright runs."""

from __future__ import annotations

from dockwright.compose.shapes import Report
from dockwright.compose.source import DocPath, Origins
from dockwright.errors import ComposeError, ComposeUnsupportedError

_MODELS = "models are run by Docker Desktop's model runner, which tests cannot count on"
_KEYS = {
    "initial_sync": "nothing is watched during tests",
    "interface_name": "names of interfaces cannot be chosen",
    "models": _MODELS,
    "no_cache_filter": "this option of a build is not passed on",
    "provenance": "attestations of a build are not made",
    "provider": "services that something else than the engine provides are not run",
    "pull_refresh_after": "images are not refreshed by their age",
    "sbom": "attestations of a build are not made",
    "use_api_socket": "the engine's socket is not shared with containers behind the file's back",
}


def reporter(origins: Origins) -> Report:
    """Return what makes the errors of a check; a newer key is unsupported, not wrong."""

    def report(path: DocPath, message: str, *, unknown: str | None = None) -> ComposeError:
        if unknown in _KEYS:
            message = f"{unknown!r} is not supported: {_KEYS[unknown]}"
            return origins.error(path, message, key=unknown, kind=ComposeUnsupportedError)
        return origins.error(path, message, key=unknown)

    return report
