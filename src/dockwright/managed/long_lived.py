"""The long-lived stack of a project name: how to find it, and how to change it under its lock."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from dockwright import __version__
from dockwright.engine import PREFIX, Engine
from dockwright.errors import StackError
from dockwright.managed.home import SETTINGS
from dockwright.managed.images import ImageTagBackup
from dockwright.managed.journal import RestoreJournal, exclusive
from dockwright.model import Ownership, StackSpec
from dockwright.paths import project_hash, state_directory
from dockwright.settings import START_TIMEOUT_S
from dockwright.stack import (
    COMPOSE_PROJECT,
    Identity,
    Stack,
    StackOptions,
    engine_warnings,
    restore_set_aside,
)
from dockwright.wait import PATIENCE_S

_COMPOSE = "com.docker.compose.project."


def working_dir(labels: Mapping[str, str]) -> str:
    """Return the project's directory, or a text that says that it is unknown."""
    return labels.get(f"{_COMPOSE}working_dir", "an unknown directory")


def compose_files(labels: Mapping[str, str]) -> tuple[Path, ...]:
    """Return the project's Compose files; none if they are unknown."""
    files = labels.get(f"{_COMPOSE}config_files", "").split(",")
    return tuple(Path(file) for file in files if file)


def file_options(files: Iterable[Path]) -> str:
    """Return the options that select a project from anywhere: ``-f FILE -f FILE``."""
    return " ".join(f"-f {shlex.quote(str(file))}" for file in files)


LONG_LIVED = "persistent"
"""The session label of resources that belong to no run."""


def identity_of(project: str, working_dir: Path) -> Identity:
    """Return the identity of the long-lived stack of a project name and directory."""
    return Identity(
        project=project,
        ownership=Ownership(
            session=LONG_LIVED,
            project=project_hash(working_dir),
            stack=project,
            owner=None,
            created=time.time(),
            version=__version__,
        ),
        isolated=False,
    )


def long_lived_stack(
    spec: StackSpec, engine: Engine, *, timeout_s: float = START_TIMEOUT_S
) -> Stack:
    """Return the project's long-lived stack, attached to its existing containers.

    Args:
        spec: the project.
        engine: where the stack runs.
        timeout_s: how long each service may take to become ready, in seconds.

    Raises:
        StackError: another project has containers with the same project name; or what a killed
            backup or restore left could not be undone.
    """
    identity = identity_of(spec.name, spec.working_dir)
    _check_name_is_free(engine, identity)
    logs = state_directory() / "processes" / identity.ownership.project
    options = StackOptions(
        log_directory=logs, ready_timeout_s=timeout_s, listen_timeout_s=PATIENCE_S
    )
    stack = Stack(spec, engine, identity, options).attach()
    if RestoreJournal.of(identity.project, engine.endpoint.url).exists():
        from dockwright.managed.restore_undo import recover  # rarely needed, and slow to import

        recover(stack)
    return stack


def has_data(engine: Engine, identity: Identity) -> bool:
    """Return whether the stack has volumes."""
    return bool(engine.list_volumes(identity.data_selector()))


def bare_spec(project: str, working_dir: Path) -> StackSpec:
    """Return a spec without services, to find and remove a stack whose project cannot be read."""
    return StackSpec(
        name=project,
        working_dir=working_dir,
        files=(),
        document={"name": project, "services": {}},
        services={},
        processes={},
        content_hash="",
    )


def _check_name_is_free(engine: Engine, identity: Identity) -> None:
    own_labels = identity.selector().items()
    for container in engine.list_containers({COMPOSE_PROJECT: identity.project}):
        labels = container["Labels"]
        if own_labels <= labels.items():
            continue
        starter, remover = "docker compose", f"docker compose -p {identity.project} down"
        if f"{PREFIX}session" in labels:
            starter, files = "dockwright", file_options(compose_files(labels))
            remover = f"dockwright stack uninstall -p {identity.project} {files}".rstrip()
        raise StackError(
            f"the project name {identity.project!r} is already in use: {starter} started it from "
            f"{working_dir(labels)} (container {container['Names'][0].lstrip('/')})",
            hint=f"remove that project first (`{remover}`), or choose another name with -p",
        )


@contextmanager
def locked_stack(
    spec: StackSpec,
    engine: Engine,
    *,
    what: str,
    notify: Callable[[str], None],
    timeout_s: float = START_TIMEOUT_S,
) -> Iterator[Stack]:
    """Hold the lock of the long-lived stack of `spec`; yield the stack.

    Args:
        spec: the project.
        engine: where the stack runs.
        what: the name of the command; other commands show it while they cannot get the lock.
        notify: called with warnings, and with what an earlier, killed command had left half done.
        timeout_s: how long each service may take to become ready, in seconds.

    Raises:
        StackBusyError: another command holds the lock.
        StackError: another project has containers with the same project name.
    """
    with exclusive(spec.name, what=what):
        for warning in engine_warnings(spec, engine.version()):
            notify(f"warning: {warning}")
        stack = long_lived_stack(spec, engine, timeout_s=timeout_s)
        services = restore_set_aside(stack)
        names = ImageTagBackup(spec.name).put_back(engine)
        if names or services:
            notify(f"an earlier command was killed: put back {', '.join([*services, *names])}")
        yield stack


def installed_stacks(base: Path) -> list[str]:
    """Return the names of the stacks that are installed in `base`, which need not exist."""
    return sorted(file.parent.name for file in base.glob(f"*/{SETTINGS}"))


def started_stacks(engine: Engine) -> dict[str, tuple[Path, ...]]:
    """Return the Compose files of each long-lived stack that has containers, by its name."""
    found = {}
    for container in engine.list_containers({f"{PREFIX}session": LONG_LIVED}):
        labels = container["Labels"]
        found[str(labels[COMPOSE_PROJECT])] = compose_files(labels)
    return dict(sorted(found.items()))
