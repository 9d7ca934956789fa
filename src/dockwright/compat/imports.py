"""Changes modules of another distribution right after their import, and imports nothing itself.

A suite that never imports the other tool pays for nothing but an entry in ``sys.meta_path``.
"""

from __future__ import annotations

import importlib.abc
import importlib.util
import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TypeAlias

Change: TypeAlias = Callable[[ModuleType], None]


class ChangesOnImport(importlib.abc.MetaPathFinder):
    """Lets the other finders find a module, and changes it once it was executed.

    Args:
        changes: by the full name of a module, what is done with it.
    """

    def __init__(self, changes: Mapping[str, Change]) -> None:
        self._changes = dict(changes)

    def install(self) -> None:
        """Change what is imported already, and from now on what is imported later."""
        for name in list(self._changes):
            if name in sys.modules:
                self._changes.pop(name)(sys.modules[name])
        if self._changes:
            sys.meta_path.insert(0, self)

    def uninstall(self) -> None:
        """Leave what is imported later as it is."""
        if self in sys.meta_path:
            sys.meta_path.remove(self)

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec that the other finders return, with a loader that changes the module."""
        if name not in self._changes:
            return None
        change = self._changes.pop(name)
        for finder in [each for each in sys.meta_path if each is not self]:
            find = getattr(finder, "find_spec", None)
            spec: ModuleSpec | None = find(name, path, target) if find is not None else None
            if spec is not None:
                if spec.loader is not None:
                    spec.loader = _ChangingLoader(spec.loader, change)
                return spec
        return None


class _ChangingLoader(importlib.abc.Loader):
    """Executes a module with its own loader, and then changes it."""

    def __init__(self, loader: importlib.abc.Loader, change: Change) -> None:
        self._loader = loader
        self._change = change

    def __getattr__(self, name: str) -> object:
        return getattr(self._loader, name)  # get_source and the like, as tracebacks ask for them

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Let the module's own loader do it."""
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """Execute the module and change it."""
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        module.__loader__ = self._loader
        self._loader.exec_module(module)
        self._change(module)
