"""The variables that a project declares as secret; what its secrets and configs are made from."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dockwright.compose.reading import read
from dockwright.compose.source import Origins, Tree
from dockwright.compose.x_dockwright import KEY
from dockwright.model import StackSpec

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class ProjectPlace:
    """What is known of a project before its files are understood.

    Attributes:
        name: the project name.
        files: its Compose files.
        working_dir: what relative paths in them mean.
        variables: what their interpolation sees.
    """

    name: str
    files: tuple[Path, ...]
    working_dir: Path
    variables: Mapping[str, str]

    def secret_variables(self) -> tuple[str, ...]:
        """Return the variables that the files themselves declare as secret, without loading them.

        A project may need them to be loaded at all. Included files are not looked at.

        Raises:
            ComposeError: a file cannot be read.
        """
        documents = [document.tree for file in self.files for document in read(file)]
        found = (name for tree in documents if isinstance(tree, dict) for name in _declared(tree))
        return tuple(dict.fromkeys(found))


def with_variables(
    spec: StackSpec, tree: Tree, variables: Mapping[str, str], origins: Origins
) -> StackSpec:
    """Return `spec` with what it declares as secret, and the values that files are made from.

    Raises:
        ComposeError: what is declared as secret cannot be a variable's name.
    """
    secrets = tuple(dict.fromkeys(_declared(tree)))
    for name in secrets:
        if not _NAME.fullmatch(name):
            raise origins.error((KEY, "secrets"), f"{name!r} is not a variable's name")
    used = sorted({*_sources(tree, "secrets"), *_sources(tree, "configs")})
    contents = {name: variables[name] for name in used if name in variables}
    return replace(
        spec, secrets=secrets, contents=contents, content_hash=_hash(spec.content_hash, contents)
    )


def _declared(tree: Mapping[str, Any]) -> Iterator[str]:
    yield from _sources(tree, "secrets")
    extension = tree.get(KEY)
    named = extension.get("secrets") if isinstance(extension, dict) else None
    yield from (str(name) for name in named or () if isinstance(named, list))


def _sources(tree: Mapping[str, Any], section: str) -> Iterable[str]:
    declared = tree.get(section)
    entries = declared.values() if isinstance(declared, dict) else ()
    names = (entry.get("environment") for entry in entries if isinstance(entry, dict))
    return [name for name in names if isinstance(name, str) and name]


def _hash(content_hash: str, contents: Mapping[str, str]) -> str:
    if not contents:
        return content_hash
    text = json.dumps([content_hash, contents], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
