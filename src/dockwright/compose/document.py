"""From the text of one file to a document in long form, with its own variables and directory."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dockwright.compose.complaints import reporter
from dockwright.compose.forms import lengthen
from dockwright.compose.interpolate import interpolate
from dockwright.compose.reading import Document, read
from dockwright.compose.schema import PROJECT
from dockwright.compose.shapes import check, describe
from dockwright.compose.source import Origins, Tree
from dockwright.compose.unique import uniquify
from dockwright.compose.warnings import Warnings


@dataclass(frozen=True, slots=True)
class Scope:
    """What the files of one project (or of one include) share.

    Attributes:
        directory: what relative paths mean.
        variables: what interpolation sees.
        warnings: where warnings go.
        chain: the files whose inclusion led here, outermost first.
        included: how often a file was included until now, in all of the project.
    """

    directory: Path
    variables: Mapping[str, str]
    warnings: Warnings
    chain: tuple[Path, ...] = ()
    included: Iterator[int] = field(default_factory=itertools.count)


def documents(file: Path, scope: Scope) -> list[Document]:
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
        document.tree = interpolate(
            document.tree, scope.variables, document.origins, scope.warnings
        )
    return found


def complete(tree: Tree, origins: Origins) -> Tree:
    """Check one document's keys and types, and return it in long form.

    Required keys may be missing and values may be null: a merge may still bring them.
    """
    check_shape(tree, origins, partial=True)
    return uniquify(lengthen(tree, origins))


def check_shape(tree: Tree, origins: Origins, *, partial: bool) -> None:
    """Raise for the first unknown key or wrong type in a project."""
    check(tree, PROJECT, (), reporter(origins, tree), partial=partial)
