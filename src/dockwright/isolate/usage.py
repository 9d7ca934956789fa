"""Which images a suite uses: those of the engine that its files name."""

from __future__ import annotations

import os
import string
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

from dockwright.isolate.images import Image

_FILE_BYTES, _ALL_BYTES = 400_000, 200_000_000
_FILES = 20_000
_SKIPPED = frozenset(
    {".git", ".hg", ".tox", ".nox", ".venv", "venv", "node_modules", "__pycache__"}
)
_GIT_S = 20.0
_WORD = (string.ascii_letters + string.digits + "_./-").encode()


def used_images(root: Path, images: Iterable[Image]) -> list[Image]:
    """Return the images whose names occur in the files of a project.

    ``redis:7`` counts wherever it stands: in Compose files, Dockerfiles, scripts and tests. The tag
    ``latest`` may be left out. Where a variable stands for the tag, all tags count.

    Args:
        root: the project's directory.
        images: those to look for.
    """
    wanted = {image.id: image for image in images if image.names}
    found: dict[str, Image] = {}
    for content in _contents(root):
        for image in wanted.values():
            if image.id not in found and any(_names(content, name) for name in image.names):
                found[image.id] = image
    return list(found.values())


def _names(content: bytes, name: str) -> bool:
    """Return whether a text names an image; without regular expressions, which take minutes."""
    repository, _, tag = name.encode().rpartition(b":")
    at = content.find(repository)
    while at >= 0:
        end = at + len(repository)
        if content[at - 1 : at] not in _WORD or at == 0:
            after = content[end : end + len(tag) + 2]
            named, beyond = after[: len(tag) + 1], after[len(tag) + 1 :]
            if named == b":" + tag and (not beyond or beyond not in _WORD):
                return True
            if after[:2] in (b":$", b":{", b":%"):
                return True
            if tag == b"latest" and (not after or after[:1] not in _WORD + b":"):
                return True
        at = content.find(repository, end)
    return False


def _files(root: Path) -> Iterator[Path]:
    """Yield a project's files: those that git knows or would add, or all."""
    command = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others",
               "--exclude-standard"]  # fmt: skip
    try:
        done = subprocess.run(command, capture_output=True, timeout=_GIT_S, check=True)
        names: Iterable[Path] = (root / os.fsdecode(name) for name in done.stdout.split(b"\0"))
    except (OSError, subprocess.SubprocessError):
        names = _walked(root)
    for number, path in enumerate(names):
        if number < _FILES and path.is_file() and not path.is_symlink():
            yield path


def _walked(root: Path) -> Iterator[Path]:
    for directory, below, files in os.walk(root):
        below[:] = [name for name in below if name not in _SKIPPED]
        yield from (Path(directory, name) for name in files)


def _contents(root: Path) -> Iterator[bytes]:
    """Yield what the files of a project contain, of very large projects only a part."""
    left = _ALL_BYTES
    for file in _files(root):
        content = _content(file)
        left -= len(content)
        if left < 0:
            return
        yield content


def _content(file: Path) -> bytes:
    try:
        with file.open("rb") as stream:
            content = stream.read(_FILE_BYTES)
    except OSError:
        return b""
    return b"" if b"\0" in content else content
