"""Makes the relative paths of one document absolute, as seen from the directory they belong to."""

from __future__ import annotations

import os.path
import posixpath
from collections.abc import Callable
from pathlib import Path

from dockwright.compose.normalise import is_file_path
from dockwright.compose.source import DocPath, Origins, Patterns, Tree, is_extension
from dockwright.errors import ComposeError, ComposeUnsupportedError
from dockwright.untrusted import exists, is_directory

Rebase = Callable[[Tree, Path], Tree]

_REMOTE = ("https://", "http://", "git://", "ssh://", "github.com/", "git@")


def rebase(tree: Tree, base: Path, path: DocPath = ()) -> Tree:
    """Return a document in long form with every path that Compose resolves made absolute.

    Args:
        tree: the document.
        base: the directory that its relative paths mean.
        path: where `tree` stands.
    """
    rule = _PATHS.find(path)
    if rule and tree is not None:
        return rule(tree, base)
    if isinstance(tree, dict):
        return type(tree)(
            (k, v if is_extension(path, k) else rebase(v, base, (*path, k)))
            for k, v in tree.items()
        )
    if isinstance(tree, list):
        return [rebase(entry, base, (*path, i)) for i, entry in enumerate(tree)]
    return tree


def absolute(text: str, base: Path) -> str:
    """Return one path as Compose does: relative ones joined to `base` and without ``..``.

    An absolute path stays as it is written; a leading ``~`` is the home, whatever follows it.
    """
    if text.startswith("~"):
        home = os.path.expanduser("~")  # noqa: PTH111 - a Path would raise where there is no home
        return _clean(posixpath.join(home, text[1:].lstrip("/")))
    if not text or text.startswith("/"):
        return text
    return _clean(posixpath.join(str(base), text))


def cleaned(path: Path, base: Path) -> Path:
    """Return a path that a caller gave, without ``..``: a project is named after its directory.

    As in Compose, ``..`` removes the name before it, also where that is a link.
    """
    return Path(_clean(absolute(str(path), base)))


def missing_file(origins: Origins, path: DocPath, written: str, file: Path) -> ComposeError:
    """Make the error for a file that another one names at `path` as `written`."""
    if "://" in written or written.startswith("git@"):
        message = f"{written!r} is not on this machine, and dockwright does not fetch files"
        hint = "fetch it before, and name the local file"
        return origins.error(path, message, hint=hint, kind=ComposeUnsupportedError)
    if is_directory(file):
        return origins.error(path, f"{file} is a directory, not a file")
    kind = f"{file} is not a plain file" if exists(file) else f"there is no file {file}"
    return origins.error(path, kind)


def _clean(path: str) -> str:
    cleaned = posixpath.normpath(path)
    return "/" + cleaned.lstrip("/") if cleaned.startswith("/") else cleaned


def _file(value: Tree, base: Path) -> Tree:
    return absolute(value, base)


def _watched(value: Tree, base: Path) -> Tree:
    """Follow the first symbolic link of a path, as Compose does for what is watched."""
    path = absolute(value, base)
    links = (part for part in (*reversed(Path(path).parents), Path(path)) if part.is_symlink())
    link = next(links, None)
    return path.replace(str(link), str(link.resolve()), 1) if link else path


def _unix(value: Tree, base: Path) -> Tree:
    """Make a path absolute that is the directory itself where it is empty."""
    return absolute(value or ".", base)


def _context(value: Tree, base: Path) -> Tree:
    if "://" in value or value.startswith((*_REMOTE, "service:", "target:")):
        return value
    return absolute(value, base)


def _contexts(value: Tree, base: Path) -> Tree:
    return {name: text and _context(text, base) for name, text in value.items()}


def _keys(value: Tree, base: Path) -> Tree:
    return {name: text and absolute(text, base) for name, text in value.items()}


def _mount(value: Tree, base: Path) -> Tree:
    source = value.get("source")
    if value.get("type") != "bind" or source is None or _is_windows(source):
        return value
    return value | {"source": _unix(source, base)}


def _is_windows(source: str) -> bool:
    return is_file_path(source) and not source.startswith((".", "/", "~", "\\\\"))


def _volume(value: Tree, base: Path) -> Tree:
    options = value.get("driver_opts") or {}
    if value.get("driver") != "local" or options.get("o") != "bind":
        return value
    device = options.get("device")
    if not isinstance(device, str):
        return value
    return value | {"driver_opts": options | {"device": _unix(device, base)}}


_PATHS: Patterns[Rebase] = Patterns(
    [
        ("services.*.build.context", _context),
        ("services.*.build.additional_contexts", _contexts),
        ("services.*.build.ssh", _keys),
        ("services.*.develop.watch.*.path", _watched),
        ("services.*.env_file.*.path", _file),
        ("services.*.extends.file", _file),
        ("services.*.label_file.*", _file),
        ("services.*.volumes.*", _mount),
        ("volumes.*", _volume),
        ("configs.*.file", _unix),
        ("secrets.*.file", _unix),
    ]
)
