"""Starts a copy from a kept baseline, or keeps the one that the copy came to by itself."""

from __future__ import annotations

import io
import logging
import os
import re
import tarfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import PurePosixPath

from dockwright.cache import (
    BaselineStore,
    Draft,
    FileDigests,
    Key,
    Manifest,
    NotCacheableError,
    Part,
    Stored,
    Surroundings,
    content_key,
)
from dockwright.engine import parallel
from dockwright.errors import DockwrightError, StackBrokenError, WaitCancelledError
from dockwright.stack.own_volumes import OwnVolume, OwnVolumes
from dockwright.stack.progress import Listener, StartTimes
from dockwright.stack.stack import Stack, ignore

_log = logging.getLogger(__name__)

_WORTH = 0.5
"""Volumes that take longer to read than this part of the start are not kept: filling others with
them takes about as long, and who waits for the copy waits for the reading too."""

_MOST_INITIAL_BYTES = 16 << 20
"""A volume that an image fills with more than this is initialised well enough by the image."""


_UNLOGGED = re.compile(r"/base/\d+/\d+_init$")
"""The file that PostgreSQL keeps for each unlogged table or index, to empty it after a crash."""


class CachedStart:
    """One start of one copy: `run`, then `read`, then `keep`.

    What goes wrong with the cache is logged and never fails the start.

    Args:
        stack: a copy that does not exist yet.
        store: where baselines are kept; None: nowhere, the copy starts as it does by itself.
        seed: stands for what a seed hook does to a copy that was not `poured`.
        files: has read the files that a start reads before, maybe.

    Attributes:
        poured: whether the copy was started from a kept baseline.
    """

    def __init__(
        self,
        stack: Stack,
        store: BaselineStore | None,
        *,
        seed: str = "",
        files: FileDigests | None = None,
    ) -> None:
        self.poured = False
        self._stack = stack
        self._store = store
        self._seed = seed
        self._files = files or FileDigests()
        self._key: Key | None = None
        self._initial: dict[OwnVolume, frozenset[str]] = {}
        self._start_s = 0.0
        self._draft: Draft | None = None

    def run(self, listener: Listener = ignore) -> StartTimes:
        """Start the copy; see `Stack.start`.

        A copy that does not start from a kept baseline is made anew without it.
        """
        if self._store is None:
            return self._stack.start(listener=listener)
        began = time.monotonic()
        try:
            times = self._stack.start(listener=listener, fill=partial(self._fill, self._store))
        except WaitCancelledError:
            raise
        except (DockwrightError, ExceptionGroup) as failure:
            if not self.poured or self._key is None:
                raise
            self._stack.recreate(self._stack.known(None))
            # It starts without it: the baseline was to blame.
            self._store.discard(self._key.text, f"a stack did not start from it: {failure}")
            self.poured, self._key = False, None
            times = StartTimes(start_s=time.monotonic() - began, wait_s=0.0)
        self._start_s = times.start_s + times.wait_s
        return times

    def read(self) -> None:
        """Read the volumes of the copy, which is ready, not used yet, and paused meanwhile.

        Raises:
            StackBrokenError: it stays paused.
        """
        if self._store is None or self._key is None or self.poured:
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
        """Put into the store what `read` has read, if it has; the copy may be used meanwhile.

        Args:
            wanted: is asked again and again whether to go on.
        """
        if self._store is None or self._key is None or self._draft is None:
            return
        with self._draft:
            try:
                self._check_restorable(self._draft)
                if self._draft.finish(self._manifest, wanted=wanted):
                    self._store.publish(self._draft, self._key.text)
            except (NotCacheableError, OSError) as failure:
                self._give_up(failure)

    # -- before anything runs ----------------------------------------------------------------

    def _fill(self, store: BaselineStore) -> None:
        with ExitStack() as held:
            stored = self._look_up(store, held)
            if stored is not None:
                self.poured = True
                self._pour(stored)

    def _look_up(self, store: BaselineStore, held: ExitStack) -> Stored | None:
        """Return the kept baseline, which stays as long as `held`, if there is one."""
        try:
            self._key = self._current_key()
            stored = held.enter_context(store.reading(self._key.text))
            if stored is None:
                volumes = OwnVolumes(self._stack)
                self._initial = {volume: _names(volumes, volume) for volume in volumes}
        except (DockwrightError, OSError) as failure:
            self._give_up(failure)
            return None
        return stored

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

    def _pour(self, stored: Stored) -> None:
        volumes = OwnVolumes(self._stack)

        def pour(part: Part) -> None:
            volumes.fill(OwnVolume(part.service, PurePosixPath(part.target)), stored.chunks(part))

        parallel.run([partial(pour, part) for part in stored.manifest.parts])

    # -- once the copy is ready --------------------------------------------------------------

    def _read(self, draft: Draft) -> None:
        volumes = OwnVolumes(self._stack)
        with volumes.at_rest():
            deadline = time.monotonic() + _WORTH * self._start_s
            for volume in volumes:
                with volumes.read(volume) as chunks:
                    draft.add(volume.service, str(volume.target), _until(deadline, chunks))
        if self._current_key() != self._key:
            raise NotCacheableError("the files that it starts from changed meanwhile")

    def _check_restorable(self, draft: Draft) -> None:
        """Refuse volumes whose content would be another one in a poured copy."""
        for volume, initial in self._initial.items():
            names = frozenset(draft.names(volume.service, str(volume.target)))
            if missing := initial - names:
                # It would be there again: filling a volume deletes nothing.
                raise NotCacheableError(f"{min(missing)} was deleted from {volume}")
            if any(map(_UNLOGGED.search, names)):
                raise NotCacheableError(f"PostgreSQL would empty unlogged tables in {volume}")

    def _manifest(self, parts: tuple[Part, ...]) -> Manifest:
        key = self._key
        if key is None:
            raise RuntimeError("there is no entry without a key")
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
