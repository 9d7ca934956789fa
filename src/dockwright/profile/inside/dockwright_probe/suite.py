"""Notes pytest's phases: collection, each test, its set-up, call and teardown, each fixture."""

from __future__ import annotations

import functools
from _thread import get_ident

from .log import LOG, clock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
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
            _running.append(self)
            self.register(_hooks(), "dockwright-profile")

    manager.consider_env = consider_env


def _hooks() -> Any:
    import pytest

    wrapper = pytest.hookimpl(hookwrapper=True, tryfirst=True)

    class Hooks:
        """What is noted; nothing is changed."""

        def __init__(self) -> None:
            self._torn_down: dict[Any, float] = {}

        @pytest.hookimpl(tryfirst=True)
        def pytest_sessionstart(self, session: Any) -> None:
            """Tell what kind of pytest process this is."""
            config = session.config
            worker = getattr(config, "workerinput", {})
            detail = {
                "root": str(config.rootpath) if hasattr(config, "rootpath") else "",
                "worker": str(worker.get("workerid", "")),
                "controller": bool(config.pluginmanager.hasplugin("dsession")),
            }
            now = clock()
            LOG.write(("session", now, now, get_ident(), (), detail))

        @wrapper
        def pytest_collection(self) -> Iterator[None]:
            begin = clock()
            yield
            LOG.span("collection", begin, ())

        @wrapper
        def pytest_runtest_protocol(self, item: Any) -> Iterator[None]:
            begin = clock()
            LOG.write(("begins", begin, begin, get_ident(), (), {"test": item.nodeid}))
            yield
            LOG.span("test", begin, (), test=item.nodeid)

        @wrapper
        def pytest_runtest_setup(self) -> Iterator[None]:
            begin = clock()
            yield
            LOG.span("phase", begin, (), phase="setup")

        @wrapper
        def pytest_runtest_call(self) -> Iterator[None]:
            begin = clock()
            yield
            LOG.span("phase", begin, (), phase="call")

        @wrapper
        def pytest_runtest_teardown(self) -> Iterator[None]:
            begin = clock()
            yield
            LOG.span("phase", begin, (), phase="teardown")

        @wrapper
        def pytest_fixture_setup(self, fixturedef: Any) -> Iterator[None]:
            begin = clock()
            yield
            LOG.span("fixture", begin, (), **_named(fixturedef), phase="setup")
            # Run right before the fixture's own teardown: finalizers go last in, first out.
            fixturedef.addfinalizer(functools.partial(self._tears_down, fixturedef))

        def _tears_down(self, fixturedef: Any) -> None:
            self._torn_down[id(fixturedef)] = clock()

        def pytest_fixture_post_finalizer(self, fixturedef: Any) -> None:
            """Note a teardown that has ended."""
            begin = self._torn_down.pop(id(fixturedef), None)
            if begin is not None:
                LOG.span("fixture", begin, (), **_named(fixturedef), phase="teardown")

        def pytest_unconfigure(self) -> None:
            """Let a further session in this process be observed."""
            _running.clear()

    return Hooks()


def _named(fixturedef: Any) -> dict[str, str]:
    return {"name": str(fixturedef.argname), "scope": str(fixturedef.scope)}


PATCHES: dict[str, Callable[[Any], None]] = {"_pytest.config": _patch_config}
