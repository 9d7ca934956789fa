"""Health checks: the condition that a container is healthy, and checks run inside the container."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from dockwright._text import duration
from dockwright.engine.types import Document
from dockwright.errors import UsageError
from dockwright.model import Healthcheck
from dockwright.wait.exits import Running, describe_exit
from dockwright.wait.loop import Cadence, Continue, Outcome, Ready, Wait
from dockwright.wait.strategy import Check, WaitCondition
from dockwright.wait.target import ContainerTarget
from dockwright.wait.worker import NOT_NOW, Worker, repeat

if TYPE_CHECKING:
    from dockwright.engine import ExecStream

LIFETIME_S = 30.0
"""A loop in the container ends with the connection to it; where an engine does not notice, it ends
by itself after this time. While the wait lasts, another follows."""

_PAUSE_S = 1.0
"""The longest pause of the loop between two checks."""

_ENDING_S = 5.0
"""How long the loop may take to end a check that hangs."""


class HealthProbe:
    """Runs one health check until it succeeds or the wait ends.

    Args:
        target: the container.
        argv: the check's command.
        timeout_s: a check that takes longer has failed, in seconds.
        cadence: the pauses between two checks in the container, to a hundredth of a second.
        wait: the wait that this is part of.
    """

    def __init__(
        self,
        target: ContainerTarget,
        argv: list[str],
        *,
        timeout_s: float,
        cadence: Cadence,
        wait: Wait,
    ) -> None:
        self._target = target
        self._argv = argv
        self._timeout_s = timeout_s
        self._cadence = cadence
        self._wait = wait
        self._clock = wait.options.clock
        self._outcome: Outcome = Continue("its health check has not ended yet")
        self._attempts = 0
        self._stream: ExecStream | None = None
        self._started = False
        self._alive_at = self._clock.now()
        self._hanging = False
        self._worker = Worker(wait, "health", self._run)
        wait.closing.callback(self._close)

    def check(self) -> Outcome:
        """Return what the check said last; end one that hangs."""
        self._worker.raise_failure()
        silent_s = self._clock.now() - self._alive_at
        if self._stream and self._started and silent_s > self._timeout_s + _PAUSE_S:
            self._started, self._hanging = False, True
            self._stream.close()  # the loop sees that, and ends the check
        return self._outcome

    def _run(self, worker: Worker) -> None:
        began = self._clock.now()
        while not worker.closed.is_set():
            code: int | None = None
            try:
                code = self._run_loop(worker)
            except NOT_NOW as error:
                self._outcome = Continue(error.message)
            if isinstance(self._outcome, Ready) or worker.closed.is_set():
                return
            if code is not None and 0 < code < 128:  # no shell, or not one that we can use
                repeat(worker, self._wait, self._run_once, self._publish)
                return
            if code != 0:  # it was ended from outside: the container stops or is not running
                pause_s = self._wait.options.cadence.pause_s(self._clock.now() - began)
                self._clock.wait(worker.closed, pause_s)

    def _run_loop(self, worker: Worker) -> int | None:
        """Run the loop until its end; return its exit code, None where it has none."""
        lifetime_s = min(self._wait.remaining_s() + _PAUSE_S, LIFETIME_S)
        cadence = self._cadence
        times = (lifetime_s, cadence.first_s, cadence.ceiling_s, cadence.share)
        numbers = [str(max(1, round(each * 100))) for each in times]
        loop = ["/bin/sh", "-c", _script(), "sh", *numbers, *self._argv]
        container = self._target.container_id
        self._stream = self._target.engine.exec_stream(container, loop, stdin=True)
        with self._stream as stream:
            if not worker.closed.is_set():
                self._read(stream)
            self._started = False
            if self._hanging:
                self._hanging = False
                self._publish(self._too_slow())
                stream.wait(_ENDING_S)  # never two checks at a time
                return None
            ended = isinstance(self._outcome, Ready) or worker.closed.is_set()
            return None if ended else stream.exit_code()

    def _read(self, stream: ExecStream) -> None:
        rest, output, before = b"", b"", b""
        self._alive_at = self._clock.now()
        for name, data in stream:
            if name == "stderr":
                output = (output + data)[-200:]
                continue
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                if line.isdigit():  # else it is the engine, saying why the loop cannot run
                    # The two streams may overtake each other: what a check writes may come after
                    # its exit code, and then the run before tells it.
                    self._take(int(line), output or before)
                    before, output = output or before, b""
            if isinstance(self._outcome, Ready):
                return  # not waiting for the shell's end saves a millisecond

    def _take(self, number: int, output: bytes) -> None:
        """Take a line of the loop: its shell's pid first, then the exit code of each check."""
        self._alive_at = self._clock.now()
        if self._started:
            self._publish(_outcome(number, output.decode(errors="replace")))
        self._started = True

    def _run_once(self) -> Outcome:
        """Run the check by an `exec` of its own, where the loop cannot run."""
        limit_s = max(0.1, min(self._timeout_s, self._wait.remaining_s()))  # killed after the wait
        result = self._target.run(self._argv, timeout_s=limit_s)
        if result is None:
            return self._too_slow()
        return _outcome(result.exit_code, result.output)

    def _too_slow(self) -> Continue:
        return Continue(f"it took longer than its timeout of {duration(self._timeout_s)}")

    def _publish(self, outcome: Outcome) -> None:
        self._attempts += 1
        if isinstance(outcome, Continue):
            outcome = Continue(f"its health check failed (run {self._attempts}): {outcome.message}")
        self._outcome = outcome
        if isinstance(outcome, Ready):
            self._wait.wakeup.set()

    def _close(self) -> None:
        self._worker.closed.set()  # first: a stream that is just being opened sees it
        if self._stream is not None:
            self._stream.close()


def _outcome(code: int, output: str) -> Outcome:
    return Ready() if code == 0 else Continue(describe_exit(code, output))


def is_probe(command: str) -> bool:
    """Return whether a command line is that of a loop which runs a health check in a container."""
    return _script() in command


@cache
def _script() -> str:
    """Return the loop's text, without its comments: it is sent with each wait."""
    lines = files("dockwright.wait").joinpath("health_loop.sh").read_text("utf-8").splitlines()
    return "\n".join(line for line in lines if not line.lstrip().startswith("#"))


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
    otherwise: WaitCondition = field(default_factory=Running)

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
