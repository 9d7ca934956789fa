"""The marker that a test has in its source, read without importing it."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TypeAlias, TypeGuard

MODES = ("stateless", "stateful", "module_cleanup")

Assignment: TypeAlias = ast.Assign | ast.AnnAssign | ast.AugAssign
Scope: TypeAlias = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def marker_in(root: Path, nodeid: str) -> str | None:
    """Return the marker of a test: the closest one; empty: it has none.

    Args:
        root: pytest's root directory.
        nodeid: of the test; parameters do not matter.

    Returns:
        None if it is unknown: the file or the test does not exist, as with tests that a class
        inherits, or a scope has several markers.
    """
    place, *names = without_parameters(nodeid).split("::")
    module = _module(root / place)
    if module is None or not names:
        return None
    scopes = _scopes(module, names)
    if len(scopes) != len(names) + 1:
        return None
    for scope in reversed(scopes):
        found = set(markers_of(scope))
        if len(found) > 1:
            return None
        if found:
            return found.pop()
    return ""


def without_parameters(nodeid: str) -> str:
    """Return the node id of a test function; its parameters may hold any text."""
    path, separator, names = nodeid.partition("::")
    return path + separator + names.partition("[")[0]


def _module(file: Path) -> ast.Module | None:
    try:
        look = file.stat()
        return _parsed(file, look.st_mtime_ns, look.st_size)
    except (OSError, ValueError, SyntaxError):
        return None


@lru_cache(64)
def _parsed(file: Path, *state: int) -> ast.Module:
    """Return a parsed file; `state` identifies its version."""
    del state
    return ast.parse(file.read_bytes())  # it may say how it is encoded


def _scopes(module: ast.Module, names: Sequence[str]) -> list[Scope]:
    """Return the module, the classes and the function that a node id names, as far as found."""
    scopes: list[Scope] = [module]
    for name in names:
        inside: Scope | None = None
        for node in _statements(scopes[-1].body):
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                inside = node if node.name == name else inside  # the last one counts
        if inside is None:
            break
        scopes.append(inside)
    return scopes


def _statements(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """Return the statements of a scope, also those that only run under a condition."""
    for node in body:
        yield node
        if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            parts = (getattr(node, name, ()) for name in ("body", "orelse", "finalbody"))
            handlers = (each.body for each in getattr(node, "handlers", ()))
            for each in (*parts, *handlers):
                yield from _statements(each)


def markers_of(scope: Scope) -> Iterator[str]:
    """Return the markers that a scope itself has: decorators, or ``pytestmark``."""
    if not isinstance(scope, ast.Module):
        yield from _modes(scope.decorator_list)
    if isinstance(scope, ast.Module | ast.ClassDef):
        for node in _statements(scope.body):
            if _sets_marks(node):
                value = node.value
                yield from _modes(
                    value.elts if isinstance(value, ast.List | ast.Tuple) else [value]
                )


def _sets_marks(node: ast.stmt) -> TypeGuard[Assignment]:
    if isinstance(node, ast.Assign):
        targets = node.targets
    else:
        targets = [node.target] if isinstance(node, ast.AnnAssign | ast.AugAssign) else []
    return any(isinstance(each, ast.Name) and each.id == "pytestmark" for each in targets)


def _modes(expressions: Iterable[ast.expr | None]) -> Iterator[str]:
    for each in expressions:
        mark = each.func if isinstance(each, ast.Call) else each
        name = ast.unparse(mark).rpartition(".")[2] if mark is not None else ""
        if name in MODES:
            yield name
