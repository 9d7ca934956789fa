"""Make the relative paths of one document absolute."""

from __future__ import annotations

import os.path
import posixpath
from pathlib import Path

from dockwright.compose.shapes import Shape
from dockwright.compose.short_forms import is_file_path
from dockwright.compose.source import DocPath, Origins, Tree
from dockwright.errors import ComposeError, ComposeUnsupportedError
from dockwright.untrusted import exists, is_directory

_REMOTE = ("https://", "http://", "git://", "ssh://", "github.com/", "git@")


def rebase(tree: Tree, shape: Shape | None, base: Path) -> Tree:
    """Return a document in long form with every path that Compose resolves made absolute.

    Args:
        tree: the document.
        shape: its shape.
        base: the directory that its relative paths start from.
    """
    if shape is None or tree is None:
        return tree
    if shape.rebase:
        return shape.rebase(tree, base)
    if isinstance(tree, dict):
        return type(tree)((k, rebase(v, shape.child(k), base)) for k, v in tree.items())
    if isinstance(tree, list):
        return [rebase(entry, shape.child(i), base) for i, entry in enumerate(tree)]
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
    """Return a path given by the caller without ``..``, so that its last part can name a project.

    As in Compose, ``..`` removes the name before it, also where that is a link.
    """
    return Path(_clean(absolute(str(path), base)))


def missing_file(origins: Origins, path: DocPath, written: str, file: Path) -> ComposeError:
    """Make the error for a file that another one names at `path` as `written`."""
    if "://" in written or written.startswith("git@"):
        message = f"{written!r} is a remote file, and dockwright does not download files"
        hint = "download it first, and name the local file"
        return origins.error(path, message, hint=hint, kind=ComposeUnsupportedError)
    if is_directory(file):
        return origins.error(path, f"{file} is a directory, not a file")
    kind = f"{file} is not a plain file" if exists(file) else f"file not found: {file}"
    return origins.error(path, kind)


def _clean(path: str) -> str:
    cleaned = posixpath.normpath(path)
    return "/" + cleaned.lstrip("/") if cleaned.startswith("/") else cleaned


def rebase_watched(value: Tree, base: Path) -> Tree:
    """Make a watched path absolute, and follow its first symbolic link as Compose does."""
    path = absolute(value, base)
    links = (part for part in (*reversed(Path(path).parents), Path(path)) if part.is_symlink())
    link = next(links, None)
    return path.replace(str(link), str(link.resolve()), 1) if link else path


def rebase_path(value: Tree, base: Path) -> Tree:
    """Make a path absolute; an empty one is the directory itself."""
    return absolute(value or ".", base)


def rebase_context(value: Tree, base: Path) -> Tree:
    """Make a build context absolute, unless it is remote or names a service or target."""
    if "://" in value or value.startswith((*_REMOTE, "service:", "target:")):
        return value
    return absolute(value, base)


def rebase_contexts(value: Tree, base: Path) -> Tree:
    """Make additional build contexts absolute."""
    return {name: text and rebase_context(text, base) for name, text in value.items()}


def rebase_keys(value: Tree, base: Path) -> Tree:
    """Make the paths of SSH keys absolute."""
    return {name: text and absolute(text, base) for name, text in value.items()}


def rebase_mount(value: Tree, base: Path) -> Tree:
    """Make the source of a bind mount absolute."""
    source = value.get("source")
    if value.get("type") != "bind" or source is None or _is_windows(source):
        return value
    return value | {"source": rebase_path(source, base)}


def _is_windows(source: str) -> bool:
    return is_file_path(source) and not source.startswith((".", "/", "~", "\\\\"))


def rebase_volume(value: Tree, base: Path) -> Tree:
    """Make the device of a local volume that is a bind mount absolute."""
    options = value.get("driver_opts") or {}
    if value.get("driver") != "local" or options.get("o") != "bind":
        return value
    device = options.get("device")
    if not isinstance(device, str):
        return value
    return value | {"driver_opts": options | {"device": rebase_path(device, base)}}
