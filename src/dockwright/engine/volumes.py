"""The files of whole volumes, by the host's GNU tar where it can reach them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path, PurePosixPath
from typing import IO

from dockwright.engine.archives import ArchiveCalls
from dockwright.engine.errors import refused
from dockwright.engine.networks import VolumeCalls

_READ_BYTES = 1 << 18
_PIPE_BYTES = 1 << 20
_MOST_LINES = 3  # of what tar has to say
_NAMES_ONLY = "flags=rh"  # names of members and of hard links' targets, not of symbolic links'
_COMMON = ("--numeric-owner", "--xattrs", "--xattrs-include=user.*")
_CAPABILITIES = "--xattrs-include=security.capability"


@cache
def gnu_tar() -> str:
    """Return GNU tar's path; empty where there is none."""
    for name in ("tar", "gtar"):
        if place := shutil.which(name):
            version = subprocess.run([place, "--version"], capture_output=True, check=False)
            if b"GNU tar" in version.stdout:
                return place
    return ""


def pack(directory: Path, root: str, action: str) -> Generator[bytes, None, None]:
    """Yield a tar of a directory, in pieces; its entries begin with `root`.

    Close it to stop before the end.

    Args:
        directory: nobody writes in it.
        root: what the directory is called in the tar.
        action: what this is, for messages.

    Raises:
        EngineError: it cannot be read; says why.
    """
    rename = f"{_NAMES_ONLY};s,^\\.,{_quoted(root)},"
    options = [
        "--create",
        "--format=posix",
        "--pax-option=delete=atime,delete=ctime",
        "--blocking-factor=128",
        f"--transform={rename}",
        ".",
    ]
    with _tar(options, directory, action) as process:
        while chunk := _pipe(process.stdout).read(_READ_BYTES):
            yield chunk


def unpack(directory: Path, root: str, chunks: Iterable[bytes], action: str) -> None:
    """Unpack a tar, as `pack` yields it, into a directory.

    Args:
        directory: what is in it and not in the tar stays.
        root: what the directory is called in the tar.
        chunks: the tar.
        action: what this is, for messages.

    Raises:
        EngineError: it cannot be unpacked; says why.
    """
    rename = f"{_NAMES_ONLY};s,^{_pattern(root)},.,"
    options = [
        "--extract",
        "--same-owner",
        "--preserve-permissions",
        "--blocking-factor=512",
        f"--transform={rename}",
    ]
    with (
        _tar(options, directory, action) as process,
        suppress(BrokenPipeError),  # tar says why
        _pipe(process.stdin) as pipe,
    ):
        for chunk in chunks:
            pipe.write(chunk)


@contextmanager
def _tar(options: Sequence[str], directory: Path, action: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run tar for the length of a block, and make sure at its end that it has done its work."""
    unpacks = "--extract" in options
    argv = [gnu_tar(), *_COMMON, _CAPABILITIES, f"--directory={directory}", *options]
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(
            argv,
            stdin=subprocess.PIPE if unpacks else subprocess.DEVNULL,
            stdout=subprocess.DEVNULL if unpacks else subprocess.PIPE,
            stderr=errors,
            bufsize=0,
            pipesize=_PIPE_BYTES if sys.platform == "linux" else -1,
            env={"LC_ALL": "C"},
            start_new_session=True,  # Ctrl-C is for us: nothing stops half-way by itself
        ) as process,
    ):
        try:
            yield process
        except BaseException:  # also of a reader that wants no more
            process.kill()
            raise
        _check(process, errors, action)


def _check(process: subprocess.Popen[bytes], errors: IO[bytes], action: str) -> None:
    if process.wait():
        errors.seek(0)
        lines = errors.read().decode(errors="replace").strip().splitlines()
        causes = [line for line in lines if "Exiting with failure" not in line]
        reason = "; ".join(causes[:_MOST_LINES]) or f"tar ended with {process.returncode}"
        raise refused(500, reason, action)


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        raise RuntimeError("a pipe was asked for")
    return pipe


def _pattern(text: str) -> str:
    """Quote a text for the left side of a substitution."""
    return re.sub(r"([.\[\\*^$,])", r"\\\1", text)


def _quoted(text: str) -> str:
    """Quote a text for the right side of a substitution."""
    return re.sub(r"([\\&,])", r"\\\1", text)


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
            yield from pack(directory, root, f"read volume {volume}")

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
            unpack(directory, root, chunks, f"fill volume {volume}")

    def _directory(self, volume: str, container: str) -> Path | None:
        """Return where this host has the volume's files, if this process may use them.

        A container's id is like no other: where this host has that container's directory, the
        engine's file system is ours. The engine's ``/info`` would tell where that is; but it looks
        at every container, which nobody may while one is held still: see `paused`.
        """
        if os.geteuid() != 0 or not self._http.endpoint.url.startswith("unix:"):
            return None
        found = self.inspect_volume(volume)
        directory = Path(str(found.get("Mountpoint") or "/nowhere"))
        plain = found.get("Driver") == "local" and not found.get("Options")
        if not plain or not directory.is_dir() or not gnu_tar():
            return None
        root = directory.parent.parent.parent  # ROOT/volumes/NAME/_data
        docker, podman = root / "containers" / container, root / "overlay-containers" / container
        ours = (docker / "config.v2.json").is_file() or (podman / "userdata").is_dir()
        # Elsewhere containers see other owners of files than this host does.
        same_owners = root.stat().st_uid == 0 and not _REMAPPED.fullmatch(root.name)
        return directory if ours and same_owners else None
