"""Lets the user's own command bring a service back."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence

from dockwright.compose.units import parse_duration
from dockwright.errors import ComposeError, EngineError, StackBrokenError
from dockwright.model import Json
from dockwright.reset.base import Manner, Resettable

_TIMEOUT_S = 60.0
_SHOWN_CHARACTERS = 2000


class CommandReset:
    """Runs ``reset_command`` in the service's container, or on the host.

    On the host (``options: {run_on: host}``) the command finds the container's id in
    ``DOCKWRIGHT_CONTAINER`` and the service's name in ``DOCKWRIGHT_SERVICE``. A string is run by
    ``/bin/sh``, a list as it is. An exit code other than 0 makes the stack broken.
    """

    manner: Manner = "in place"

    def __init__(self, service: Resettable) -> None:
        self._service = service
        options = service.spec.options
        command = options.get("reset_command")
        if isinstance(command, str):
            self._argv = ["/bin/sh", "-c", command]
        elif isinstance(command, Sequence) and command:
            self._argv = [str(word) for word in command]
        else:
            raise self._wrong("'reset: command' needs the key 'reset_command'")
        self._timeout_s = _seconds(options.get("reset_timeout"))
        more = options.get("options")
        place = more.get("run_on", "container") if isinstance(more, dict) else "container"
        if place not in ("container", "host"):
            raise self._wrong(f"options.run_on is 'container' or 'host', not {place!r}")
        self._on_host = place == "host"

    def capture(self) -> None:
        """Do nothing: the command knows the way back."""

    def reset(self) -> bool:
        """Run the command.

        Returns:
            True: what it does to clients is not known.

        Raises:
            StackBrokenError: it failed; the message ends with what it wrote.
        """
        code, output = self._run_on_host() if self._on_host else self._run_in_container()
        if code:
            shown = output[-_SHOWN_CHARACTERS:].strip()
            raise StackBrokenError(
                f"service {self._service.spec.name}: its reset command ended with exit code {code}"
                + (f":\n{shown}" if shown else " and wrote nothing")
            )
        return True

    def close(self) -> None:
        """Do nothing."""

    def _run_in_container(self) -> tuple[int, str]:
        try:
            result = self._service.engine.exec(
                self._service.container(), self._argv, timeout_s=self._timeout_s
            )
        except EngineError as exc:
            raise self._failed(exc.message) from exc
        return result.exit_code, (result.stdout + result.stderr).decode(errors="replace")

    def _run_on_host(self) -> tuple[int, str]:
        environment = {
            **os.environ,
            "DOCKWRIGHT_CONTAINER": self._service.container(),
            "DOCKWRIGHT_SERVICE": self._service.spec.name,
        }
        try:
            result = subprocess.run(
                self._argv,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=self._timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired as exc:
            raise self._failed(f"took longer than {self._timeout_s:g} s") from exc
        except OSError as exc:
            raise self._failed(str(exc)) from exc
        return result.returncode, result.stdout.decode(errors="replace")

    def _failed(self, why: str) -> StackBrokenError:
        return StackBrokenError(
            f"service {self._service.spec.name}: its reset command failed: {why}",
            hint="'reset_timeout' gives it more time" if "longer" in why else None,
        )

    def _wrong(self, message: str) -> ComposeError:
        return ComposeError(message, path=f"services.{self._service.spec.name}.x-dockwright")


def _seconds(value: Json) -> float:
    if isinstance(value, str):
        return parse_duration(value) / 1e9
    if isinstance(value, int | float):
        return float(value)
    return _TIMEOUT_S
