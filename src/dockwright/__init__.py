"""dockwright: integration tests against real Docker stacks, fast, isolated and measured."""

from __future__ import annotations

__version__ = "0.1.0"
