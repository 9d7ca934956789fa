"""A pytest plugin that writes down how long each phase of each test took; all contenders use it.

`BENCH_RECORD` names the file. With `BENCH_WRITERS=N` only the first N tests that change state run.
"""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest


class Recorder:
    """Notes what pytest reports."""

    def __init__(self) -> None:
        self.tests: dict[str, dict[str, Any]] = {}
        self.collected_s = 0.0
        self.first_body_s = 0.0

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Tell what changes state, and leave out what is not wanted."""
        left = int(os.environ.get("BENCH_WRITERS", len(items)))
        for item in list(items):
            if item.get_closest_marker("stateful"):
                item.user_properties.append(("stateful", True))
                left -= 1
                if left < 0:
                    items.remove(item)

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_finish(self) -> None:
        """Note when the tests are known, before anything is done about them."""
        self.collected_s = time.perf_counter()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_call(self) -> None:
        """Note when the first body begins."""
        self.first_body_s = self.first_body_s or time.perf_counter()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take in one phase of a test."""
        test = self.tests.setdefault(report.nodeid, {"outcome": "passed"})
        test[f"{report.when}_s"] = report.duration
        test.update(dict(report.user_properties))
        if not report.passed:
            test["outcome"] = report.outcome

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> Iterator[None]:
        """Write everything down."""
        yield
        if hasattr(session.config, "workerinput"):
            return  # a worker of pytest-xdist: the main process gets its reports
        record = {
            "tests": self.tests,
            "first_body_s": self.first_body_s - self.collected_s,
        }
        Path(os.environ["BENCH_RECORD"]).write_text(json.dumps(record))


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Recorder())
    for mark in ("stateless: only reads", "stateful: changes state"):
        config.addinivalue_line("markers", mark)
