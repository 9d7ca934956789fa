"""testcontainers' ``DockerCompose`` on the pool: its Compose commands are answered by a lease.

``DockerCompose`` runs ``docker compose up``, ``ps``, ``logs``, ``exec`` and ``down`` through one
method. This answers them; every other command is run by Compose on the leased stack.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dockwright.compat.adapter import Adapter
from dockwright.compat.container_spec import NotLeasableError
from dockwright.compose import LoadOptions
from dockwright.errors import DockwrightError, explained
from dockwright.pool import Lease

_STARTING = frozenset({"pull", "build"})
"""What is done when a stack is leased."""


def answer(
    compose: Any,
    cmd: str | Sequence[str],
    adapter: Adapter,
    otherwise: Callable[[], subprocess.CompletedProcess[bytes]],
) -> subprocess.CompletedProcess[bytes]:
    """Answer a command of a ``DockerCompose`` object.

    Args:
        compose: the object.
        cmd: the whole command.
        adapter: leases stacks.
        otherwise: lets Compose run it.

    Raises:
        subprocess.CalledProcessError: a command in a container failed.
    """
    words = _after_compose(compose, cmd)
    project: _Project | None = getattr(compose, "_dockwright", None)
    if project is None and words is not None and words[0] in (*_STARTING, "up"):
        project = compose._dockwright = _project(compose, adapter)  # noqa: SLF001 - our own
    if project is None or words is None:
        return otherwise()
    return project.answer(words, otherwise)


def _after_compose(compose: Any, cmd: str | Sequence[str]) -> list[str] | None:
    """Return what follows ``docker compose`` and its global options; None: nothing."""
    base = list(compose.compose_command_property or [])
    if isinstance(cmd, str) or list(cmd[: len(base)]) != base or len(cmd) == len(base):
        return None
    return list(cmd[len(base) :])


def _project(compose: Any, adapter: Adapter) -> _Project | None:
    """Return the project that is leased; None: Compose has to run it."""
    try:
        _require_whole(compose)
        context = Path(compose.context).absolute()
        names = compose.compose_file_name or []
        options = LoadOptions(
            files=tuple(context / name for name in _many(names)),
            working_dir=context,
            profiles=tuple(getattr(compose, "profiles", None) or ()),
            env_files=tuple(context / name for name in _many(compose.env_file or [])),
            environ={key: text for key, text in os.environ.items() if key != "PYTEST_CURRENT_TEST"},
            start=context,
        )
        name = os.path.relpath(context, adapter.host.root)
        return _Project(adapter, options, f"DockerCompose {name}")
    except NotLeasableError as reason:
        adapter.host.note(f"DockerCompose is not leased, but run by Docker Compose: {reason}")
        return None


def _require_whole(compose: Any) -> None:
    if getattr(compose, "services", None):
        raise NotLeasableError("it starts some of its services only")
    if getattr(compose, "keep_volumes", False):
        raise NotLeasableError("it keeps its volumes")


def _many(names: str | Sequence[str]) -> list[str]:
    return [names] if isinstance(names, str) else list(names)


@dataclass(slots=True, eq=False)
class _Project:
    """One ``DockerCompose`` object, and the stack that it has leased.

    Attributes:
        adapter: leases stacks.
        options: how its Compose project is loaded.
        name: of the declared stack.
        lease: None: it is not up.
    """

    adapter: Adapter
    options: LoadOptions
    name: str
    lease: Lease | None = None

    def answer(
        self, words: Sequence[str], otherwise: Callable[[], subprocess.CompletedProcess[bytes]]
    ) -> subprocess.CompletedProcess[bytes]:
        """Answer a command as Compose would.

        Args:
            words: the command.
            otherwise: lets Compose run it.
        """
        verb, rest = words[0], words[1:]
        if verb in _STARTING:
            return _done(words)
        if verb == "up":
            return self._up(words, otherwise)
        if self.lease is None:
            return _done(words) if verb in ("down", "stop") else otherwise()
        if verb in ("down", "stop"):
            lease, self.lease = self.lease, None
            self.adapter.host.release(lease)
            return _done(words)
        answers: dict[str, Callable[[Lease, Sequence[str]], subprocess.CompletedProcess[bytes]]]
        answers = {"ps": _ps, "logs": _logs, "exec": _exec}
        return answers[verb](self.lease, rest) if verb in answers else otherwise()

    def _up(
        self, words: Sequence[str], otherwise: Callable[[], subprocess.CompletedProcess[bytes]]
    ) -> subprocess.CompletedProcess[bytes]:
        if self.lease is None:
            try:
                self.lease = self.adapter.lease_project(self.name, self.options)
            except DockwrightError as failure:
                reason = explained(failure).splitlines()[0]
                self.adapter.host.note(
                    f"DockerCompose is not leased, but run by Docker Compose: {reason}"
                )
                return otherwise()
        return _done(words)


def _ps(lease: Lease, words: Sequence[str]) -> subprocess.CompletedProcess[bytes]:
    stack = lease.leased.unwrap()
    lines = []
    for service, container in stack.containers.items():
        found = stack.engine.inspect_container(container)
        if found["State"]["Running"] or "-a" in words:
            lines.append(json.dumps(_described(lease, service, found)))
    return _done(["ps", *words], "\n".join(lines))


def _described(lease: Lease, service: str, found: Any) -> dict[str, Any]:
    """Return a container as ``docker compose ps --format json`` does."""
    ports = found["NetworkSettings"].get("Ports") or {}
    publishers = [
        {
            "URL": binding["HostIp"],
            "TargetPort": int(key.partition("/")[0]),
            "PublishedPort": int(binding["HostPort"]),
            "Protocol": key.partition("/")[2],
        }
        for key, bindings in ports.items()
        for binding in bindings or ()
    ]
    return {
        "ID": found["Id"],
        "Name": found["Name"].lstrip("/"),
        "Command": " ".join([found["Path"], *found["Args"]]),
        "Project": lease.facts.project,
        "Service": service,
        "State": found["State"]["Status"],
        "Health": (found["State"].get("Health") or {}).get("Status", ""),
        "ExitCode": found["State"]["ExitCode"],
        "Publishers": publishers,
    }


def _logs(lease: Lease, words: Sequence[str]) -> subprocess.CompletedProcess[bytes]:
    services = [word for word in words if not word.startswith("-")] or list(lease.leased.services)
    lines = [
        f"{service}-1  | {line}"
        for service in services
        for line in lease.leased.logs(service).splitlines()
    ]
    return _done(["logs", *words], "\n".join(lines))


def _exec(lease: Lease, words: Sequence[str]) -> subprocess.CompletedProcess[bytes]:
    service, *command = [word for word in words if word != "-T"]
    result = lease.leased.exec(service, command)
    if result.exit_code:
        raise subprocess.CalledProcessError(
            result.exit_code, command, result.stdout.encode(), result.stderr.encode()
        )
    return _done(["exec", *words], result.stdout, result.stderr)


def _done(
    words: Sequence[str], output: str = "", errors: str = ""
) -> subprocess.CompletedProcess[bytes]:
    return subprocess.CompletedProcess(
        ["docker", "compose", *words], 0, output.encode(), errors.encode()
    )
