"""Which images were pulled or built for a long-lived stack, so that they can be removed with it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from dockwright._files import write_file
from dockwright.engine import Engine, parallel
from dockwright.errors import EngineError, ImageMissingError, NoSuchObjectError
from dockwright.model import StackSpec
from dockwright.paths import state_directory
from dockwright.stack import Listener, Stack, StartProgress
from dockwright.untrusted import json_value


@dataclass(frozen=True, slots=True)
class OwnImage:
    """An image that the engine did not have before it was pulled or built for the stack.

    Attributes:
        reference: the name it was pulled or built as.
        id: its id on the engine.
        engine: the URL of the engine.
    """

    reference: str
    id: str
    engine: str


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """The file that lists the images pulled or built for the stack `project`."""

    project: str

    @property
    def file(self) -> Path:
        """Its path."""
        return state_directory() / "stacks" / f"{self.project}.images.json"

    def read(self) -> list[OwnImage]:
        """Return the images; none if the file is unreadable, so that all images are kept."""
        try:
            return [OwnImage(**image) for image in json_value(self.file.read_bytes())]
        except (OSError, ValueError, TypeError):
            return []

    def add(self, images: Iterable[OwnImage]) -> None:
        """Add images to the list."""
        known = self.read()
        self._write([*known, *(image for image in images if image not in known)])

    def drop_missing(self, engine: Engine) -> None:
        """Remove the images from the list that this engine no longer has."""
        self._write(
            [
                image
                for image in self.read()
                if image.engine != engine.endpoint.url or image_id(engine, image.id) is not None
            ]
        )

    def _write(self, images: list[OwnImage]) -> None:
        if not images:
            self.file.unlink(missing_ok=True)
            return
        self.file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_file(self.file, json.dumps([asdict(image) for image in images]).encode())


def reference_of(spec: StackSpec, service: str) -> str:
    """Return the name of a service's image."""
    return spec.image_of(service)


def image_id(engine: Engine, reference: str) -> str | None:
    """Return the id of the image that has this name now, or None."""
    try:
        return str(engine.inspect_image(reference)["Id"])
    except (ImageMissingError, NoSuchObjectError):
        return None


def image_ids(engine: Engine, spec: StackSpec, services: Iterable[str]) -> dict[str, str | None]:
    """Return the ids of the services' images by their names."""
    names = {reference_of(spec, name) for name in services if name in spec.services}
    return {name: image_id(engine, name) for name in sorted(names)}


def get_images(
    stack: Stack, services: Iterable[str], listener: Listener, *, renew: bool = False
) -> None:
    """Pull or build the images of services in parallel.

    Args:
        stack: the stack.
        services: some of its services.
        listener: gets the events, from several threads.
        renew: also pull or build images that exist.

    Raises:
        ImageMissingError: an image cannot be pulled.
        ImageBuildError: an image cannot be built.
    """
    progress = StartProgress(listener)

    def get(name: str) -> None:
        try:
            stack.ensure_image(name, progress, refresh=renew)
        except BaseException as failure:
            progress.report(name, "failed", str(failure))
            raise
        progress.report(name, "ready", "image ready")

    parallel.run([partial(get, name) for name in services if name in stack.spec.services])


@contextmanager
def noting_images(engine: Engine, spec: StackSpec, services: Iterable[str]) -> Iterator[None]:
    """Record the images that the engine gets within the block, even if it fails in the end."""
    names = list(services)
    before = image_ids(engine, spec, names)
    try:
        yield
    finally:
        after = image_ids(engine, spec, names)
        new_images = [
            OwnImage(reference, new, engine.endpoint.url)
            for reference, new in after.items()
            if new is not None and new != before[reference]
        ]
        if new_images:
            ImageRecord(spec.name).add(new_images)


@dataclass(frozen=True, slots=True)
class ImageTagBackup:
    """The file that says, during an update, which image each name meant before.

    Attributes:
        project: the project name of the stack.
    """

    project: str

    @property
    def file(self) -> Path:
        """Its path; the file exists only during an update, or after one was killed."""
        return state_directory() / "stacks" / f"{self.project}.update.json"

    def save(self, engine: Engine, images: Mapping[str, str | None]) -> None:
        """Save the images' ids by name."""
        known = {name: image for name, image in images.items() if image is not None}
        document = {"engine": engine.endpoint.url, "images": known}
        write_file(self.file, json.dumps(document).encode())

    def put_back(self, engine: Engine) -> list[str]:
        """Tag the images with their old names; return the names that had moved to other images.

        Raises:
            EngineError: an image could not be tagged; the next command tries again.
        """
        try:
            saved = json_value(self.file.read_bytes())
            url, images = saved["engine"], dict(saved["images"])
        except (OSError, ValueError, TypeError, KeyError):
            return []  # no update, or killed before it changed anything
        if url != engine.endpoint.url:
            return []
        moved = {name: image for name, image in images.items() if image_id(engine, name) != image}
        for name, image in moved.items():
            if image_id(engine, image) is None:
                continue  # it was removed meanwhile: there is nothing to go back to
            replaced = image_id(engine, name)
            engine.tag_image(image, name)
            if replaced is not None:
                remove_unnamed(engine, [replaced])
        self.discard()
        return sorted(moved)

    def discard(self) -> None:
        """End the update: the names stay as they are now."""
        self.file.unlink(missing_ok=True)


@contextmanager
def restoring_tags(engine: Engine, spec: StackSpec, services: Iterable[str]) -> Iterator[None]:
    """Put the names of the services' images back if the block fails or the process is killed."""
    backup = ImageTagBackup(spec.name)
    backup.save(engine, image_ids(engine, spec, services))
    try:
        yield
    except BaseException as failure:
        try:
            backup.put_back(engine)
        except EngineError as problem:
            raise BaseExceptionGroup(
                "the update failed, and not all image names could be put back",
                [failure, problem],
            ) from None
        raise
    backup.discard()


def remove_unnamed(engine: Engine, images: Iterable[str]) -> list[str]:
    """Remove those images (by id) that have no name and no container; return their ids."""
    used = {container["ImageID"] for container in engine.list_containers({})}
    removed = []
    for image in images:
        if image in used or image_id(engine, image) is None:
            continue
        if not engine.inspect_image(image).get("RepoTags"):
            try:
                engine.remove_image(image)
            except EngineError:  # another image is based on it, or a container has just used it
                continue
            removed.append(image)
    return removed
