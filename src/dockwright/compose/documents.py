"""From files to one merged document: read, check, extend, include, merge."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from dockwright.compose.dotenv import fill_variables, with_env_files
from dockwright.compose.fields import PROJECT, SERVICE
from dockwright.compose.interpolate import Interpolation
from dockwright.compose.merge import drop, merge, remove_duplicates
from dockwright.compose.normalise import give_contexts
from dockwright.compose.paths import absolute, missing_file, rebase
from dockwright.compose.read_yaml import Document, read
from dockwright.compose.shapes import check, describe, reporter
from dockwright.compose.short_forms import lengthen
from dockwright.compose.source import DocPath, Origins, Tree, Warnings
from dockwright.compose.x_dockwright import KEY
from dockwright.errors import ComposeError
from dockwright.untrusted import exists, is_directory, is_file


@dataclass(frozen=True, slots=True)
class Scope:
    """What the files of one project (or of one include) share.

    Attributes:
        directory: the directory that relative paths start from.
        variables: the variables for interpolation.
        warnings: where warnings go.
        chain: the files that include this one, outermost first.
        included: counts the included files of the whole project.
    """

    directory: Path
    variables: Mapping[str, str]
    warnings: Warnings
    chain: tuple[Path, ...] = ()
    included: Iterator[int] = field(default_factory=itertools.count)


def load_files(files: tuple[Path, ...], scope: Scope) -> tuple[Tree, Origins]:
    """Return the merged files of one project or include, in long form, with absolute paths.

    Raises:
        ComposeError: a file cannot be read, or something in it is wrong.
    """
    tree: Tree = {}
    origins = Origins(files[0])
    for number, file in enumerate(files):
        for document in _documents(file, scope):
            document.tree = _complete(document.tree, document.origins)
            _apply_extends(document, scope)
            chain = (*scope.chain, file) if number == 0 else scope.chain
            _apply_include(document, replace(scope, chain=chain))
            drop(tree, document.resets)
            if tree:
                origins.absorb(document.origins)
                tree = merge(tree, document.tree, PROJECT, origins)
            else:
                tree, origins = document.tree, document.origins
            tree = remove_duplicates(tree, PROJECT)
            _check_shape(tree, origins, partial=False)
    give_contexts(tree)
    tree = rebase(tree, PROJECT, scope.directory)
    fill_variables(tree, scope.variables, listed=bool(scope.chain))
    return tree, origins


def _documents(file: Path, scope: Scope) -> list[Document]:
    """Read a file: every document interpolated, but neither checked nor in long form yet.

    There is none in a file that holds nothing but comments.

    Raises:
        ComposeError: missing, not YAML, not a mapping, or a wrong variable.
    """
    found = read(file)
    for document in found:
        if not isinstance(document.tree, dict):
            message = f"a Compose file must be a mapping, not {describe(document.tree)}"
            raise document.origins.error((), message)
        interpolation = Interpolation(scope.variables, document.origins, scope.warnings)
        document.tree = interpolation.apply(document.tree, PROJECT)
    return found


def _complete(tree: Tree, origins: Origins) -> Tree:
    """Check one document's keys and types, and return it in long form.

    Required keys may be missing and values may be null: a merge may still bring them.
    """
    _check_shape(tree, origins, partial=True)
    return remove_duplicates(lengthen(tree, PROJECT, origins), PROJECT)


def _check_shape(tree: Tree, origins: Origins, *, partial: bool) -> None:
    """Raise for the first unknown key or wrong type in a project."""
    check(tree, PROJECT, (), reporter(origins, tree), partial=partial)


_MAX_CHAIN = 50
_Seen = tuple[tuple[Path, str], ...]


def _apply_extends(document: Document, scope: Scope) -> None:
    """Resolve every ``extends`` of a document in long form, in place.

    Raises:
        ComposeError: the base is missing, or the chain leads back to itself.
    """
    services = document.tree.get("services", {})
    if services is None:
        raise document.origins.error(("services",), "must be a mapping, not empty")
    resolver = _Resolver(scope)
    for name in services:
        services[name] = resolver.resolve(name, document, document.origins.file, ())


class _Resolver:
    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._files: dict[Path, Document] = {}

    def resolve(self, name: str, document: Document, file: Path, seen: _Seen) -> Tree:
        """Return one service, merged over the services that it extends."""
        service = document.tree["services"][name]
        if not isinstance(service, dict) or not service.get("extends"):
            return service
        path = ("services", name)
        if (file, name) in seen:
            raise self._cycle(document.origins, name, (*seen, (file, name)))
        if len(seen) > _MAX_CHAIN:
            message = f"the chain of 'extends' is longer than {_MAX_CHAIN} services"
            raise document.origins.error((*path, "extends"), message)
        reference = service["extends"]
        wanted = reference.get("service")
        if not wanted:
            raise document.origins.error((*path, "extends"), "needs the key 'service'")
        base_file = self._file(reference) or file
        other = document if base_file == file else self._read(base_file, wanted, document, name)
        if wanted not in (other.tree.get("services") or {}):
            raise document.origins.error(
                (*path, "extends"), f"no service {wanted!r} in {base_file}"
            )
        base = self.resolve(wanted, other, base_file, (*seen, (file, name)))
        if base is None:  # as in Compose, which then prints 'extends'
            return service
        self._count(base, document.origins, path)
        copied = {"services": {name: copy.deepcopy(base)}}
        drop(copied, document.resets)
        rest = {key: value for key, value in service.items() if key != "extends"}
        document.origins.graft(other.origins, ("services", wanted), path)
        copied["services"][name].pop("extends", None)
        return merge(copied["services"][name], rest, SERVICE, document.origins, path)

    def _count(self, value: Tree, origins: Origins, path: DocPath) -> None:
        """Count what is about to be copied."""
        origins.spend(path, len(value) if isinstance(value, str) else 0)
        for entry in value.values() if isinstance(value, dict) else ():
            self._count(entry, origins, path)
        for entry in value if isinstance(value, list) else ():
            self._count(entry, origins, path)

    def _file(self, reference: Tree) -> Path | None:
        file = reference.get("file")
        return Path(absolute(file, self._scope.directory)) if file else None

    def _read(self, file: Path, wanted: str, user: Document, name: str) -> Document:
        """Read another file; only the service that is wanted from it is checked."""
        if file not in self._files:
            try:
                self._files[file] = _joined(_documents(file, self._scope), file)
            except ComposeError as exc:
                if exists(file):
                    raise
                path = ("services", name, "extends", "file")
                written = user.tree["services"][name]["extends"]["file"]
                raise missing_file(user.origins, path, written, file) from exc
        raw = self._files[file]
        chosen = _needed(raw.tree, wanted)
        tree = rebase(_complete({"services": chosen}, raw.origins), PROJECT, file.parent)
        return Document(tree, raw.origins, raw.resets)

    def _cycle(self, origins: Origins, name: str, seen: _Seen) -> ComposeError:
        chain = " -> ".join(service for _, service in seen)
        return origins.error(("services", name, "extends"), f"circular 'extends': {chain}")


def _joined(found: list[Document], file: Path) -> Document:
    first = found[0] if found else Document({}, Origins(file))
    for document in found[1:]:
        drop(first.tree, document.resets)
        first.tree = merge(first.tree, document.tree, PROJECT, first.origins)
        first.origins.absorb(document.origins)
    return first


def _needed(tree: Tree, wanted: str) -> Tree:
    """Return the service that is wanted and those of the same file that it extends in turn."""
    services = tree.get("services")
    services = services if isinstance(services, dict) else {}
    needed: dict[str, Tree] = {}
    while wanted in services and wanted not in needed:
        needed[wanted] = services[wanted]
        wanted = _base_in_same_file(services[wanted]) or ""
    return needed


def _base_in_same_file(service: Tree) -> str | None:
    extends = service.get("extends") if isinstance(service, dict) else None
    if isinstance(extends, dict):
        extends = None if extends.get("file") else extends.get("service")
    return extends if isinstance(extends, str) else None


_MAX_INCLUDED = 200

_SECTIONS = ("services", "volumes", "networks", "secrets", "configs")


def _apply_include(document: Document, scope: Scope) -> None:
    """Bring what a document in long form includes into it, in place.

    Raises:
        ComposeError: a missing file, a file that includes itself, or a name that both define
            differently.
    """
    for index, entry in enumerate(document.tree.pop("include", None) or ()):
        path = ("include", index)
        files = tuple(Path(absolute(text, scope.directory)) for text in entry.get("path") or ())
        if not files:
            raise document.origins.error(path, "has no path")
        for text, file in zip(entry["path"], files, strict=True):
            if not is_file(file):
                raise missing_file(document.origins, path, text, file)
        if files[0] in scope.chain:
            chain = " -> ".join(str(file) for file in (*scope.chain, files[0]))
            raise document.origins.error(path, f"circular 'include': {chain}")
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
            raise origins.error((*path, "env_file"), f"file not found: {file}")
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
        f"is defined here, and differently in a file that {file.name} includes at line {line}",
        file=origins.find((section, name))[0],
        line=origins.find((section, name))[1],
        path=f"{section}.{name}",
        hint="override included services in a second file, not in the one that includes them",
    )
