"""Patches modules right after they are imported, so that nothing is imported for our sake."""

from __future__ import annotations

import functools
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import ModuleType
    from typing import Any

    Patch = Callable[[Any], None]


def after_import(patches: Mapping[str, Patch]) -> None:
    """Patch each module of these names: now if it is there already, else when it is imported."""
    waiting = dict(patches)
    for name in patches:
        if name in sys.modules:
            _apply(waiting.pop(name), sys.modules[name])
    sys.meta_path.insert(0, _Finder(waiting))


def _apply(patch: Patch, module: ModuleType) -> None:
    try:
        patch(module)
    except Exception:  # noqa: BLE001, S110 - another version of it: the suite runs unobserved there
        pass


class _Finder:
    """Finds what the other finders find, with a patch added to its execution."""

    def __init__(self, waiting: dict[str, Patch]) -> None:
        self._waiting = waiting

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """Return the spec of a module that is to be patched; None for all others."""
        patch = self._waiting.pop(name, None)
        if patch is None:
            return None
        for finder in sys.meta_path:
            find = getattr(finder, "find_spec", None)
            spec = find(name, path, target) if finder is not self and find else None
            if spec is not None:
                _execute_with(patch, spec.loader)
                return spec
        return None


def _execute_with(patch: Patch, loader: Any) -> None:
    execute = loader.exec_module

    def exec_module(module: ModuleType) -> None:
        del loader.exec_module
        execute(module)
        _apply(patch, module)

    try:
        loader.exec_module = exec_module  # the loader stays what it is for inspect and resources
    except AttributeError:
        pass  # a loader with fixed attributes: its module is not observed


_running: list[Any] = []
"""The plugin manager of the session that is observed: one in a process, the outermost."""


def _patch_config(module: Any) -> None:
    """Let every plugin manager load our hooks where it looks at PYTEST_PLUGINS.

    Setting that variable itself would end a pytest that is run with ``python -I``: it could not
    import them.
    """
    manager = module.PytestPluginManager
    real = manager.consider_env

    @functools.wraps(real)
    def consider_env(self: Any) -> None:
        real(self)
        if not _running:
            from .hooks import Hooks

            _running.append(self)
            self.register(Hooks(_running.clear), "dockwright-profile")

    manager.consider_env = consider_env


PATCHES: dict[str, Callable[[Any], None]] = {"_pytest.config": _patch_config}
