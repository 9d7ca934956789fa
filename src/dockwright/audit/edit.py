"""Writes markers into the sources of tests, with LibCST: everything else stays as it is."""

from __future__ import annotations

import difflib
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import libcst as cst
import libcst.matchers as m

from dockwright.audit.source import MODES, marker_in
from dockwright.errors import UsageError


@dataclass(frozen=True, slots=True)
class Edit:
    """A change of one file.

    Attributes:
        file: the file.
        place: the file as node ids name it.
        before: its text.
        after: what it should be.
        encoding: of the file.
    """

    file: Path
    place: str
    before: str
    after: str
    encoding: str = "utf-8"

    @property
    def diff(self) -> str:
        """The change as a unified diff."""
        lines = difflib.unified_diff(
            self.before.splitlines(keepends=True),
            self.after.splitlines(keepends=True),
            f"a/{self.place}",
            f"b/{self.place}",
        )
        return "".join(lines)

    def write(self) -> None:
        """Write the file.

        Raises:
            OSError: it cannot be written.
        """
        self.file.write_bytes(self.after.encode(self.encoding))


def edits(root: Path, wanted: Mapping[str, str], known: Sequence[str]) -> list[Edit]:
    """Return how the sources have to change so that tests have certain markers.

    Args:
        root: pytest's root directory.
        wanted: the markers, by node ids without parameters.
        known: the node ids of all tests; a module whose tests all want the same marker and whose
            ``pytestmark`` is another one gets a new ``pytestmark``.

    Raises:
        UsageError: a file has a syntax that LibCST does not know.
    """
    by_file: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for nodeid, marker in wanted.items():
        now = marker_in(root, nodeid)
        if now is not None and (now or "stateful") != marker:
            by_file[nodeid.partition("::")[0]][nodeid] = marker
    found = []
    for place, markers in by_file.items():
        file = root / place
        try:
            module = cst.parse_module(file.read_bytes())
        except cst.ParserSyntaxError as failure:
            raise UsageError(
                f"{place}: LibCST cannot read this file: {failure.message}",
                hint="a newer LibCST may know its syntax",
            ) from failure
        tests = [each for each in known if each.partition("::")[0] == place]
        changed = _edited(module, place, markers, same=_common(markers, tests))
        if changed.code != module.code:
            found.append(Edit(file, place, module.code, changed.code, module.encoding))
    return found


def _common(markers: Mapping[str, str], tests: Sequence[str]) -> str:
    """Return the marker that all tests of a module want; empty: they differ."""
    kinds = {markers.get(each, "") for each in tests}
    return kinds.pop() if len(kinds) == 1 else ""


def _edited(module: cst.Module, place: str, markers: Mapping[str, str], *, same: str) -> cst.Module:
    marking = _Marking(place, markers, same)
    changed = module.visit(marking)
    if marking.uses_pytest and not _imports_pytest(module):
        changed = _with_import(changed)
    return changed


