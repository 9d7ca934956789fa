"""What volumes hold, in and out: on this host directly where we may, else through the engine.

The engine's archive calls work everywhere, and move some 250 MB a second. Where the engine keeps
its volumes on a file system that this process sees and owns, tar reads and writes them at the
disk's speed. The tars are alike: what one way has read, the other can write.
"""

from __future__ import annotations

import os
import re
from collections.abc import Generator, Iterable
from pathlib import Path, PurePosixPath

from dockwright.engine import host_tar
from dockwright.engine.archives import ArchiveCalls
from dockwright.engine.networks import VolumeCalls

_REMAPPED = re.compile(r"\d+\.\d+")
"""So the root directory of an engine ends whose containers have a user namespace of their own."""


class VolumeFileCalls(ArchiveCalls, VolumeCalls):
    """The calls that read and fill whole volumes."""

    def volume_out(self, volume: str, container: str, target: str) -> Generator[bytes, None, None]:
        """Yield a tar of what a volume holds, in pieces; close it to stop before the end.

        Args:
            volume: its name; nobody writes into it meanwhile.
            container: the id of one that mounts it, and nothing within it; it need not run.
            target: where; the tar's entries begin with the last part of it.
        """
        directory = self._directory(volume, container)
        if directory is None:
            yield from self.archive_out(container, target)
        else:
            root = PurePosixPath(target).name
            yield from host_tar.pack(directory, root, f"read volume {volume}")

    def volume_in(self, volume: str, container: str, target: str, chunks: Iterable[bytes]) -> None:
        """Unpack a tar, as `volume_out` yields it, into a volume; its own owner and mode too.

        Args:
            volume: its name; nobody uses it meanwhile.
            container: the id of one that mounts it, and nothing within it; it need not run.
            target: where; the tar's entries begin with the last part of it.
            chunks: the tar; read as fast as it is unpacked.
        """
        directory = self._directory(volume, container)
        if directory is None:
            self.archive_in(container, str(PurePosixPath(target).parent), iter(chunks))
        else:
            root = PurePosixPath(target).name
            host_tar.unpack(directory, root, chunks, f"fill volume {volume}")

    def _directory(self, volume: str, container: str) -> Path | None:
        """Return where this host has the volume's files, if this process may use them.

        A container's id is like no other: where this host has that container's directory, the
        engine's file system is ours. The engine's ``/info`` would tell where that is; but it looks
        at every container, which nobody may while one is held still: see `standstill`.
        """
        if os.geteuid() != 0 or not self._http.endpoint.url.startswith("unix:"):
            return None
        found = self.inspect_volume(volume)
        directory = Path(str(found.get("Mountpoint") or "/nowhere"))
        plain = found.get("Driver") == "local" and not found.get("Options")
        if not plain or not directory.is_dir() or not host_tar.gnu_tar():
            return None
        root = directory.parent.parent.parent  # ROOT/volumes/NAME/_data
        ours = (root / "containers" / container / "config.v2.json").is_file()
        # Elsewhere containers see other owners of files than this host does.
        same_owners = root.stat().st_uid == 0 and not _REMAPPED.fullmatch(root.name)
        return directory if ours and same_owners else None
