"""Rolls a service's volumes back: a new container whose volumes hold what the baseline held."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from dockwright.reset.base import Manner, Resettable

_CHUNK_BYTES = 1 << 20


class VolumeRollback:
    """Keeps a tar of each volume that the service owns; pours them into its next container.

    The service is paused while its volumes are read, so that they are as after a power cut:
    databases recover from that. Works on any engine, also a remote one.
    """

    manner: Manner = "recreate"

    def __init__(self, service: Resettable) -> None:
        self._service = service

    def capture(self) -> None:
        """Save the volumes to the scratch directory, streamed."""
        self._service.scratch.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._service.engine.standstill(self._service.container()):
            for target, name in self._service.volumes().items():
                container = self._service.container()
                chunks = self._service.engine.volume_out(name, container, target)
                with self._file(target).open("wb") as file:
                    file.writelines(chunks)

    def reset(self) -> bool:
        """Fill the volumes of the new container, which has not started yet.

        Returns:
            True: clients of the old container have lost it.
        """
        for target, name in self._service.volumes().items():
            container, chunks = self._service.container(), _chunks(self._file(target))
            self._service.engine.volume_in(name, container, target, chunks)
        return True

    def close(self) -> None:
        """Do nothing: the files go with the scratch directory."""

    def _file(self, target: str) -> Path:
        digest = hashlib.sha256(f"{self._service.spec.name}:{target}".encode()).hexdigest()
        return self._service.scratch / f"{digest[:16]}.tar"


def _chunks(file: Path) -> Iterator[bytes]:
    with file.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            yield chunk
