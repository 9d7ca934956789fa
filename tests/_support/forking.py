"""Runs pytest many times without starting Python each time: a process that forks for each run.

It has loaded pytest and what results are traced with, as a new process has before it looks at a
suite. Run as a program, it is that process: it reads a request from each line of its input.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO

_LOADED = (
    "pytest",
    "testmon.testmon_core",
    "dockwright.pytest_plugin.plugin",
    "dockwright.pytest_plugin.fixtures",
    "dockwright.pytest_plugin.reuse",
)


class ForkingPytest:
    """A process that runs pytest whenever it is asked to; a context that ends it.

    Args:
        environ: its environment.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).resolve())],
            env=dict(environ),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, arguments: Sequence[str], directory: Path) -> tuple[int, str]:
        """Run pytest in a directory; return its exit code and what it printed."""
        output = directory.parent / "output.txt"
        request = {"arguments": [*arguments], "directory": str(directory), "output": str(output)}
        print(json.dumps(request), file=_stream(self._process.stdin), flush=True)
        return int(_stream(self._process.stdout).readline()), output.read_text()

    def __enter__(self) -> ForkingPytest:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        failure: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _stream(self._process.stdin).close()
        self._process.wait(60)
        _stream(self._process.stdout).close()


def _stream(stream: IO[str] | None) -> IO[str]:
    assert stream is not None
    return stream


def _serve() -> None:
    import importlib

    for name in _LOADED:
        importlib.import_module(name)
    for line in sys.stdin:
        child = os.fork()
        if not child:
            _run(json.loads(line))
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _run(request: Mapping[str, object]) -> None:
    import pytest

    exit_code = 99
    try:
        with Path(str(request["output"])).open("w") as output:
            os.dup2(output.fileno(), 1)
            os.dup2(output.fileno(), 2)
        os.chdir(str(request["directory"]))
        sys.path[0] = str(Path.cwd())  # as `python -m pytest` has it
        arguments = request["arguments"]
        exit_code = int(pytest.main(arguments if isinstance(arguments, list) else []))
        sys.stdout.flush()
    finally:
        os._exit(exit_code)


if __name__ == "__main__":
    _serve()
