"""Has the outermost pytest session of a process load our hooks, whatever plugins it loads."""

from __future__ import annotations

import functools

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

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
