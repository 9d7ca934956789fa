"""Loads the probe when Python starts, then gives way to the sitecustomize that would have come.

This directory stands first in PYTHONPATH during a profile, so that every Python process of the run,
also one in another virtual environment, imports this file before anything else. It needs nothing
of dockwright and nothing but the standard library.
"""

from __future__ import annotations

import importlib
import os
import sys
from importlib.machinery import PathFinder


def _load_probe() -> None:
    try:
        importlib.import_module("dockwright_probe").start()
    except Exception:  # noqa: BLE001, S110 - a suite must run with the probe as it runs without it
        pass


def _give_way(here: str) -> None:
    """Take this directory off the path, and run the sitecustomize that it hid."""
    sys.path[:] = [entry for entry in sys.path if os.path.abspath(entry) != here]  # noqa: PTH100 - cheap
    spec = PathFinder.find_spec("sitecustomize", sys.path)
    if spec is not None and spec.loader is not None:
        from importlib.util import module_from_spec

        module = sys.modules["sitecustomize"] = module_from_spec(spec)
        spec.loader.exec_module(module)


if __name__ == "sitecustomize":
    _load_probe()
    _give_way(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120 - no pathlib at start