class _Marking(cst.CSTTransformer):
    """Gives the tests of one module their markers.

    Args:
        place: the module, as node ids name it.
        markers: the wanted markers by node id.
        same: the marker that all tests want; empty: they differ.
    """

    def __init__(self, place: str, markers: Mapping[str, str], same: str) -> None:
        super().__init__()
        self._scope = [place]
        self._markers = markers
        self._same = same
        self._done_at_module = False
        self.uses_pytest = False

    def visit_Module(self, node: cst.Module) -> None:  # noqa: N802 - LibCST's name
        """Find out whether the module's own marker is to be replaced."""
        marks = [each for each in node.body if _sets_only_a_mode(each)]
        self._done_at_module = bool(self._same) and len(marks) == 1

    def visit_ClassDef(self, node: cst.ClassDef) -> None:  # noqa: N802 - LibCST's name
        """Enter a class."""
        self._scope.append(node.name.value)

    def leave_ClassDef(  # noqa: N802 - LibCST's name
        self, original_node: cst.ClassDef, updated_node: cst.ClassDef
    ) -> cst.ClassDef:
        """Leave a class."""
        del original_node
        self._scope.pop()
        return updated_node

    def visit_FunctionDef(self, node: cst.FunctionDef) -> None:  # noqa: N802 - LibCST's name
        """Enter a function: what is defined inside is no test."""
        self._scope.append(node.name.value)

    def leave_FunctionDef(  # noqa: N802 - LibCST's name
        self, original_node: cst.FunctionDef, updated_node: cst.FunctionDef
    ) -> cst.FunctionDef:
        """Mark a test."""
        del original_node
        marker = self._markers.get("::".join(self._scope))
        self._scope.pop()
        if marker is None or self._done_at_module:
            return updated_node
        self.uses_pytest = True
        decorators = list(updated_node.decorators)
        for number, each in enumerate(decorators):
            if _is_mode(each.decorator):
                decorators[number] = each.with_changes(decorator=_mark(marker))
                return updated_node.with_changes(decorators=decorators)
        return updated_node.with_changes(decorators=[cst.Decorator(_mark(marker)), *decorators])

    def leave_Assign(  # noqa: N802 - LibCST's name
        self, original_node: cst.Assign, updated_node: cst.Assign
    ) -> cst.Assign:
        """Replace the module's own marker."""
        del original_node
        if self._done_at_module and len(self._scope) == 1 and _is_pytestmark(updated_node):
            self.uses_pytest = True
            return updated_node.with_changes(value=_mark(self._same))
        return updated_node


def _mark(marker: str) -> cst.Attribute:
    return cst.Attribute(cst.Attribute(cst.Name("pytest"), cst.Name("mark")), cst.Name(marker))


def _is_mode(node: cst.BaseExpression) -> bool:
    """Return whether this is one of the markers, such as ``pytest.mark.stateless``."""
    mark = node.func if isinstance(node, cst.Call) else node
    name = mark.attr if isinstance(mark, cst.Attribute) else mark
    return isinstance(name, cst.Name) and name.value in MODES


def _is_pytestmark(node: cst.CSTNode) -> bool:
    target = m.AssignTarget(target=m.Name("pytestmark"))
    return m.matches(node, m.Assign(targets=[target])) and _is_mode(
        cst.ensure_type(node, cst.Assign).value
    )


def _sets_only_a_mode(statement: cst.CSTNode) -> bool:
    return isinstance(statement, cst.SimpleStatementLine) and any(
        _is_pytestmark(each) for each in statement.body
    )


def _imports_pytest(module: cst.Module) -> bool:
    alias = m.ImportAlias(name=m.Name("pytest"), asname=None)
    return any(
        m.matches(part, m.Import(names=[m.ZeroOrMore(), alias, m.ZeroOrMore()]))
        for statement in module.body
        if isinstance(statement, cst.SimpleStatementLine)
        for part in statement.body
    )


def _with_import(module: cst.Module) -> cst.Module:
    """Import pytest after the docstring and ``from __future__``, before everything else."""
    body = list(module.body)
    future = m.SimpleStatementLine(body=[m.ImportFrom(module=m.Name("__future__"))])
    docstring = m.SimpleStatementLine(body=[m.Expr(value=m.SimpleString())])
    place = 0
    for number, statement in enumerate(body):
        if m.matches(statement, future) or (number == 0 and m.matches(statement, docstring)):
            place = number + 1
    blank = [cst.EmptyLine()] if place else []
    line = cst.parse_statement("import pytest").with_changes(leading_lines=blank)
    if place < len(body) and isinstance(body[place], cst.FunctionDef | cst.ClassDef):
        lines = [cst.EmptyLine(indent=False)] * 2
        body[place] = body[place].with_changes(leading_lines=lines)
    return module.with_changes(body=[*body[:place], line, *body[place:]])
