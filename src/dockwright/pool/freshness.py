"""Whether a warm stack is what a start would give now: the key by which the pool knows a stack."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from dockwright.cache import FileDigests, Key, Surroundings, build_key, image_id, start_key
from dockwright.engine import BuildRequest, Engine
from dockwright.errors import ImageBuildError
from dockwright.model import ServiceSpec, StackSpec


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
        try:
            return f"built from {build_key(request, self.files, partial(self._id, ids=ids))}"
        except ImageBuildError as failure:
            return f"cannot be built: {failure.message}"

    def _id(self, reference: str, ids: dict[str, str]) -> str:
        """Return the id of an image, looked up once."""
        if reference not in ids:
            ids[reference] = image_id(self._engine, reference)
        return ids[reference]
