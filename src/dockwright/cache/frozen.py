"""Cached baselines as volumes on an engine, which many copies share and nobody writes.

An entry's ``frozen.json`` names its frozen volumes by engine. A frozen volume that no entry names
was left by a killed process, or by an entry that is gone: `FrozenVolumes.sweep` removes it, unless
a copy still has layers above it. The engine itself refuses that: the copy's container holds it.
"""

from __future__ import annotations

import json
import logging
import secrets
import tarfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from dockwright._files import locked, write_file
from dockwright.cache.store import FROZEN, BaselineStore, Part, Stored, frozen_volumes
from dockwright.engine import PREFIX, Engine, current_owner, parallel, parse_time
from dockwright.engine.overlays import VolumeAccess, obstacle
from dockwright.errors import EngineError, NoSuchObjectError

FROZEN_LABEL = f"{PREFIX}frozen"
"""Of a frozen volume: the key of its entry."""

STORE_LABEL, _HOST_LABEL = f"{PREFIX}store", f"{PREFIX}host"
_LOCK = "freezing"
_OBSTACLES = "overlays.json"
_FOREIGN_S = 30 * 86_400.0
"""A frozen volume that another host made is removed after this long: its store may be gone."""

_log = logging.getLogger(__name__)


class _UnwantedError(Exception):
    """Nobody waits for the frozen volumes any more."""


@dataclass(frozen=True, slots=True)
class FrozenPart:
    """One volume of a baseline, on the engine.

    Attributes:
        part: which one.
        volume: the frozen volume's name.
        root: the directory at its top, with owner, mode and attributes.
    """

    part: Part
    volume: str
    root: tarfile.TarInfo


class FrozenVolumes:
    """The frozen volumes of one store on one engine.

    Args:
        engine: where they are.
        store: the entries that they are made from.
    """

    def __init__(self, engine: Engine, store: BaselineStore) -> None:
        self._engine = engine
        self._store = store

    def find(self, stored: Stored) -> list[FrozenPart] | None:
        """Return the frozen volumes of an entry, which is held; None: they are not there."""
        names = frozen_volumes(stored.directory).get(self._engine.endpoint.url)
        if self.known_obstacle() or names is None or len(names) != len(stored.manifest.parts):
            return None
        if not all(parallel.run([partial(self._exists, name) for name in names])):
            return None
        return [
            FrozenPart(part, name, stored.root(part))
            for part, name in zip(stored.manifest.parts, names, strict=True)
        ]

    def freeze(
        self, stored: Stored, door: VolumeAccess, *, wanted: Callable[[], bool] = lambda: True
    ) -> list[FrozenPart] | None:
        """Return the frozen volumes of an entry; make them if they are not there.

        Args:
            stored: the entry, which is intact, and held.
            door: reaches them.
            wanted: is asked again and again whether to go on.

        Returns:
            None: the engine cannot have layers above them, or they are not wanted any more.
        """
        with locked(stored.directory / _LOCK, create=True):
            found = self.find(stored)
            if found is None and not self._obstacle(door):
                with suppress(_UnwantedError):
                    self._record(stored, self._make(stored, door, wanted))
                    found = self.find(stored)
                self.sweep()
        return found

    def give_up(self, reason: str) -> None:
        """Remember that the engine cannot have layers after all."""
        self._remember({**self._known(), self._engine_name(): reason})

    def known_obstacle(self) -> str | None:
        """Return why the engine cannot have layers; empty: it can; None: no run has tried yet."""
        return self._known().get(self._engine_name())

    def sweep(self) -> int:
        """Remove frozen volumes that no entry names and no copy uses; of any store on this host.

        Returns:
            How many were removed.
        """
        removed = 0
        for volume in self._engine.list_volumes({FROZEN_LABEL: None}):
            with self._unnamed(volume["Labels"], volume) as unnamed:
                if unnamed:
                    with suppress(EngineError):  # a copy has layers above it
                        self._engine.remove_volume(volume["Name"])
                        removed += 1
        return removed

    def labels(self, key: str) -> dict[str, str]:
        """Return the labels of the frozen volumes of an entry."""
        return {
            FROZEN_LABEL: key,
            STORE_LABEL: str(self._store.directory),
            _HOST_LABEL: current_owner().host,
        }

    def _exists(self, name: str) -> bool:
        try:
            return FROZEN_LABEL in (self._engine.inspect_volume(name).get("Labels") or {})
        except NoSuchObjectError:
            return False

    def _make(self, stored: Stored, door: VolumeAccess, wanted: Callable[[], bool]) -> list[str]:
        key, token = stored.manifest.key, secrets.token_hex(4)
        parts = stored.manifest.parts
        names = [f"dockwright-baseline-{key[:12]}-{number}.{token}" for number in range(len(parts))]
        labels = self.labels(key)
        targets = [f"/{n}/{PurePosixPath(part.target).name}" for n, part in enumerate(parts)]
        try:
            for name in names:
                self._engine.create_volume(name, {"Labels": labels})
            mounts = dict(zip(targets, names, strict=True))
            with door.open(f"dockwright-freezing-{token}", mounts) as container:
                fill = self._engine.volume_in
                parallel.run(
                    [
                        partial(fill, name, container, target, _while(wanted, stored.chunks(part)))
                        for name, target, part in zip(names, targets, parts, strict=True)
                    ]
                )
        except BaseException:  # also Ctrl-C: leave no half-filled volume
            for name in names:
                self._engine.remove_volume(name)
            raise
        return names

    def _record(self, stored: Stored, names: Iterable[str]) -> None:
        record = frozen_volumes(stored.directory) | {self._engine.endpoint.url: [*names]}
        write_file(stored.directory / FROZEN, json.dumps(record).encode())

    @contextmanager
    def _unnamed(self, labels: Mapping[str, str], volume: Mapping[str, object]) -> Iterator[bool]:
        """Yield whether no entry names a frozen volume, nor will while the block runs."""
        if labels.get(_HOST_LABEL) != current_owner().host:
            created = parse_time(str(volume.get("CreatedAt")))
            yield created is not None and time.time() - created > _FOREIGN_S
            return
        entry = Path(labels.get(STORE_LABEL, ""), labels[FROZEN_LABEL])
        try:
            with locked(entry / _LOCK, timeout_s=0) as held:
                named = [name for names in frozen_volumes(entry).values() for name in names]
                yield (held or not entry.exists()) and volume["Name"] not in named
        except OSError:  # another user's
            yield False

    # -- what engines can do -----------------------------------------------------------------

    def _obstacle(self, door: VolumeAccess) -> str:
        known = self._known()
        name = self._engine_name()
        if name not in known:
            known[name] = obstacle(door, f"dockwright-probe-{secrets.token_hex(4)}")
            self._remember(known)
            if known[name]:
                _log.info("volumes are filled, not layered: %s", known[name])
        return known[name]

    def _engine_name(self) -> str:
        version = self._engine.version()
        return f"{self._engine.endpoint.url} {version.server} {version.kernel}"

    def _known(self) -> dict[str, str]:
        try:
            found = json.loads((self._store.directory / _OBSTACLES).read_bytes())
        except (OSError, ValueError):
            return {}
        return {str(name): str(why) for name, why in dict(found).items()}

    def _remember(self, known: Mapping[str, str]) -> None:
        write_file(self._store.directory / _OBSTACLES, json.dumps(known, indent=2).encode())


def _while(wanted: Callable[[], bool], chunks: Iterable[bytes]) -> Iterator[bytes]:
    for chunk in chunks:
        if not wanted():
            raise _UnwantedError
        yield chunk
