"""Files in and out of a container or its volumes, as tar streams that are never held whole."""

from __future__ import annotations

from collections.abc import Generator, Iterable

from dockwright.engine.calls import Call, path
from dockwright.engine.group import EngineCalls


class ArchiveCalls(EngineCalls):
    """The calls that copy files; the container need not run, nor ever have been started."""

    def archive_out(self, container: str, source: str) -> Generator[bytes, None, None]:
        """Yield a tar archive of a file or directory in a container, in pieces.

        Close it to stop before the end: until then the engine lets nobody else at the container.

        Args:
            container: its id or name.
            source: the path; the archive's entries begin with its last part.
        """
        call = Call(
            "GET",
            path("containers", container, "archive"),
            "read files of container",
            f"{container} ({source})",
            params={"path": source},
        )
        yield from self._http.stream(call)

    def archive_in(self, container: str, target: str, chunks: Iterable[bytes] | bytes) -> None:
        """Unpack a tar archive into a directory of a container.

        Args:
            container: its id or name.
            target: the directory, which must exist.
            chunks: the archive, whole or in pieces; read as fast as the engine unpacks.
        """
        call = Call(
            "PUT",
            path("containers", container, "archive"),
            "write files of container",
            f"{container} ({target})",
            params={"path": target},
            data=chunks,
        )
        self._http.send(call)
