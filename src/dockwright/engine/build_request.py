"""What an image build is asked for, and who watches it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dockwright.engine.deadline import Unwanted
from dockwright.errors import ImageBuildError


@dataclass(frozen=True, slots=True)
class BuildRequest:
    """One image to build.

    Attributes:
        context: the directory that is sent to the builder.
        tags: the image's names; the first is the one that messages use.
        dockerfile: its path, relative to `context`; None: ``Dockerfile``.
        dockerfile_inline: its text, instead of a file.
        args: build arguments.
        labels: labels of the image.
        target: the stage to stop at; None: the last.
        cache_from: images, or with BuildKit other caches, to take layers from.
        cache_to: where BuildKit is to save its cache.
        network: the network mode of ``RUN`` steps, e.g. ``host``; None: the engine's default.
        platforms: which to build for; empty: the engine's own.
        no_cache: whether to use no layer of an earlier build.
        pull: whether to look for newer base images.
        secret_files: files that ``RUN --mount=type=secret`` may read, by id.
        secret_variables: environment variables of ours for the same, by id.
        ssh: agents or keys for ``RUN --mount=type=ssh``, e.g. ``default``.
        extra_hosts: lines for ``/etc/hosts`` of ``RUN`` steps, ``name:address``.
        shm_size_bytes: the size of ``/dev/shm`` in ``RUN`` steps; None: the engine's default.
        additional_contexts: more named contexts for BuildKit: directories, images, URLs.
    """

    context: Path
    tags: tuple[str, ...]
    dockerfile: str | None = None
    dockerfile_inline: str | None = None
    args: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    target: str | None = None
    cache_from: tuple[str, ...] = ()
    cache_to: tuple[str, ...] = ()
    network: str | None = None
    platforms: tuple[str, ...] = ()
    no_cache: bool = False
    pull: bool = False
    secret_files: Mapping[str, Path] = field(default_factory=dict)
    secret_variables: Mapping[str, str] = field(default_factory=dict)
    ssh: tuple[str, ...] = ()
    extra_hosts: tuple[str, ...] = ()
    shm_size_bytes: int | None = None
    additional_contexts: Mapping[str, str] = field(default_factory=dict)

    @property
    def dockerfile_path(self) -> Path:
        """Where the Dockerfile is, if it is not inline."""
        return self.context / (self.dockerfile or "Dockerfile")

    @property
    def name(self) -> str:
        """What messages call the image."""
        return self.tags[0] if self.tags else str(self.context)

    def dockerfile_text(self) -> str:
        """Return the Dockerfile.

        Raises:
            ImageBuildError: it, or the context, is not there or cannot be read.
        """
        if not self.context.is_dir():
            raise ImageBuildError(
                f"cannot build image {self.name}: its context {self.context} is not a directory",
                hint="check `build: context:`",
            )
        if self.dockerfile_inline is not None:
            return self.dockerfile_inline
        try:
            return self.dockerfile_path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as exc:
            raise ImageBuildError(
                f"cannot build image {self.name}: the Dockerfile cannot be read: {exc}",
                hint="check `build: dockerfile:`, which is relative to the context",
            ) from exc


@dataclass(frozen=True, slots=True)
class BuildWatch:
    """Who watches a build.

    Attributes:
        on_line: is told each line of the builder's output.
        timeout_s: how long it is waited for, in seconds.
        unwanted: tells that the build is to end.
    """

    on_line: Callable[[str], None]
    timeout_s: float
    unwanted: Unwanted | None = None
