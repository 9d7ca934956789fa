"""Which lines of a project each test runs; pytest-testmon and coverage do the tracing."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from testmon.testmon_core import TestmonCollector

OUTSIDE = "outside"
"""The context of what runs outside tests and fixtures: imports, hooks, parametrization."""

Lines = Mapping[str, set[int]]
"""Line numbers by file; files are relative to the project's root."""

_CORE = "COVERAGE_CORE"


class CodeTrace:
    """Traces this process from `start` to `close`.

    Args:
        root: the project's root directory; only files below it are traced.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._context = OUTSIDE
        self._collector: TestmonCollector = None
        self._tracer: object = None

    def start(self) -> None:
        """Start tracing."""
        from testmon.testmon_core import TestmonCollector

        self._collector = TestmonCollector(str(self._root))
        with _traced_by_settrace():
            self._collector.setup_coverage()
        self._collector.cov.switch_context(self._context)
        self._tracer = sys.gettrace()

    def switch(self, context: str) -> str:
        """Attribute what runs from now on to another context; return the one before."""
        before, self._context = self._context, context
        if before != context:
            self._collector.cov.switch_context(context)
        return before

    @property
    def intact(self) -> bool:
        """Whether nothing replaced the tracer, so that no line was missed."""
        return sys.gettrace() is self._tracer

    def take(self) -> dict[str, Lines]:
        """Return the lines by context that ran since the last call."""
        self.pause()
        found, _ = self._collector.get_nodes_files_lines(None)
        self._collector.cov.erase()
        self.resume()
        return dict(found)

    def pause(self) -> None:
        """Trace nothing until `resume`."""
        self._collector.cov.stop()

    def resume(self) -> None:
        """Trace again."""
        with _traced_by_settrace():
            self._collector.cov.start()
        self._collector.cov.switch_context(self._context)
        self._tracer = sys.gettrace()

    def close(self) -> None:
        """Stop tracing."""
        if self._collector is not None:
            self._collector.close()


@contextmanager
def _traced_by_settrace() -> Iterator[None]:
    """Let coverage use ``sys.settrace``: with ``sys.monitoring`` it sees each line only once."""
    before = os.environ.get(_CORE)
    os.environ[_CORE] = "ctrace"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_CORE]
        else:
            os.environ[_CORE] = before
