"""The hooks that exist only beside xdist."""

from __future__ import annotations

from typing import Any

import pytest

from dockwright.measure import Summary
from dockwright.run import RUN, WORKER_OUTPUT


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """Take over what a worker has to tell; fires in the main process when a worker has ended."""
    del error
    told = getattr(node, "workeroutput", {}).get(WORKER_OUTPUT)
    if told is not None:
        node.config.stash[RUN].summaries.append(Summary.from_json(told))
