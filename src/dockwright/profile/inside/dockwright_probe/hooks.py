"""The hooks that record pytest's phases; the only file here that imports pytest."""

from __future__ import annotations

import functools
from _thread import get_ident

import pytest

from .log import LOG, clock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

_wrapper = pytest.hookimpl(hookwrapper=True, tryfirst=True)


class Hooks:
    """A plugin that records and changes nothing.

    Args:
        ended: is called when the session is over.
    """

    def __init__(self, ended: Callable[[], None]) -> None:
        self._ended = ended
        self._torn_down: dict[Any, float] = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self, session: Any) -> None:
        """Record what kind of pytest process this is."""
        config = session.config
        worker = getattr(config, "workerinput", {})
        detail = {
            "root": str(config.rootpath) if hasattr(config, "rootpath") else "",
            "worker": str(worker.get("workerid", "")),
            "controller": bool(config.pluginmanager.hasplugin("dsession")),
        }
        now = clock()
        LOG.write(("session", now, now, get_ident(), (), detail))

    @_wrapper
    def pytest_collection(self) -> Iterator[None]:
        """Note how long tests were looked for."""
        begin = clock()
        yield
        LOG.span("collection", begin, ())

    @_wrapper
    def pytest_runtest_protocol(self, item: Any) -> Iterator[None]:
        """Note a test, at its begin as well: it may kill the process."""
        begin = clock()
        LOG.write(("begins", begin, begin, get_ident(), (), {"test": item.nodeid}))
        yield
        LOG.span("test", begin, (), test=item.nodeid)

    @_wrapper
    def pytest_runtest_setup(self) -> Iterator[None]:
        """Note a test's set-up."""
        begin = clock()
        yield
        LOG.span("phase", begin, (), phase="setup")

    @_wrapper
    def pytest_runtest_call(self) -> Iterator[None]:
        """Note a test's body."""
        begin = clock()
        yield
        LOG.span("phase", begin, (), phase="call")

    @_wrapper
    def pytest_runtest_teardown(self) -> Iterator[None]:
        """Note a test's teardown."""
        begin = clock()
        yield
        LOG.span("phase", begin, (), phase="teardown")

    @_wrapper
    def pytest_fixture_setup(self, fixturedef: Any) -> Iterator[None]:
        """Note a fixture's set-up, and when its teardown begins."""
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
        self._ended()


def _named(fixturedef: Any) -> dict[str, str]:
    return {"name": str(fixturedef.argname), "scope": str(fixturedef.scope)}
