"""The options that a service gives its strategy under ``x-dockwright``."""

from __future__ import annotations

from dockwright.errors import ComposeError
from dockwright.reset.base import Resettable


def wrong_options(service: Resettable, message: str) -> ComposeError:
    """Return the error for options that cannot be meant."""
    return ComposeError(message, path=f"services.{service.spec.name}.x-dockwright.options")


def check_options(service: Resettable, *known: str) -> None:
    """Refuse options that the strategy does not know.

    Raises:
        ComposeError: there is one; lists those that it knows.
    """
    for name in service.spec.options:
        if name not in known:
            raise wrong_options(
                service, f"there is no option {name!r}; the options are: {', '.join(known)}"
            )
