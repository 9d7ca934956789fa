"""What volumes hold, in and out: on this host directly where we may, else through the engine.

The engine's archive calls work everywhere, and move some 250 MB a second. Where the engine keeps
its volumes on a file system that this process sees and owns, tar reads and writes them at the
disk's speed. The tars are alike: what one way has read, the other can write.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable
from pathlib import Path, PurePosixPath

from dockwright.engine import host_tar
from dockwright.engine.archives import ArchiveCalls
from dockwright.engine.calls import Call
from dockwright.engine.networks import VolumeCalls

_SHIFTED = ("name=userns", "name=rootless")
"""Where containers see other owners of files than this host does."""


class VolumeFileCalls(ArchiveCalls, VolumeCalls):
    """The calls that read and fill whole volumes."""

    _host_root: Path | None = None

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
        engine's file system is ours.
        """
        if os.geteuid() != 0 or not self._http.endpoint.url.startswith("unix:"):
            return None
        if self._host_root is None:
            self._host_root = self._shared_root()
        if not (self._host_root / "containers" / container / "config.v2.json").is_file():
            return None
        found = self.inspect_volume(volume)
        directory = Path(str(found.get("Mountpoint") or ""))
        plain = found.get("Driver") == "local" and not found.get("Options")
        return directory if plain and directory.is_dir() and host_tar.gnu_tar() else None

    def _shared_root(self) -> Path:
        info = self._http.document(Call("GET", "/info", "ask for the engine's state"))
        shifted = any(str(each).startswith(_SHIFTED) for each in info.get("SecurityOptions") or ())
        return Path("/nowhere" if shifted else str(info.get("DockerRootDir") or "/nowhere"))
