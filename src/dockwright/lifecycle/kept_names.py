"""The names of images during an update: given back to the old images if it fails or is killed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from dockwright.engine import Engine
from dockwright.errors import EngineError
from dockwright.lifecycle.images import image_id, image_ids
from dockwright.model import StackSpec
from dockwright.places import state_directory


@dataclass(frozen=True, slots=True)
class KeptNames:
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
            kept = json.loads(self.file.read_text())
        except (FileNotFoundError, ValueError):  # none, or killed before anything was changed
            return []
        if kept["engine"] != engine.endpoint.url:
            return []
        lost = {
            name: image for name, image in kept["images"].items() if image_id(engine, name) != image
        }
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
    kept = KeptNames(spec.name)
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
