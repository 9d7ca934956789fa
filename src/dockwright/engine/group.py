"""What the groups of calls have in common, of which an `Engine` is made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dockwright.engine.standstill import Standstill

if TYPE_CHECKING:
    from dockwright.engine.transport import Transport


class EngineCalls:
    """A group of calls; `Engine` is made of them.

    Args:
        transport: the connections to the engine.
    """

    def __init__(self, transport: Transport) -> None:
        self._http = transport
        self._standstill = Standstill()
