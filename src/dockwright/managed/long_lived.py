"""A long-lived stack: the stack that belongs to a project name, and the lock of who changes it."""

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

_COMPOSE = "com.docker.compose.project."


def working_dir(labels: Mapping[str, str]) -> str:
    """Return the project's directory, or words that say that nobody knows it."""
    return labels.get(f"{_COMPOSE}working_dir", "an unknown directory")


def compose_files(labels: Mapping[str, str]) -> tuple[Path, ...]:
    """Return the project's Compose files, as far as they are known."""
    files = labels.get(f"{_COMPOSE}config_files", "").split(",")
    return tuple(Path(file) for file in files if file)


def file_options(files: Iterable[Path]) -> str:
    """Return the options by which a command finds a project from anywhere: ``-f FILE -f FILE``."""
    return " ".join(f"-f {shlex.quote(str(file))}" for file in files)


LONG_LIVED = "persistent"
"""The session of what belongs to no run."""


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
    """Return the project's long-lived stack, attached to what of it exists.

    Args:
        spec: what it consists of.
        engine: where it runs.
        timeout_s: how long one service may take to become ready, in seconds.

    Raises:
        StackError: containers of the same project name are somebody else's; or what a killed
            backup or restore left could not be undone.
    """
    identity = identity_of(spec.name, spec.working_dir)
    _check_nobody_elses(engine, identity)
    logs = state_directory() / "processes" / identity.ownership.project
    options = StackOptions(log_directory=logs, ready_timeout_s=timeout_s)
    stack = Stack(spec, engine, identity, options).attach()
    if RestoreJournal.of(identity.project, engine.endpoint.url).exists():
        from dockwright.managed.restore_undo import recover  # rarely needed, and not light

        recover(stack)
    return stack


def has_data(engine: Engine, identity: Identity) -> bool:
    """Tell whether volumes of the stack are there."""
    return bool(engine.list_volumes(identity.data_selector()))


def bare_spec(project: str, working_dir: Path) -> StackSpec:
    """Return a spec without services: to find and remove a stack whose project cannot be read."""
    return StackSpec(
        name=project,
        working_dir=working_dir,
        files=(),
        document={"name": project, "services": {}},
        services={},
        processes={},
        content_hash="",
    )


def _check_nobody_elses(engine: Engine, identity: Identity) -> None:
    ours = identity.selector().items()
    for container in engine.list_containers({COMPOSE_PROJECT: identity.project}):
        labels = container["Labels"]
        if ours <= labels.items():
            continue
        maker, remover = "docker compose", f"docker compose -p {identity.project} down"
        if f"{PREFIX}session" in labels:
            maker, files = "dockwright", file_options(compose_files(labels))
            remover = f"dockwright stack uninstall -p {identity.project} {files}".rstrip()
        raise StackError(
            f"the project name {identity.project!r} is taken: {maker} runs it from "
            f"{working_dir(labels)} "
            f"(container {container['Names'][0].lstrip('/')})",
            hint=f"remove that one first (`{remover}`), or choose another name with -p",
        )


Tell = Callable[[str], None]


@contextmanager
def locked_stack(
    spec: StackSpec, engine: Engine, *, what: str, tell: Tell, timeout_s: float = START_TIMEOUT_S
) -> Iterator[Stack]:
    """Hold the right to change the long-lived stack of `spec`; yield the stack.

    Args:
        spec: what it consists of.
        engine: where it runs.
        what: the command, for others that want to change it.
        tell: is told what an earlier, killed command had left half done.
        timeout_s: how long one service may take to become ready, in seconds.

    Raises:
        StackBusyError: another command changes it.
        StackError: containers of the same project name are somebody else's.
    """
    with exclusive(spec.name, what=what):
        for warning in engine_warnings(spec, engine.version()):
            tell(f"warning: {warning}")
        stack = long_lived_stack(spec, engine, timeout_s=timeout_s)
        services = restore_set_aside(stack)
        names = ImageTagBackup(spec.name).put_back(engine)
        if names or services:
            tell(f"an earlier command was killed: put back {', '.join([*services, *names])}")
        yield stack


def installed_stacks(base: Path) -> list[str]:
    """Return the names of the stacks that are installed in `base`; none where it is not there."""
    return sorted(file.parent.name for file in base.glob(f"*/{SETTINGS}"))


def started_stacks(engine: Engine) -> dict[str, tuple[Path, ...]]:
    """Return the Compose files of each long-lived stack that has containers, by its name."""
    found = {}
    for each in engine.list_containers({f"{PREFIX}session": LONG_LIVED}):
        labels = each["Labels"]
        found[str(labels[COMPOSE_PROJECT])] = compose_files(labels)
    return dict(sorted(found.items()))
