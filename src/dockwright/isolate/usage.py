"""Which images a suite uses: those of the engine that its files name."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

from dockwright.isolate.images import Image

_FILE_BYTES = 400_000
_FILES = 20_000
_SKIPPED = frozenset(
    {".git", ".hg", ".tox", ".nox", ".venv", "venv", "node_modules", "__pycache__"}
)
_GIT_S = 20.0
_BEFORE, _AFTER = rb"(?<![\w./-])", rb"(?![\w./-])"


def used_images(root: Path, images: Iterable[Image]) -> list[Image]:
    """Return the images whose names occur in the files of a project.

    ``redis:7`` counts wherever it stands: in Compose files, Dockerfiles, scripts and tests. The tag
    ``latest`` may be left out. Where a variable stands for the tag, all tags count.

    Args:
        root: the project's directory.
        images: those to look for.
    """
    wanted = {name: image for image in images for name in image.names}
    if not wanted:
        return []
    pattern = re.compile(_BEFORE + b"(?:" + b"|".join(_spellings(wanted)) + b")" + _AFTER)
    found: dict[str, Image] = {}
    for file in _files(root):
        for match in pattern.findall(_content(file)):
            text = match.decode(errors="replace")
            for name, image in wanted.items():
                if _means(text, name):
                    found[image.id] = image
    return list(found.values())


def _spellings(names: Iterable[str]) -> Iterator[bytes]:
    repositories = set()
    for name in sorted(names, reverse=True):  # the longest first
        repository, _, tag = name.rpartition(":")
        yield re.escape(name.encode())
        if tag == "latest":
            repositories.add(repository)
        yield re.escape(f"{repository}:".encode()) + rb"[${%].{0,80}"
    for repository in sorted(repositories, reverse=True):
        yield re.escape(repository.encode()) + rb"(?!:)"


def _means(text: str, name: str) -> bool:
    repository = name.rpartition(":")[0]
    return text == name or f"{text}:latest" == name or bool(
        re.match(re.escape(repository) + r":[${%]", text)
    )  # fmt: skip


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


def _content(file: Path) -> bytes:
    try:
        with file.open("rb") as stream:
            content = stream.read(_FILE_BYTES)
    except OSError:
        return b""
    return b"" if b"\0" in content else content
