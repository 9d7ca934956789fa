"""Updates a long-lived stack: replaces what has changed, and rolls back if that fails."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dockwright.engine import Engine
from dockwright.errors import (
    DockwrightError,
    ImageMissingError,
    StackError,
    WaitCancelledError,
    WaitError,
)
from dockwright.managed.images import (
    ImageRecord,
    get_images,
    image_id,
    noting_images,
    reference_of,
    remove_unnamed,
    restoring_tags,
)
from dockwright.stack import COMPOSE_SERVICE, Listener, Stack, UnitEvent, start_whole
from dockwright.stack.naming import COMPOSE_CONFIG_HASH, config_hash, is_set_aside
from dockwright.wait import ContainerTarget, Healthy, wait_for

_OLD_READY_S = 60.0


@dataclass(frozen=True, slots=True)
class Change:
    """What an update changes, or would change, about one service.

    Attributes:
        service: its name.
        what: some of ``new``, ``image``, ``build`` (only the build shows whether it changes),
            ``configuration`` and ``orphan`` (no longer declared); empty: nothing.
        before: the id of the image that its container runs, or empty.
        after: the id or registry digest of the image that it gets; empty: unknown.
    """

    service: str
    what: tuple[str, ...]
    before: str
    after: str


def preview(stack: Stack, services: Iterable[str], *, pull: bool) -> list[Change]:
    """Return what an update would change; pulls and builds nothing.

    Args:
        stack: the stack.
        services: some of its services.
        pull: ask the registries for newer images.

    Raises:
        ImageMissingError: a registry cannot be reached or does not have the image.
    """
    containers = _containers(stack)
    changes = []
    for name in services:
        image, digest = image_id(stack.engine, reference_of(stack.spec, name)), ""
        service = stack.spec.services[name]
        if pull and not service.is_built and service.pull_policy != "never":
            digest = _newer_digest(stack, name)
        changes.append(
            _change(
                stack, name, containers.get(name), digest or image or "", built=service.is_built
            )
        )
    return changes


def update_stack(
    stack: Stack,
    services: Sequence[str],
    *,
    pull: bool,
    listener: Listener,
    remove_orphans: bool = False,
) -> list[Change]:
    """Update services to their newest images and configuration, completely or not at all.

    Args:
        stack: the stack; the caller holds its lock.
        services: what to update; their dependencies are started as well.
        pull: pull images again; builds always run.
        listener: gets the events, from several threads.
        remove_orphans: remove services that are no longer declared; their volumes are kept.

    Returns:
        What was changed, without the orphans.

    Raises:
        StackError: the update failed; containers and image names are as they were before.
        ImageMissingError: an image cannot be pulled; nothing was changed.
    """
    images = [name for name in services if name in stack.spec.services]
    ran = _running(stack)
    changes: list[Change] | None = None
    try:
        with (
            restoring_tags(stack.engine, stack.spec, images),
            noting_images(stack.engine, stack.spec, images),
        ):
            get_images(stack, images, _until_ready(listener), renew=pull)
            changes = [change for change in _changes(stack, images) if change.what]
            start_whole(stack, services, listener=listener, remove_orphans=remove_orphans)
    except WaitCancelledError:
        raise
    except DockwrightError as failure:
        if changes is None:
            raise _without_pull(failure, pull=pull) from failure.__cause__
        raise _rolled_back(stack, ran, failure) from failure
    _drop_replaced(stack.engine, ImageRecord(stack.spec.name))
    return changes


def _until_ready(listener: Listener) -> Listener:
    """Return a listener without ``ready`` events: an image is ready before its service is."""

    def listen(event: UnitEvent) -> None:
        if event.state != "ready":
            listener(event)

    return listen


def _without_pull(failure: DockwrightError, *, pull: bool) -> DockwrightError:
    """Add to the error of an image that cannot be pulled how to update without pulling."""
    if not pull or not isinstance(failure, ImageMissingError):
        return failure
    return ImageMissingError(
        failure.message, hint=f"{failure.hint}; or use the existing images with --no-pull"
    )


def _rolled_back(stack: Stack, ran: Mapping[str, str], failure: DockwrightError) -> StackError:
    """Wait for the old version; return the error of the failed update."""
    late = []
    for name, container in ran.items():
        try:
            target = ContainerTarget(stack.engine, container, name=name)
            wait_for(target, Healthy(), timeout_s=_OLD_READY_S)
        except WaitError:
            late.append(name)
    state = "containers and images are as they were before"
    if ran:
        state = "the old version is running again"
    if late:
        state = f"the old version was restored, but {', '.join(late)} is not healthy"
    return StackError(
        f"the update of {stack.spec.name} failed: {state}\n{failure.message}", hint=failure.hint
    )


def _drop_replaced(engine: Engine, record: ImageRecord) -> None:
    """Remove the images of earlier updates that nothing uses any more."""
    remove_unnamed(
        engine, [image.id for image in record.read() if image.engine == engine.endpoint.url]
    )
    record.drop_missing(engine)


def _changes(stack: Stack, services: Iterable[str]) -> list[Change]:
    containers = _containers(stack)
    return [
        _change(stack, name, containers.get(name), stack.ready_images[name].id, built=False)
        for name in services
    ]


def _change(
    stack: Stack, service: str, container: Mapping[str, Any] | None, image: str, *, built: bool
) -> Change:
    if container is None:
        return Change(service, ("new",), "", "" if built else image)
    before = str(container["ImageID"])
    what = []
    if built:
        what.append("build")
    elif _digits(image) != _digits(before):
        what.append("image")
    if container["Labels"].get(COMPOSE_CONFIG_HASH) != config_hash(stack.spec, service):
        what.append("configuration")
    return Change(service, tuple(what), before, "" if built else image)


def _digits(image: str) -> str:
    return image.removeprefix("sha256:")


def _containers(stack: Stack) -> dict[str, Mapping[str, Any]]:
    listed = stack.engine.list_containers(stack.identity.selector())
    return {
        container["Labels"][COMPOSE_SERVICE]: container
        for container in listed
        if container["Names"] and not is_set_aside(container["Names"][0])
    }


def _running(stack: Stack) -> dict[str, str]:
    return {
        name: str(container["Id"])
        for name, container in _containers(stack).items()
        if container["State"] == "running"
    }


def orphans(stack: Stack) -> list[Change]:
    """Return the services that have a container but are no longer declared."""
    return [
        Change(name, ("orphan",), str(container["ImageID"]), "")
        for name, container in sorted(_containers(stack).items())
        if name not in stack.spec.services
    ]


def _newer_digest(stack: Stack, service: str) -> str:
    """Return the digest in the registry if the engine has a different image, else an empty text."""
    reference = reference_of(stack.spec, service)
    try:
        digest = stack.engine.remote_digest(reference)
    except ImageMissingError as failure:
        raise _without_pull(failure, pull=True) from failure.__cause__
    try:
        known = stack.engine.inspect_image(reference).get("RepoDigests") or ()
    except ImageMissingError:
        known = ()
    return "" if any(str(name).endswith(f"@{digest}") for name in known) else digest
