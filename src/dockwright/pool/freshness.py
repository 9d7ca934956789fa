"""Whether a warm stack is what a start would give now: the key by which the pool knows a stack."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from dockwright.cache import FileDigests, Key, Surroundings, start_key
from dockwright.engine import BuildRequest, Engine
from dockwright.engine.build import base_images
from dockwright.errors import ImageBuildError, ImageMissingError, NoSuchObjectError
from dockwright.model import ServiceSpec, StackSpec

MISSING = "not there yet"
"""Stands for an image that the engine does not have."""


class Freshness:
    """Makes keys of stacks as they would be started now, without starting anything.

    A key changes with the stack's files (the Compose files, what is mounted, what images are built
    from, what native processes run), and where a tag means another image than before.

    Args:
        engine: where the images are.
        environ: the variables that secrets and configs may be taken from.
        files: reads the files; None: those of this object alone.
    """

    def __init__(
        self, engine: Engine, environ: Mapping[str, str], files: FileDigests | None = None
    ) -> None:
        self.files = files or FileDigests()
        self._engine = engine
        self._environ = environ

    def key(self, spec: StackSpec) -> str:
        """Return the key of a stack."""
        return self.state(spec).text

    def state(self, spec: StackSpec) -> Key:
        """Return the key of a stack with its inputs."""
        version = self._engine.version()
        ids: dict[str, str] = {}
        surroundings = Surroundings(
            images={
                service.name: self._image(spec, service, ids) for service in spec.services.values()
            },
            platform=f"{version.os}/{version.arch}",
            environ=self._environ,
            files_are_ours=self._engine.endpoint.is_local,
            files=self.files,
        )
        return start_key(spec, surroundings)

    def _image(self, spec: StackSpec, service: ServiceSpec, ids: dict[str, str]) -> str:
        reference = spec.image_of(service.name)
        if service.build is None or not service.is_built:
            return self._id(reference, ids)
        return self._build(BuildRequest.of(service.build, reference), ids)

    def _build(self, request: BuildRequest, ids: dict[str, str]) -> str:
        """Return what stands for an image that is built from a context."""
        from dockwright.engine.build import context_files

        try:
            text = request.dockerfile_text()
        except ImageBuildError as failure:
            return f"cannot be built: {failure.message}"
        contexts = [self.files.listed(request.context, context_files(request))]
        paths = [*map(Path, request.additional_contexts.values()), *request.secret_files.values()]
        contexts += [self.files.state(path) for path in paths if path.exists()]
        bases = [self._id(name, ids) for name in base_images(text, request.args)]
        inputs = json.dumps([text, contexts, bases])
        return f"built from {hashlib.sha256(inputs.encode(errors='surrogateescape')).hexdigest()}"

    def _id(self, reference: str, ids: dict[str, str]) -> str:
        """Return the id of an image, looked up once."""
        if reference not in ids:
            try:
                ids[reference] = str(self._engine.inspect_image(reference)["Id"])
            except (ImageMissingError, NoSuchObjectError):
                ids[reference] = MISSING
        return ids[reference]
