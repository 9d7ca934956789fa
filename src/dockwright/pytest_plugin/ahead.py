"""Starts stacks while pytest collects: those that the last run of the same arguments needed."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from typing import Any

import pytest

_RUNS = "dockwright/{}"
"""The key in pytest's cache of what the last runs needed, by their arguments, the latest last."""

_MOST_RUNS = 50
_OPTIONS = ("keyword", "markexpr", "lf", "failedfirst", "newfirst", "stepwise", "deselect")


class LastNeeds:
    """Remembers in pytest's cache which stacks a run with these arguments needed.

    Args:
        config: of any process of a run; with ``-p no:cacheprovider``, nothing is remembered.
        what: what is remembered.
    """

    def __init__(self, config: pytest.Config, what: str = "needs") -> None:
        self._runs_key = _RUNS.format(what)
        self._cache: pytest.Cache | None = getattr(config, "cache", None)
        asked = [*map(str, config.args), str(config.rootpath)]
        asked += [f"{name}={config.getoption(name, default=None)}" for name in _OPTIONS]
        self._key = hashlib.sha256("\0".join(asked).encode()).hexdigest()[:16]

    def read(self) -> list[str]:
        """Return the stacks that the last such run needed; none where nothing is known."""
        stacks = self._runs().get(self._key)
        return [str(each) for each in stacks] if isinstance(stacks, list) else []

    def write(self, stacks: Collection[str]) -> None:
        """Remember the stacks that this run needs."""
        if self._cache is None or self.read() == sorted(stacks):
            return
        runs = self._runs()
        runs.pop(self._key, None)
        if stacks:
            runs[self._key] = sorted(stacks)
        self._cache.set(self._runs_key, dict(list(runs.items())[-_MOST_RUNS:]))

    def _runs(self) -> dict[str, Any]:
        found = self._cache.get(self._runs_key, {}) if self._cache is not None else {}
        return found if isinstance(found, dict) else {}
