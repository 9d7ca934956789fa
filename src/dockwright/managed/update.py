"""Updates a long-lived stack: new images, only what changed anew, the old version if that fails."""

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
    keeping_names,
    noting_images,
    reference_of,
    remove_unnamed,
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
        what: of ``new``, ``image``, ``build`` (known only after it), ``configuration`` and
            ``orphan`` (no longer declared); empty: nothing.
        before: the id of the image that its container runs, or empty.
        after: the id or registry digest of the one that it gets; empty: not known.
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
        pull: whether registries are asked for newer images.

    Raises:
        ImageMissingError: a registry does not tell.
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
    """Bring services to their newest images and configuration; whole, or not at all.

    Args:
        stack: the stack, of which the caller holds the right to change it.
        services: what to update; what they depend on is started as well.
        pull: whether images are pulled anew; builds are always run.
        listener: is told what happens, from several threads.
        remove_orphans: whether services that are not declared now go; their volumes stay.

    Returns:
        What was changed, without the orphans.

    Raises:
        StackError: it failed; containers and image names are what they were before.
        ImageMissingError: an image cannot be had; nothing was changed.
    """
    images = [name for name in services if name in stack.spec.services]
    ran = _running(stack)
    changes: list[Change] | None = None
    try:
        with (
            keeping_names(stack.engine, stack.spec, images),
            noting_images(stack.engine, stack.spec, images),
        ):
            get_images(stack, images, _until_ready(listener), anew=pull)
            changes = [each for each in _changes(stack, images) if each.what]
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
    """Return a listener that passes on all but the end: the services are not ready by then."""

    def tell(event: UnitEvent) -> None:
        if event.state != "ready":
            listener(event)

    return tell


def _without_pull(failure: DockwrightError, *, pull: bool) -> DockwrightError:
    """Return the error of an image that cannot be had, with the way to do without."""
    if not pull or not isinstance(failure, ImageMissingError):
        return failure
    return ImageMissingError(
        failure.message, hint=f"{failure.hint}; or use the images that are here: --no-pull"
    )


def _rolled_back(stack: Stack, ran: Mapping[str, str], failure: DockwrightError) -> StackError:
    """Return the error of an update that failed, after waiting for the old version."""
    late = []
    for name, container in ran.items():
        try:
            target = ContainerTarget(stack.engine, container, name=name)
            wait_for(target, Healthy(), timeout_s=_OLD_READY_S)
        except WaitError:
            late.append(name)
    state = "the old version runs again" if ran else "containers and images are as they were before"
    if late:
        state = f"the old version is back, but {', '.join(late)} is not healthy"
    return StackError(
        f"the update of {stack.spec.name} failed: {state}\n{failure.message}", hint=failure.hint
    )


def _drop_replaced(engine: Engine, record: ImageRecord) -> None:
    """Remove the images that earlier updates got and that nothing uses any more."""
    old = [each for each in record.read() if each.engine == engine.endpoint.url]
    gone = remove_unnamed(engine, [each.id for each in old])
    record.drop(each for each in old if each.id in gone or image_id(engine, each.id) is None)


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
        each["Labels"][COMPOSE_SERVICE]: each
        for each in listed
        if each["Names"] and not is_set_aside(each["Names"][0])
    }


def _running(stack: Stack) -> dict[str, str]:
    return {
        name: str(each["Id"])
        for name, each in _containers(stack).items()
        if each["State"] == "running"
    }


def orphans(stack: Stack) -> list[Change]:
    """Return the services that have a container and that the project no longer declares."""
    return [
        Change(name, ("orphan",), str(each["ImageID"]), "")
        for name, each in sorted(_containers(stack).items())
        if name not in stack.spec.services
    ]


def _newer_digest(stack: Stack, service: str) -> str:
    """Return the digest in the registry, if the engine's image is another one."""
    reference = reference_of(stack.spec, service)
    try:
        digest = stack.engine.remote_digest(reference)
    except ImageMissingError as failure:
        raise _without_pull(failure, pull=True) from failure.__cause__
    try:
        known = stack.engine.inspect_image(reference).get("RepoDigests") or ()
    except ImageMissingError:
        known = ()
    return "" if any(str(each).endswith(f"@{digest}") for each in known) else digest
