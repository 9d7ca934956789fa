"""Gets the image of each service: it exists, is pulled, or is built."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from dockwright.cache import Builds
from dockwright.engine import PREFIX, BuildRequest, Engine, PullProgress
from dockwright.errors import ImageMissingError
from dockwright.model import ServiceSpec, StackSpec

BUILT = f"{PREFIX}built"
"""The label of images that are built for disposable stacks: the name of the Compose project."""


@dataclass(frozen=True, slots=True)
class ImageWatch:
    """What is done while an image is pulled or built.

    Attributes:
        on_progress: called with its progress.
        unwanted: returns True to cancel it; called from another thread.
    """

    on_progress: Callable[[str], None] = lambda _: None
    unwanted: Callable[[], bool] = lambda: False


@dataclass(frozen=True, slots=True)
class ReadyImage:
    """An image that is on the engine.

    Attributes:
        reference: what containers name it by.
        details: its description, as the engine's inspect has it.
    """

    reference: str
    details: Mapping[str, Any]

    @property
    def id(self) -> str:
        """The engine's own name of it."""
        return str(self.details["Id"])

    @property
    def config(self) -> Mapping[str, Any]:
        """What its containers are created with, as the engine's inspect has it."""
        return self.details.get("Config") or {}

    @property
    def volumes(self) -> list[str]:
        """The mount targets that the image declares with ``VOLUME``."""
        return list(self.config.get("Volumes") or {})


class Images:
    """Gets images on one engine; several stacks may need the same one at the same time.

    Args:
        engine: where they are.
        disposable: whether they are for disposable stacks: what is built gets a label.
        builds: knows builds that need not be repeated; None: all are done.
    """

    def __init__(
        self, engine: Engine, *, disposable: bool = False, builds: Builds | None = None
    ) -> None:
        self._engine = engine
        self._builds = builds
        self._disposable = disposable
        self._lock = threading.Lock()
        self._inspected: dict[tuple[str, str], ReadyImage] = {}

    def ensure(self, spec: StackSpec, service: ServiceSpec, watch: ImageWatch) -> ReadyImage:
        """Return the service's image once it is on the engine.

        The first caller pulls or builds, as ``pull_policy`` says; the others wait for it.

        Raises:
            ImageMissingError: it does not exist locally and cannot be pulled.
            ImageBuildError: its build failed.
        """
        return self._ready(spec, service, watch, refresh=False)

    def refresh(self, spec: StackSpec, service: ServiceSpec, watch: ImageWatch) -> ReadyImage:
        """Return the service's image as its registry or its build has it now.

        Only ``pull_policy: never`` leaves an image as it is. `ensure` then gives the same one.

        Raises:
            ImageMissingError: it cannot be pulled.
            ImageBuildError: its build failed.
        """
        return self._ready(spec, service, watch, refresh=True)

    def forget(self, spec: StackSpec, service: ServiceSpec) -> None:
        """Have the next `ensure` look at the engine again."""
        with self._lock:
            self._inspected.pop(_key(spec, service), None)

    def _ready(
        self, spec: StackSpec, service: ServiceSpec, watch: ImageWatch, *, refresh: bool
    ) -> ReadyImage:
        reference, key = spec.image_of(service.name), _key(spec, service)
        with self._lock:
            if refresh or key not in self._inspected:
                # The same in every directory, so that equal builds are one image.
                labels = {BUILT: spec.name} if self._disposable else {}
                details = self._get(reference, service, watch, labels, refresh=refresh)
                self._inspected[key] = ReadyImage(reference, details)
            return self._inspected[key]

    def _get(
        self,
        reference: str,
        service: ServiceSpec,
        watch: ImageWatch,
        labels: Mapping[str, str],
        *,
        refresh: bool,
    ) -> Mapping[str, Any]:
        policy = service.pull_policy
        if refresh and policy == "missing" and service.build is None:
            policy = "always"
        if service.build is not None and service.is_built:
            request = BuildRequest.of(service.build, reference)
            request = replace(request, labels={**request.labels, **labels})
            return self._built(request, watch, always=refresh or policy == "build")
        if policy == "always" or (policy != "never" and not self._engine.has_image(reference)):
            self._pull(reference, service, watch)
        try:
            return self._engine.inspect_image(reference)
        except ImageMissingError as exc:
            raise ImageMissingError(
                f"service {service.name}: {exc.message}",
                hint=exc.hint or f"pull or build {reference} first (pull_policy is {policy})",
            ) from exc

    def _built(
        self, request: BuildRequest, watch: ImageWatch, *, always: bool
    ) -> Mapping[str, Any]:
        """Build an image, unless nothing that it is made from has changed."""
        key = self._builds.key(self._engine, request) if self._builds and not always else ""
        if self._builds and key and (known := self._builds.find(self._engine, key, request)):
            return known
        watch.on_progress(f"building {request.name}")
        began = time.monotonic()
        image = self._engine.build_image(
            request, on_progress=watch.on_progress, unwanted=watch.unwanted
        )
        if self._builds and key and self._builds.key(self._engine, request) == key:
            self._builds.put(key, image, time.monotonic() - began)
        return self._engine.inspect_image(request.tags[0])

    def _pull(self, reference: str, service: ServiceSpec, watch: ImageWatch) -> None:
        watch.on_progress(f"pulling {reference}")
        try:
            self._engine.pull_image(
                reference,
                platform=service.platform,
                on_progress=lambda progress: watch.on_progress(_progress_line(progress)),
                unwanted=watch.unwanted,
            )
        except ImageMissingError as exc:
            raise ImageMissingError(
                f"service {service.name}: {exc.message}", hint=exc.hint
            ) from exc


def _progress_line(progress: PullProgress) -> str:
    received, total = (size / 1e6 for size in (progress.received_bytes, progress.total_bytes))
    return (
        f"pulling {progress.image}: {progress.done} of {progress.layers} layers, "
        f"{received:.1f} of {total:.1f} MB"
    )


def _key(spec: StackSpec, service: ServiceSpec) -> tuple[str, str]:
    # A built image depends on more than its name: two specs may build the same name.
    return spec.image_of(service.name), spec.content_hash if service.build else ""
