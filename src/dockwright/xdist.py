"""The hooks that exist only beside xdist."""

from __future__ import annotations

from typing import Any

import pytest

from dockwright.run import REPORTED, RUN, WORKER_OUTPUT, WORKER_RECORD, Run

_RECEIVER = "dockwright-receiver"


class Receiver:
    """Takes over the tests that the workers record; there is one in the main process.

    Args:
        run: of the main process.
    """

    def __init__(self, run: Run) -> None:
        self._run = run

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take what a worker sent along with the report; nobody else needs it."""
        told = report.__dict__.pop(REPORTED, None)
        if told is not None:
            self._run.receive(told)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodeready(node: Any) -> None:
    """Be ready for what workers record; fires in the main process when a worker is."""
    manager, run = node.config.pluginmanager, node.config.stash[RUN]
    if run.settings.recorded and not manager.hasplugin(_RECEIVER):
        manager.register(Receiver(run), _RECEIVER)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """Take over what a worker has to tell; fires in the main process when a worker has ended."""
    del error
    output, run = getattr(node, "workeroutput", {}), node.config.stash[RUN]
    if WORKER_OUTPUT in output:
        from dockwright.measure import Summary  # only where a stack was used

        run.summaries.append(Summary.from_json(output[WORKER_OUTPUT]))
    if WORKER_RECORD in output:
        run.receive_farewell(output[WORKER_RECORD])
