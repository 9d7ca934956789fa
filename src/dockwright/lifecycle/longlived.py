"""The long-lived stack of a project: the one copy that ``dockwright stack`` manages."""

from __future__ import annotations

import time
from pathlib import Path

from dockwright import __version__
from dockwright.engine import PREFIX, Engine
from dockwright.errors import StackError
from dockwright.lifecycle.journal import Journal
from dockwright.lifecycle.origins import compose_files, file_options, working_dir
from dockwright.model import Ownership, StackSpec
from dockwright.places import project_hash, state_directory
from dockwright.stack import COMPOSE_PROJECT, Identity, Stack, StackOptions

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


def long_lived_stack(spec: StackSpec, engine: Engine, *, timeout_s: float = 120.0) -> Stack:
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
    if Journal.of(identity.project, engine.endpoint.url).exists():
        from dockwright.lifecycle.restore_undo import recover  # rarely needed, and not light

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
