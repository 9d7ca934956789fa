"""Which images were pulled or built for one long-lived stack, so that they can go with it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from dockwright.engine import Engine, parallel
from dockwright.errors import EngineError, ImageMissingError, NoSuchObjectError
from dockwright.model import StackSpec
from dockwright.paths import state_directory
from dockwright.stack import Listener, Stack, StartProgress
from dockwright.untrusted import json_value


@dataclass(frozen=True, slots=True)
class OwnImage:
    """An image that the engine did not have before it was got for the stack.

    Attributes:
        reference: the name that it was got under.
        id: the engine's own name of it.
        engine: the URL of the engine.
    """

    reference: str
    id: str
    engine: str


@dataclass(frozen=True, slots=True)
class ImageRecord:
    """The file that remembers the images got for the stack `project`."""

    project: str

    @property
    def file(self) -> Path:
        """Where it is."""
        return state_directory() / "stacks" / f"{self.project}.images.json"

    def read(self) -> list[OwnImage]:
        """Return what was got; what cannot be read counts as nothing, so that all is kept."""
        try:
            return [OwnImage(**each) for each in json_value(self.file.read_bytes())]
        except (OSError, ValueError, TypeError):
            return []

    def add(self, images: Iterable[OwnImage]) -> None:
        """Remember more of them."""
        known = self.read()
        self._write([*known, *(image for image in images if image not in known)])

    def drop(self, images: Iterable[OwnImage]) -> None:
        """Forget those that are gone."""
        gone = list(images)
        self._write([image for image in self.read() if image not in gone])

    def _write(self, images: list[OwnImage]) -> None:
        if not images:
            self.file.unlink(missing_ok=True)
            return
        self.file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        beside = self.file.with_suffix(".new")
        beside.write_text(json.dumps([asdict(each) for each in images]))
        beside.replace(self.file)


def reference_of(spec: StackSpec, service: str) -> str:
    """Return the name of a service's image."""
    return spec.image_of(service)


def image_id(engine: Engine, reference: str) -> str | None:
    """Return the id of the image that bears this name now; None where there is none."""
    try:
        return str(engine.inspect_image(reference)["Id"])
    except (ImageMissingError, NoSuchObjectError):
        return None


def image_ids(engine: Engine, spec: StackSpec, services: Iterable[str]) -> dict[str, str | None]:
    """Return the ids of the services' images by their names."""
    names = {reference_of(spec, name) for name in services if name in spec.services}
    return {name: image_id(engine, name) for name in sorted(names)}


def get_images(
    stack: Stack, services: Iterable[str], listener: Listener, *, anew: bool = False
) -> None:
    """Pull or build the images of services, all at the same time.

    Args:
        stack: the stack.
        services: some of its services.
        listener: is told what happens, from several threads.
        anew: whether those that are there are pulled or built again.

    Raises:
        ImageMissingError: or `ImageBuildError`: one cannot be had.
    """
    progress = StartProgress(listener)

    def get(name: str) -> None:
        try:
            stack.ensure_image(name, progress, refresh=anew)
        except BaseException as failure:
            progress.report(name, "failed", str(failure))
            raise
        progress.report(name, "ready", "image ready")

    parallel.run([partial(get, name) for name in services if name in stack.spec.services])


@contextmanager
def noting_images(engine: Engine, spec: StackSpec, services: Iterable[str]) -> Iterator[None]:
    """Remember which images the engine gets inside, also where that fails in the end."""
    names = list(services)
    before = image_ids(engine, spec, names)
    try:
        yield
    finally:
        after = image_ids(engine, spec, names)
        got = [
            OwnImage(reference, new, engine.endpoint.url)
            for reference, new in after.items()
            if new is not None and new != before[reference]
        ]
        if got:
            ImageRecord(spec.name).add(got)


@dataclass(frozen=True, slots=True)
class ImageTagBackup:
    """The file that tells, during an update, which image each name stood for before it.

    Attributes:
        project: of the stack.
    """

    project: str

    @property
    def file(self) -> Path:
        """Where it is; it exists only while an update is under way, or was killed."""
        return state_directory() / "stacks" / f"{self.project}.update.json"

    def keep(self, engine: Engine, images: Mapping[str, str | None]) -> None:
        """Remember the images' ids by name."""
        known = {name: image for name, image in images.items() if image is not None}
        beside = self.file.with_suffix(".new")
        beside.write_text(json.dumps({"engine": engine.endpoint.url, "images": known}))
        beside.replace(self.file)

    def put_back(self, engine: Engine) -> list[str]:
        """Give the names back to the images that had them; return those that had lost theirs.

        Raises:
            EngineError: a name could not be given back; the next command tries again.
        """
        try:
            kept = json_value(self.file.read_bytes())
            url, images = kept["engine"], dict(kept["images"])
        except (OSError, ValueError, TypeError, KeyError):
            return []  # none, or killed before anything was changed
        if url != engine.endpoint.url:
            return []
        lost = {name: image for name, image in images.items() if image_id(engine, name) != image}
        for name, image in lost.items():
            if image_id(engine, image) is None:
                continue  # somebody removed it meanwhile: there is nothing to go back to
            replaced = image_id(engine, name)
            engine.tag_image(image, name)
            if replaced is not None:
                remove_unnamed(engine, [replaced])
        self.forget()
        return sorted(lost)

    def forget(self) -> None:
        """End the update: the names stay as they are now."""
        self.file.unlink(missing_ok=True)


@contextmanager
def keeping_names(engine: Engine, spec: StackSpec, services: Iterable[str]) -> Iterator[None]:
    """Give the images' names back if what is done inside fails or is killed."""
    kept = ImageTagBackup(spec.name)
    kept.keep(engine, image_ids(engine, spec, services))
    try:
        yield
    except BaseException as failure:
        try:
            kept.put_back(engine)
        except EngineError as problem:
            raise BaseExceptionGroup(
                "the update failed, and the images' names could not all be put back",
                [failure, problem],
            ) from None
        raise
    kept.forget()


def remove_unnamed(engine: Engine, images: Iterable[str]) -> list[str]:
    """Remove those images (by id) that no name and no container uses; return them."""
    used = {each["ImageID"] for each in engine.list_containers({})}
    removed = []
    for image in images:
        if image in used or image_id(engine, image) is None:
            continue
        if not engine.inspect_image(image).get("RepoTags"):
            try:
                engine.remove_image(image)
            except EngineError:  # another image is built on it, or somebody has just begun to
                continue
            removed.append(image)
    return removed
