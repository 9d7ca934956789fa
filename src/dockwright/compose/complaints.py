"""What is said of a wrong value, and of a key that an older Compose knew."""

from __future__ import annotations

from dockwright.compose.shapes import Report
from dockwright.compose.source import DocPath, Origins, Tree
from dockwright.errors import ComposeError

_FORMER = {
    "dockerfile": "write it under 'build:'",
    "log_driver": "write 'driver' under 'logging:'",
    "log_opt": "write 'options' under 'logging:'",
    "net": "write 'network_mode:', or 'networks:'",
    "volume_driver": "write 'driver' below the volume's name under the top-level 'volumes:'",
}


def reporter(origins: Origins, tree: Tree = None) -> Report:
    """Return what makes the errors of a check.

    Args:
        origins: where the values stand.
        tree: the whole document, to recognise one of version 1.
    """

    def report(path: DocPath, message: str, *, unknown: str | None = None) -> ComposeError:
        hint = None
        if len(path) == 2 and path[0] == "services" and unknown in _FORMER:
            hint = _FORMER[unknown]
            message = f"the key {unknown!r} of older Compose files is not known any more"
        elif not path and unknown and _is_service(tree.get(unknown)):
            hint = "a file of version 1? Write 'services:' above its services"
        return origins.error(path, message, key=unknown, hint=hint)

    return report


def _is_service(value: Tree) -> bool:
    return isinstance(value, dict) and bool({"image", "build"} & value.keys())
