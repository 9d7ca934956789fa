"""A pytest plugin that times tests by itself, with nothing of ours: the truth of other tests.

    pytest -p tests._support.recording.observer

Each process writes OBSERVED/PID.json: by worker and test, from the begin of its set-up to the end
of its tear-down, in seconds.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Generator
from pathlib import Path

import pytest

_began: dict[str, float] = {}
_elapsed: dict[str, float] = {}


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, object, object]:
    _began[item.nodeid] = time.perf_counter()
    return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, object, object]:
    try:
        return (yield)
    finally:
        _elapsed[item.nodeid] = time.perf_counter() - _began[item.nodeid]


def pytest_sessionfinish(session: pytest.Session) -> None:
    worker = getattr(session.config, "workerinput", {}).get("workerid", "main")
    told = {f"{worker} {nodeid}": seconds for nodeid, seconds in _elapsed.items()}
    Path(os.environ["OBSERVED"], f"{os.getpid()}.json").write_text(json.dumps(told))
