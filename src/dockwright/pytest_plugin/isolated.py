"""``--dockwright-isolate``: xdist's workers, or the one pytest process, get worlds of their own."""

from __future__ import annotations

import os
import sys

import pytest

from dockwright.errors import DockwrightError
from dockwright.isolate import (
    IsolationRequest,
    become_root,
    in_world,
    is_root,
    prepare,
    require_possible,
    require_world,
)
from dockwright.isolate.inside.hooks import dockwright_isolate
from dockwright.isolate.inside.plan import HOOKS
from dockwright.pool.declared import connect_engine
from dockwright.settings import Settings


def isolate(config: pytest.Config, settings: Settings) -> None:
    """Prepare worlds for the tests of this run, unless they are in one already.

    Raises:
        UsageError: there can be none. The run ends: tests that need a world must not run without.
    """
    if in_world(os.environ):
        return
    request = IsolationRequest(root=settings.root, images=settings.isolate_images)
    try:
        if not is_root():
            require_possible(engine=True)
            _give_streams_back(config)
            become_root()
        prepared = prepare(request, lambda: connect_engine(settings.engine, os.environ), _note)
        require_world(prepared.plan)
    except DockwrightError as failure:
        raise pytest.UsageError(str(failure)) from None
    before = {name: os.environ.get(name) for name in prepared.environment}
    os.environ.update(prepared.environment)
    config.add_cleanup(lambda: _restore(before))
    config.pluginmanager.register(dockwright_isolate, HOOKS)


def _give_streams_back(config: pytest.Config) -> None:
    """Stop capturing before another program takes this process."""
    capture = config.pluginmanager.getplugin("capturemanager")
    if capture is not None:
        capture.suspend_global_capture(in_=True)


def _restore(before: dict[str, str | None]) -> None:
    for name, text in before.items():
        if text is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = text


def _note(text: str) -> None:
    sys.stderr.write(f"dockwright: {text}\n")
