"""The hooks that exist only beside xdist."""

from __future__ import annotations

from typing import Any

import pytest

from dockwright.pytest_plugin.run import (
    REPORTED,
    RUN,
    WORKER_OUTPUT,
    WORKER_RECORD,
    WORKER_TROUBLES,
    add_troubles,
    surviving,
)

_RECEIVER = "dockwright-receiver"


class Receiver:
    """Takes over the tests that the workers record; there is one in the main process.

    Args:
        config: of the main process.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take what a worker sent along with the report; nobody else needs it."""
        recorded = report.__dict__.pop(REPORTED, None)
        if recorded is not None:
            with surviving(self._config, "collect what a worker recorded"):
                self._config.stash[RUN].receive(recorded)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodeready(node: Any) -> None:
    """Be ready for what workers record; fires in the main process when a worker is."""
    config: pytest.Config = node.config
    with surviving(config, "collect what a worker recorded"):
        manager = config.pluginmanager
        if config.stash[RUN].settings.recorded and not manager.hasplugin(_RECEIVER):
            manager.register(Receiver(config), _RECEIVER)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object) -> None:
    """Take over a worker's results; fires in the main process when a worker has ended."""
    del error
    output, config = getattr(node, "workeroutput", {}), node.config
    add_troubles(config, output.get(WORKER_TROUBLES, ()))
    with surviving(config, "collect what a worker did"):
        run = config.stash[RUN]
        if WORKER_OUTPUT in output:
            from dockwright.recording import Summary  # only where a stack was used

            run.summaries.append(Summary.from_json(output[WORKER_OUTPUT]))
        if WORKER_RECORD in output:
            run.receive_worker_end(output[WORKER_RECORD])
