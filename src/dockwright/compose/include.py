"""``include``: other Compose projects whose services and resources become part of this one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from dockwright.compose.document import Scope
from dockwright.compose.dotenv import with_env_files
from dockwright.compose.paths import absolute, missing_file
from dockwright.compose.reading import Document
from dockwright.compose.source import Origins, Tree
from dockwright.compose.warnings import Warnings
from dockwright.compose.x_dockwright import KEY
from dockwright.errors import ComposeError
from dockwright.untrusted import exists, is_directory, is_file

_MAX_INCLUDED = 200

LoadFiles = Callable[[tuple[Path, ...], Scope], tuple[Tree, Origins]]
"""Loads the files of an included project: its merged tree and where its values stand."""

_SECTIONS = ("services", "volumes", "networks", "secrets", "configs")


def apply_include(document: Document, scope: Scope, load_files: LoadFiles) -> None:
    """Bring what a document in long form includes into it, in place.

    Raises:
        ComposeError: a missing file, a file that includes itself, or a name that both define
            differently.
    """
    for index, entry in enumerate(document.tree.pop("include", None) or ()):
        path = ("include", index)
        files = tuple(Path(absolute(text, scope.directory)) for text in entry.get("path") or ())
        if not files:
            raise document.origins.error(path, "names no path")
        for text, file in zip(entry["path"], files, strict=True):
            if not is_file(file):
                raise missing_file(document.origins, path, text, file)
        if files[0] in scope.chain:
            chain = " -> ".join(str(file) for file in (*scope.chain, files[0]))
            raise document.origins.error(path, f"files include each other: {chain}")
        if next(scope.included) >= _MAX_INCLUDED:
            message = f"files are included more than {_MAX_INCLUDED} times in this project"
            raise document.origins.error(path, message)
        inner = _inner_scope(entry, files[0], scope, document.origins, path)
        tree, origins = load_files(files, inner)
        _import(tree, origins, document, path, scope.warnings)


def _inner_scope(
    entry: Tree, main: Path, scope: Scope, origins: Origins, path: tuple[str | int, ...]
) -> Scope:
    directory = main.parent
    if entry.get("project_directory"):
        directory = Path(absolute(entry["project_directory"], scope.directory))
    env_files = [Path(absolute(text, scope.directory)) for text in entry.get("env_file") or ()]
    for file in env_files:
        if not exists(file):
            raise origins.error((*path, "env_file"), f"there is no file {file}")
    if not env_files and is_file(directory / ".env"):
        env_files = [directory / ".env"]
    if not is_directory(directory):  # as Compose has it
        directory = directory.parent
    variables = with_env_files(dict(scope.variables), tuple(env_files))
    return replace(scope, directory=directory, variables=variables)


def _import(
    tree: Tree,
    origins: Origins,
    document: Document,
    path: tuple[str | int, ...],
    warnings: Warnings,
) -> None:
    if KEY in tree:
        warnings.add((KEY,), "is not used in an included file", origins)
    for section in _SECTIONS:
        for name, value in (tree.get(section) or {}).items():
            own = document.tree.get(section)
            own = document.tree[section] = {} if own is None else own
            if name in own and own[name] != value:
                raise _conflict(document.origins, section, name, path)
            own[name] = value
            document.origins.graft(origins, (section, name), (section, name))


def _conflict(
    origins: Origins, section: str, name: str, path: tuple[str | int, ...]
) -> ComposeError:
    file, line = origins.find(path)
    return ComposeError(
        f"is defined here and, differently, in what {file.name} line {line} includes",
        file=origins.find((section, name))[0],
        line=origins.find((section, name))[1],
        path=f"{section}.{name}",
        hint="override included services in a second file, not in the one that includes them",
    )
