"""``extends``: a service takes over another one, of the same file or of another."""

from __future__ import annotations

import copy
from pathlib import Path

from dockwright.compose.document import Scope, complete, documents
from dockwright.compose.merge import drop, merge
from dockwright.compose.paths import absolute, missing_file, rebase
from dockwright.compose.reading import Document
from dockwright.compose.source import DocPath, Origins, Tree
from dockwright.errors import ComposeError
from dockwright.untrusted import exists

_MAX_CHAIN = 50
_Seen = tuple[tuple[Path, str], ...]


def apply_extends(document: Document, scope: Scope) -> None:
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
        """Return one service with everything that it extends merged under it."""
        service = document.tree["services"][name]
        if not isinstance(service, dict) or not service.get("extends"):
            return service
        path = ("services", name)
        if (file, name) in seen:
            raise self._cycle(document.origins, name, (*seen, (file, name)))
        if len(seen) > _MAX_CHAIN:
            message = f"services extend each other in a chain of more than {_MAX_CHAIN}"
            raise document.origins.error((*path, "extends"), message)
        reference = service["extends"]
        wanted = reference.get("service")
        if not wanted:
            raise document.origins.error((*path, "extends"), "needs the key 'service'")
        base_file = self._file(reference) or file
        other = document if base_file == file else self._read(base_file, wanted, document, name)
        if wanted not in (other.tree.get("services") or {}):
            raise document.origins.error(
                (*path, "extends"), f"there is no service {wanted!r} in {base_file}"
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
        return merge(copied["services"][name], rest, document.origins, path)

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
                self._files[file] = _joined(documents(file, self._scope), file)
            except ComposeError as exc:
                if exists(file):
                    raise
                path = ("services", name, "extends", "file")
                written = user.tree["services"][name]["extends"]["file"]
                raise missing_file(user.origins, path, written, file) from exc
        raw = self._files[file]
        chosen = _needed(raw.tree, wanted)
        tree = rebase(complete({"services": chosen}, raw.origins), file.parent)
        return Document(tree, raw.origins, raw.resets)

    def _cycle(self, origins: Origins, name: str, seen: _Seen) -> ComposeError:
        chain = " -> ".join(service for _, service in seen)
        return origins.error(("services", name, "extends"), f"services extend each other: {chain}")


def _joined(found: list[Document], file: Path) -> Document:
    first = found[0] if found else Document({}, Origins(file))
    for document in found[1:]:
        drop(first.tree, document.resets)
        first.tree = merge(first.tree, document.tree, first.origins)
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
