"""A configuration directory of a test's own, named by an environment variable while it lasts."""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from pathlib import Path
from types import TracebackType

from dockwright.resources.ending import raise_or_note
from dockwright.resources.holding import Holding

CONFIG_VARIABLE = "DOCKWRIGHT_CONFIG_DIR"


class TemporaryConfigDir:
    """An empty directory, mode 0700, that an environment variable names inside of the block.

    At the end the variable is put back exactly as it was (one that was not set is not set again),
    and the directory is removed with all that is in it; also when an exception passes. If the
    process is killed, the next run of the project removes it, or ``dockwright clean``.

    Blocks may be nested: each has a directory of its own. One object may be used again, but not
    within its own block.

    Args:
        variable: the environment variable.
        environ: where it is set; default: this process's environment.
        root: the project that the directory belongs to; default: the current directory.
    """

    def __init__(
        self,
        variable: str = CONFIG_VARIABLE,
        *,
        environ: MutableMapping[str, str] | None = None,
        root: Path | None = None,
    ) -> None:
        if not variable or "=" in variable or "\0" in variable:
            raise ValueError(f"an environment variable cannot be called {variable!r}")
        self.variable = variable
        self._environ = os.environ if environ is None else environ
        self._root = root
        self._holding: Holding | None = None
        self._before: str | None = None

    def __enter__(self) -> Path:
        """Make the directory, set the variable, and return the directory's path."""
        if self._holding is not None:
            raise RuntimeError("this TemporaryConfigDir is open already; to nest, make another one")
        holding = Holding(f"configuration directory of {self.variable}", self._root)
        path = holding.directory()
        self._holding = holding
        self._before = self._environ.get(self.variable)
        self._environ[self.variable] = str(path)
        return path

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        holding, self._holding = self._holding, None
        if holding is None:
            return
        if self._before is None:
            self._environ.pop(self.variable, None)
        else:
            self._environ[self.variable] = self._before
        raise_or_note(holding.whose, holding.dispose(None), error)
