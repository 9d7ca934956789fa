"""Fills ``{service.port:8000}`` and its kin in a native process's command and environment (pure).

    {NAME.host}          the host of a service or process
    {NAME.port:8000}     the port that reaches NAME's port 8000
    {NAME.address:8000}  host and port, as in 127.0.0.1:49312
    {NAME.url:8000}      http://host:port
    {{NAME.host}}        the same text, unfilled, in single braces

``NAME`` is a service, a process, or ``self``. Braces around anything else stay as they are.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from dockwright.errors import UnknownServiceError
from dockwright.model import Address

Lookup = Callable[[str, int | None], Address]
"""Gives the address of a unit's port; None asks for the host alone."""

_TEMPLATE = re.compile(r"(\{?)\{([A-Za-z0-9_-]+)\.([a-z]+)(?::(\d+))?\}(\}?)")
_WITH_PORT = ("port", "address", "url")


def fill(text: str, where: str, lookup: Lookup) -> str:
    """Return `text` with its templates filled.

    Args:
        text: one argument or value.
        where: its place in the file, for messages.
        lookup: gives addresses.

    Raises:
        UnknownServiceError: a template is misspelt or names what is not there.
    """

    def replaced(match: re.Match[str]) -> str:
        opening, name, kind, port, closing = match.groups()
        if opening and closing:
            return match.group(0)[1:-1]
        if not (kind == "host" and port is None) and not (kind in _WITH_PORT and port):
            raise UnknownServiceError(
                f"{where}: {match.group(0)} is no template",
                hint="use {NAME.host}, {NAME.port:8000}, {NAME.address:8000} or {NAME.url:8000}; "
                "double the braces to keep the text",
            )
        return opening + _value(kind, lookup(name, int(port) if port else None)) + closing

    return _TEMPLATE.sub(replaced, text)


def _value(kind: str, address: Address) -> str:
    values = {"host": address.host, "port": str(address.port), "url": f"http://{address}"}
    return values.get(kind, str(address))
