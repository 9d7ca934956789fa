"""Strategies for any service: put its volumes back, or run a command of its own."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

from dockwright.compose.units import parse_duration
from dockwright.errors import EngineError, StackBrokenError
from dockwright.model import Json
from dockwright.reset.base import Manner, Resettable, check_options, wrong_options
from dockwright.reset.recognise import recognise
from dockwright.reset.redis.session import enter
from dockwright.reset.redis.vitals import Vitals

_CHUNK_BYTES = 1 << 20


class VolumeRollback:
    """Keeps a tar of each volume that the service owns; pours them into its next container.

    The service is paused while its volumes are read, so that they are as after a power cut:
    databases recover from that. Works on any engine, also a remote one.
    """

    manner: Manner = "recreate"

    def __init__(self, service: Resettable) -> None:
        self._service = service

    def capture(self) -> None:
        """Save the volumes to the scratch directory, streamed, unless they are layers."""
        if self._service.layered():
            return
        self._service.scratch.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._service.engine.paused(self._service.container()):
            for target, name in self._service.volumes().items():
                container = self._service.container()
                chunks = self._service.engine.volume_out(name, container, target)
                with self._file(target).open("wb") as file:
                    file.writelines(chunks)

    def reset(self) -> bool:
        """Fill the volumes of the new container, which has not started yet, unless they are layers.

        Returns:
            True: clients of the old container have lost it.

        Raises:
            StackBrokenError: they were layers, and are not any more.
        """
        if self._service.layered():
            return True
        for target, name in self._service.volumes().items():
            if not self._file(target).exists():
                raise StackBrokenError(
                    f"service {self._service.spec.name}: the baseline of {target} was removed"
                )
            container, chunks = self._service.container(), _chunks(self._file(target))
            self._service.engine.volume_in(name, container, target, chunks)
        return True

    def close(self) -> None:
        """Do nothing: the files go with the scratch directory."""

    def _file(self, target: str) -> Path:
        digest = hashlib.sha256(f"{self._service.spec.name}:{target}".encode()).hexdigest()
        return self._service.scratch / f"{digest[:16]}.tar"


def _chunks(file: Path) -> Iterator[bytes]:
    with file.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            yield chunk


_TIMEOUT_S = 60.0
_SHOWN_CHARACTERS = 2000


class CommandReset:
    """Runs the option ``command`` in the service's container, or on the host.

    On the host (``run_on: host``) the command finds the container's id in ``DOCKWRIGHT_CONTAINER``
    and the service's name in ``DOCKWRIGHT_SERVICE``. A string is run by ``/bin/sh``, a list as it
    is. ``timeout`` is 60 s unless it is given. An exit code other than 0 makes the stack broken.
    """

    manner: Manner = "in place"

    def __init__(self, service: Resettable) -> None:
        check_options(service, "command", "timeout", "run_on")
        self._service = service
        options = service.spec.options
        self._argv = self._words(options.get("command"))
        self._timeout_s = self._seconds(options.get("timeout", _TIMEOUT_S))
        self._on_host = options.get("run_on", "container") == "host"
        if options.get("run_on", "container") not in ("container", "host"):
            raise wrong_options(
                service, f"run_on is 'container' or 'host', not {options['run_on']!r}"
            )

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
            hint="the option 'timeout' gives it more time" if "longer" in why else None,
        )

    def _words(self, command: Json) -> list[str]:
        if isinstance(command, str) and command:
            return ["/bin/sh", "-c", command]
        if isinstance(command, list | tuple) and command:
            return [str(word) for word in command]
        raise wrong_options(self._service, "the strategy 'command' needs the option 'command'")

    def _seconds(self, timeout: Json) -> float:
        if isinstance(timeout, int | float):
            return float(timeout)
        try:
            return parse_duration(str(timeout)) / 1e9
        except ValueError as exc:
            raise wrong_options(self._service, f"timeout: {exc}") from exc


def flush_to_disk(service: Resettable) -> bool:
    """Have a running service write what it would lose with its process; no-op for most.

    Returns:
        Whether its volumes hold everything now; False: it has none to write to.

    Raises:
        StackError: it could not.
    """
    return _save_redis(service) if recognise(service).of("redis") else True


def _save_redis(service: Resettable) -> bool:
    _, session = enter(service)
    try:
        if not Vitals.take(session).databases:
            return True
        if service.volumes():
            session.call(("SAVE",))
        return bool(service.volumes())
    finally:
        session.close()
