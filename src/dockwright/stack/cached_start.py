"""Start from a cached baseline: volumes that are layers above it, or are filled from the cache."""

from __future__ import annotations

import io
import logging
import os
import tarfile
import time
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import Any

from dockwright.cache import (
    BaselineStore,
    Draft,
    FileDigests,
    FrozenPart,
    FrozenVolumes,
    Key,
    Manifest,
    NotCacheableError,
    Part,
    Stored,
    Surroundings,
    content_key,
    left_out,
)
from dockwright.engine import parallel
from dockwright.errors import DockwrightError, EngineError, StackBrokenError, WaitCancelledError
from dockwright.model import StackSpec
from dockwright.reset import disposable_servers, flush_to_disk
from dockwright.stack.baseline import ServiceOfStack
from dockwright.stack.layers import Lowers, nothing
from dockwright.stack.stack import Stack
from dockwright.stack.start import Listener, ignore


@dataclass(frozen=True, slots=True)
class OwnVolume:
    """One volume that belongs to the copy.

    Attributes:
        service: a service that mounts it.
        target: where it does.
    """

    service: str
    target: PurePosixPath

    def __str__(self) -> str:
        return f"{self.target} of service {self.service}"


class OwnVolumes:
    """Reads and fills the volumes of a copy whose containers exist, running or not.

    Args:
        stack: the copy.
    """

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._named: dict[str, OwnVolume] = {}
        skipped = left_out(stack.spec)
        mounted = [
            (name, OwnVolume(service, PurePosixPath(target)))
            for service in stack.spec.services
            if service in stack.containers and service not in skipped
            for target, name in stack.volumes_of(service).items()
        ]
        # Of the services that share a volume, one that may write to it stands for it.
        for name, volume in sorted(mounted, key=lambda each: _only_reads(stack.spec, each[1])):
            self._named.setdefault(name, volume)

    def __iter__(self) -> Iterator[OwnVolume]:
        return iter(self._named.values())

    def read(self, volume: OwnVolume) -> closing[Generator[bytes, None, None]]:
        """Return a context that gives a tar of what the volume holds, in pieces."""
        stack, name = self._stack, self._name(volume)
        container = stack.container(volume.service)
        return closing(stack.engine.volume_out(name, container, str(volume.target)))

    def fill(self, volume: OwnVolume, chunks: Iterable[bytes]) -> None:
        """Unpack a tar, as `read` yields it, into the volume."""
        stack, name = self._stack, self._name(volume)
        container = stack.container(volume.service)
        stack.engine.volume_in(name, container, str(volume.target), chunks)

    def _name(self, volume: OwnVolume) -> str:
        return self._stack.volumes_of(volume.service)[str(volume.target)]

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Pause every container that mounts one of the volumes, after all is on disk.

        The volumes are then as after a power cut: databases recover from that.

        Raises:
            NotCacheableError: they cannot be kept.
            StackBrokenError: a container stays paused.
        """
        containers = self._inspected()
        for name, container in containers.items():
            self._check_repeatable(name, container)
        for volume in self:
            _check_mounts(volume, containers[volume.service])
        parallel.run([partial(self._flush_to_disk, name) for name in containers])
        with ExitStack() as paused:
            for container in containers.values():
                if any(mount.get("Name") in self._named for mount in container["Mounts"]):
                    paused.enter_context(self._paused(container["Id"]))
            yield

    def _inspected(self) -> dict[str, Mapping[str, Any]]:
        names = list(self._stack.containers)
        inspect = self._stack.engine.inspect_container
        found = parallel.run([partial(inspect, self._stack.containers[name]) for name in names])
        return dict(zip(names, found, strict=True))

    @contextmanager
    def _paused(self, container: str) -> Iterator[None]:
        still = ExitStack()
        still.enter_context(self._stack.engine.paused(container))
        try:
            yield
        finally:
            try:
                still.close()
            except EngineError as failure:
                project = self._stack.identity.project
                raise StackBrokenError(
                    f"a container of {project} stays paused: {failure}"
                ) from failure

    def _flush_to_disk(self, name: str) -> None:
        service = ServiceOfStack(self._stack, name, self._stack.options.log_directory)
        if not flush_to_disk(service):
            raise NotCacheableError(f"service {name} holds data in memory and has no volume")

    def _check_repeatable(self, name: str, container: Mapping[str, Any]) -> None:
        said = self._stack.spec.services[name].cache or self._stack.spec.cache
        if not container["State"]["Running"] and not said:
            raise NotCacheableError(
                f"service {name} has ended and would run again on the data that it wrote; "
                "set x-dockwright: {cache: true} on it to allow that"
            )


def _only_reads(spec: StackSpec, volume: OwnVolume) -> bool:
    mounts = spec.services[volume.service].mounts
    return any(each.read_only for each in mounts if each.target == str(volume.target))


def _check_mounts(volume: OwnVolume, container: Mapping[str, Any]) -> None:
    if container["HostConfig"].get("ReadonlyRootfs"):
        raise NotCacheableError(f"service {volume.service} is read_only")
    for mount in container["Mounts"]:
        place = PurePosixPath(mount["Destination"])
        if volume.target in place.parents:
            # The engine reads and writes through it, down to the host's own files.
            raise NotCacheableError(f"{place} is mounted inside {volume}")
        if place == volume.target and not mount["RW"]:
            raise NotCacheableError(f"{volume} is mounted read-only")


_log = logging.getLogger(__name__)

_WORTH = 0.5
"""Volumes that take longer to read than this part of the start are not kept: filling others from
them takes about as long, and a test that waits for the copy waits for the reading too."""

_MOST_INITIAL_BYTES = 16 << 20
"""A volume that an image fills with more than this is initialised well enough by the image."""

_LEAST_BYTES = 1 << 20
"""Smaller baselines are filled: that takes no longer than making layers."""

_NOT_MOUNTED = "while mounting volume"  # in Docker's words


class CachedStart:
    """One start of one copy: `run`, then `read`, then `keep`.

    Problems with the cache are logged and never fail the start.

    Args:
        stack: a copy that does not exist yet.
        store: where baselines are kept; None: the copy starts without a cache.
        seed: identifies what a seed hook does to a copy that did not start from the cache.
        files: digests of files, shared so that each file is read once.
        whole: whether what is kept is what resets bring back: nothing is added to each copy.

    Attributes:
        from_cache: whether the copy was started from a cached baseline.
    """

    def __init__(
        self,
        stack: Stack,
        store: BaselineStore | None,
        *,
        seed: str = "",
        files: FileDigests | None = None,
        whole: bool = True,
    ) -> None:
        self.from_cache = False
        self._stack = stack
        self._store = store
        self._seed = seed
        self._files = files or FileDigests()
        self._whole = whole
        self._stored: Stored | None = None
        self._key: Key | None = None
        self._initial: dict[OwnVolume, frozenset[str]] = {}
        self._start_s = 0.0
        self._draft: Draft | None = None

    def run(self, listener: Listener = ignore) -> None:
        """Start the copy; see `Stack.start`.

        If it does not start from the cached baseline, it is created again without it.
        """
        if self._store is None:
            self._stack.start(listener=listener)
            return
        began = time.monotonic()
        try:
            with ExitStack() as held:
                prepare = partial(self._prepare, self._store, held)
                self._stack.start(listener=listener, prepare=prepare, fill=self._fill)
        except WaitCancelledError:
            raise
        except (DockwrightError, ExceptionGroup) as failure:
            if not self.from_cache or self._key is None:
                raise
            self._start_without_it(self._store, self._key, failure)
        if not self._whole:
            self._use_no_more()
        self._start_s = time.monotonic() - began
        if self.from_cache and self._stored is not None:
            self._store.count_use(self._stored.manifest.start_s - self._start_s)

    def read(self) -> None:
        """Read the volumes of the copy. It is ready, not used yet, and paused meanwhile.

        Raises:
            StackBrokenError: it stays paused.
        """
        if self._store is None or self._key is None or self.from_cache:
            return
        try:
            self._draft = self._store.draft(self._key.text)
            if self._draft is not None:
                self._read(self._draft)
        except (DockwrightError, ExceptionGroup, OSError) as failure:
            self._give_up(failure)
            if isinstance(failure, StackBrokenError):
                raise

    def keep(self, *, wanted: Callable[[], bool]) -> None:
        """Store what `read` has read, if anything; the copy may be used meanwhile.

        Args:
            wanted: called repeatedly; False stops the work.
        """
        if self._store is None or self._key is None or self._draft is None:
            return
        with self._draft:
            try:
                self._check_restorable(self._draft)
                if self._draft.finish(self._manifest, wanted=wanted):
                    self._store.publish(self._draft, self._key.text)
                    self._freeze(self._store, self._key, wanted)
            except (NotCacheableError, OSError) as failure:
                self._give_up(failure)

    def _freeze(self, store: BaselineStore, key: Key, wanted: Callable[[], bool]) -> None:
        """Make frozen volumes of what was kept: resets of this run use them, and later runs."""
        frozen = self._frozen(store)
        try:
            with store.holding(key.text) as stored:
                if stored is not None and self._layerable(stored):
                    frozen.freeze(stored, self._stack.layers.door(), wanted=wanted)
            frozen.sweep()
        except (DockwrightError, ExceptionGroup) as failure:
            _log.info("no frozen volumes of stack %s: %s", self._stack.spec.name, failure)

    # -- before anything runs ----------------------------------------------------------------

    def _prepare(self, store: BaselineStore, held: ExitStack) -> None:
        """Find the cached baseline, if there is one; make layers above its frozen volumes.

        The baseline stays as long as `held`.
        """
        try:
            self._key = self._current_key()
            self._stored = held.enter_context(store.holding(self._key.text))
        except (DockwrightError, OSError) as failure:
            self._give_up(failure)
            return
        self._stack.layers.source = partial(self._lowers, store)
        self._stack.layers.pour = partial(self._pour, store)
        if self._stored is not None:
            try:
                self._make_layers(store, self._stored)
            except (DockwrightError, ExceptionGroup, OSError) as failure:
                _log.warning(
                    "cannot start stack %s from layers: %s", self._stack.spec.name, failure
                )
                self._forget_layers()

    def _make_layers(self, store: BaselineStore, stored: Stored) -> None:
        layers, names = self._stack.layers, self._stack.graph.ordered()
        layerable = self._layerable(stored)
        layered = layers.add(names)
        if layered and len(layerable) == len(stored.manifest.parts):
            return  # nothing of it is read
        if not store.intact(stored):
            self._forget_layers()
            self._stored = None
        elif layerable and not layered and self._frozen(store).freeze(stored, layers.door()):
            layers.add(names)

    def _fill(self) -> None:
        if self._stored is not None:
            self.from_cache = True
            self._fill_volumes(self._stored, self._stack.graph.ordered())
        elif self._key is not None:
            try:
                volumes = OwnVolumes(self._stack)
                self._initial = {volume: _names(volumes, volume) for volume in volumes}
            except (DockwrightError, OSError) as failure:
                self._give_up(failure)

    @contextmanager
    def _lowers(self, store: BaselineStore) -> Iterator[Lowers]:
        """Yield the frozen volumes of the cached baseline, and hold it."""
        lowers: dict[str, dict[str, FrozenPart]] = {}
        with store.holding(self._key.text if self._key else "none") as stored:
            if stored is not None:
                layerable = self._layerable(stored)
                for each in self._frozen(store).find(stored) or ():
                    if each.part in layerable:
                        lowers.setdefault(each.part.service, {})[each.part.target] = each
            yield lowers

    def _layerable(self, stored: Stored) -> list[Part]:
        """Return the volumes of a baseline that may be layers: worth it, and not durable."""
        stack = self._stack
        if sum(part.tar_bytes for part in stored.manifest.parts) < _LEAST_BYTES:
            return []
        durable = [name for name, each in stack.spec.services.items() if each.durable]
        plain = {volume for name in durable for volume in stack.volumes_of(name).values()}
        return [
            part
            for part in stored.manifest.parts
            if stack.volumes_of(part.service)[part.target] not in plain
        ]

    def _frozen(self, store: BaselineStore) -> FrozenVolumes:
        return FrozenVolumes(self._stack.engine, store)

    def _pour(self, store: BaselineStore, service: str) -> bool:
        """Fill the volumes of a service's new container."""
        if self._key is None:
            return False
        with store.reading(self._key.text) as stored:
            if stored is not None:
                self._fill_volumes(stored, [service])
            return stored is not None

    def _use_no_more(self) -> None:
        """Let the volumes of new containers be empty."""
        self._stack.layers.source, self._stack.layers.pour = nothing, lambda _: False

    def _forget_layers(self) -> None:
        layers = self._stack.layers
        layers.source = nothing
        layers.remove(layers.take(self._stack.graph.ordered()))

    def _start_without_it(self, store: BaselineStore, key: Key, failure: Exception) -> None:
        layered = bool(self._stack.layers.options)
        self._use_no_more()
        self._stack.recreate(self._stack.known(None))
        # It starts without it: the baseline was to blame, or its layers.
        if layered and _NOT_MOUNTED in str(failure):
            self._frozen(store).give_up(str(failure))
        else:
            store.discard(key.text, f"a stack did not start from it: {failure}")
        self.from_cache, self._key = False, None

    def _current_key(self) -> Key:
        stack = self._stack
        version = stack.engine.version()
        surroundings = Surroundings(
            images={name: image.id for name, image in stack.ready_images.items()},
            platform=f"{version.os}/{version.arch}",
            environ=os.environ,
            files_are_ours=stack.engine.endpoint.is_local,
            seed=self._seed,
            files=self._files,
        )
        return content_key(stack.spec, surroundings)

    def _fill_volumes(self, stored: Stored, services: Collection[str]) -> None:
        volumes = OwnVolumes(self._stack)

        def fill(part: Part) -> None:
            volumes.fill(OwnVolume(part.service, PurePosixPath(part.target)), stored.chunks(part))

        layers = self._stack.layers.options
        parallel.run(
            [
                partial(fill, part)
                for part in stored.manifest.parts
                if part.service in services
                and self._stack.volumes_of(part.service)[part.target] not in layers
            ]
        )

    # -- once the copy is ready --------------------------------------------------------------

    def _read(self, draft: Draft) -> None:
        volumes = OwnVolumes(self._stack)
        parallel.run([partial(self._spare_the_disk, volume.service) for volume in volumes])
        with volumes.paused():
            deadline = time.monotonic() + _WORTH * self._start_s
            for volume in volumes:
                with volumes.read(volume) as chunks:
                    draft.add(volume.service, str(volume.target), _until(deadline, chunks))
        if self._current_key() != self._key:
            raise NotCacheableError("the files that it starts from have changed in the meantime")

    def _spare_the_disk(self, name: str) -> None:
        if not self._stack.spec.services[name].durable:
            service = ServiceOfStack(self._stack, name, self._stack.options.log_directory)
            for server in disposable_servers():
                with suppress(DockwrightError):  # copies will wait for the disk
                    server.spare_the_disk(service)

    def _check_restorable(self, draft: Draft) -> None:
        """Refuse volumes whose content would differ in a copy that starts from the cache."""
        for volume, initial in self._initial.items():
            names = frozenset(draft.names(volume.service, str(volume.target)))
            if missing := initial - names:
                # It would be there again: filling a volume deletes nothing.
                raise NotCacheableError(f"{min(missing)} was deleted from {volume}")
            for server in disposable_servers():
                if loss := server.lost_in_a_crash(names):  # it was paused, not stopped
                    raise NotCacheableError(f"{loss} in {volume}")

    def _manifest(self, parts: tuple[Part, ...]) -> Manifest:
        key = self._key
        if key is None:
            raise RuntimeError("a baseline without a key cannot be kept")
        return Manifest(
            key=key.text,
            stack=self._stack.spec.name,
            created=time.time(),
            start_s=round(self._start_s, 3),
            inputs=key.inputs,
            parts=parts,
        )

    def _give_up(self, failure: Exception) -> None:
        level = logging.INFO if isinstance(failure, NotCacheableError) else logging.WARNING
        _log.log(level, "the baseline of stack %s is not kept: %s", self._stack.spec.name, failure)
        self._key = None
        if self._draft is not None:
            self._draft.close()
            self._draft = None


def _names(volumes: OwnVolumes, volume: OwnVolume) -> frozenset[str]:
    """Return what is in a volume that only its image has filled yet."""
    content = bytearray()
    with volumes.read(volume) as chunks:
        for chunk in chunks:
            content += chunk
            if len(content) > _MOST_INITIAL_BYTES:
                raise NotCacheableError(f"the image itself fills {volume}")
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        return frozenset(archive.getnames())


def _until(deadline: float, chunks: Iterable[bytes]) -> Iterator[bytes]:
    for chunk in chunks:
        if time.monotonic() > deadline:
            raise NotCacheableError("reading its volumes takes too long to be worth it")
        yield chunk
