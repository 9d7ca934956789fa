"""Waiting for a declared health check to succeed, run by us and not by the engine's interval."""

from __future__ import annotations

from dataclasses import dataclass, field

from dockwright.engine.types import Document
from dockwright.errors import UsageError
from dockwright.model import Healthcheck
from dockwright.wait.cadence import Cadence
from dockwright.wait.exits import Running
from dockwright.wait.outcome import Outcome, Ready
from dockwright.wait.resident import HealthProbe
from dockwright.wait.strategy import Check, Strategy, Wait
from dockwright.wait.target import ContainerTarget

_DEFAULT_TIMEOUT_S = 30.0

_CADENCE = Cadence(first_s=0.010, ceiling_s=0.050, share=0.01)
"""Quicker than other waits, since a run in the container is cheap: with a check of 1 ms it uses a
tenth of a processor in the first second, then less than a twentieth."""


@dataclass(frozen=True, slots=True)
class Healthy:
    """The health check succeeds; where none is declared, or it is disabled, `otherwise` holds.

    The engine runs the check for the first time after a whole interval (30 s by default). Here it
    is run at once and then in quick succession, until it succeeds or the wait ends: `retries` and
    `start_period` do not end it earlier. What the engine found before the wait began does not
    count, it may be outdated.

    Args:
        healthcheck: the check; default: the container's own, or its image's.
        cadence: the pauses between two runs of the check in the container, to 10 ms.
        otherwise: what counts where there is no health check; default: the container runs.
    """

    healthcheck: Healthcheck | None = None
    cadence: Cadence = _CADENCE
    otherwise: Strategy = field(default_factory=Running)

    @property
    def survives_exit(self) -> bool:
        """A container that exited is not healthy."""
        return False

    def __str__(self) -> str:
        return "to be healthy"

    def begin(self, wait: Wait) -> Check:
        """Start to run the check in the container."""
        target = wait.target
        if not isinstance(target, ContainerTarget):
            raise UsageError(
                f"cannot wait for {target.name} {self}: only containers have a health check",
                hint="wait for http, tcp, log, exec or file instead",
            )
        config = target.engine.inspect_container(target.container_id)["Config"]
        healthcheck = self.healthcheck or declared_healthcheck(config)
        if healthcheck is None or not (argv := probe_command(healthcheck, config)):
            return self.otherwise.begin(wait)
        state = target.state_watch(wait)
        probe = HealthProbe(
            target, argv, timeout_s=healthcheck.timeout_s, cadence=self.cadence, wait=wait
        )

        def check() -> Outcome:
            return Ready() if state.became_healthy else probe.check()

        return check


def declared_healthcheck(config: Document) -> Healthcheck | None:
    """Return the health check that an inspected container's (or image's) ``Config`` holds."""
    declared = config.get("Healthcheck") or {}
    if not declared.get("Test"):
        return None
    timeout_s = int(declared.get("Timeout") or 0) / 1e9
    return Healthcheck(test=tuple(declared["Test"]), timeout_s=timeout_s or _DEFAULT_TIMEOUT_S)


def probe_command(healthcheck: Healthcheck, config: Document) -> list[str]:
    """Return the command of a check as the engine would run it; empty: it is disabled.

    Args:
        healthcheck: the check.
        config: the container's ``Config``, which may name another shell than ``/bin/sh -c``.
    """
    kind, *arguments = healthcheck.test or ("NONE",)
    if kind == "CMD":
        return arguments
    if kind == "CMD-SHELL":
        return [*(config.get("Shell") or ["/bin/sh", "-c"]), *arguments]
    return []
