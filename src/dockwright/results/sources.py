"""What is in a project's Python files: testmon's blocks, imports, names, and what keeps state."""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeGuard

if TYPE_CHECKING:
    from testmon.process_code import Module

_WORD = re.compile(rb"[A-Za-z_][A-Za-z0-9_]*")
_KEEPS_STATE = re.compile(r"cache|singleton|once|memo", re.IGNORECASE)
_DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")
_WRITES = frozenset(
    {"add", "append", "appendleft", "clear", "discard", "extend", "insert", "pop", "popitem"}
    | {"put", "remove", "setdefault", "update"}
)
_STATELESS = frozenset({"Decimal", "Fraction", "Path", "PurePath", "TypeVar", "UUID"})
_DYNAMIC = frozenset({"import_module", "__import__", "run_module", "import_string", "entry_points"})


@dataclass(frozen=True, slots=True)
class Import:
    """An import of a file.

    Attributes:
        line: where it is inside a function; 0: it runs when the file is imported.
        level: how many packages up it is relative to; 0: it is absolute.
        module: what it names.
        names: what it takes from the module, perhaps modules themselves.
    """

    line: int
    level: int
    module: str
    names: tuple[str, ...] = ()


class Source:
    """One file, as it is on the disk now."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.content = path.read_bytes()
        self.digest = hashlib.sha256(self.content).hexdigest()

    @cached_property
    def is_python(self) -> bool:
        """Whether it is Python that testmon can divide into blocks."""
        return self.path.suffix == ".py" and bool(self._module.blocks)

    @cached_property
    def _module(self) -> Module:
        from testmon.process_code import Module, bytes_to_string_and_fsha

        text, fsha = bytes_to_string_and_fsha(self.content)
        return Module(source_code=text, ext="py", fs_fsha=fsha, filename=self.path.name)

    @cached_property
    def checksums(self) -> frozenset[int]:
        """The checksums of all blocks: function bodies, and the rest of the module."""
        return frozenset(self._module.checksums) if self.is_python else frozenset()

    def checksums_of(self, lines: Iterable[int]) -> list[int] | None:
        """Return the checksums of the module and of the functions with these lines.

        None: the file cannot be divided, so that all of it counts.
        """
        from testmon.process_code import create_fingerprint

        if not self.is_python:
            return None
        inside = self._body_lines.intersection(lines)
        found = create_fingerprint(self._module, {*inside, *self._bare_lines})
        return sorted({*found, self._module.method_checksums[-1]})  # the last one: the module

    @cached_property
    def _body_lines(self) -> frozenset[int]:
        """The lines of function bodies.

        For testmon a body ends where the next function begins: a decorator's line belongs to it.
        """
        return frozenset(
            line for node in ast.walk(self._tree) if _is_function(node) for line in _lines(node)
        )

    @cached_property
    def _bare_lines(self) -> list[int]:
        """The lines of functions without a statement: no tracer sees that they run."""
        return [
            node.body[0].lineno
            for node in ast.walk(self._tree)
            if _is_function(node) and all(_is_constant(each) for each in node.body)
        ]

    @cached_property
    def _tree(self) -> ast.Module:
        try:
            return ast.parse(self.content)
        except (SyntaxError, ValueError):
            return ast.Module([], [])

    @cached_property
    def imports(self) -> list[Import]:
        """All imports, and modules that are named in texts."""
        return [*_imports(self._tree, 0)] if self.path.suffix == ".py" else []

    @cached_property
    def imports_by_name(self) -> bool:
        """Whether it may import modules that it names nowhere."""
        return any(
            getattr(node, "attr", getattr(node, "id", "")) in _DYNAMIC
            for node in ast.walk(self._tree)
            if isinstance(node, ast.Attribute | ast.Name)
        )

    @cached_property
    def state_lines(self) -> frozenset[int]:
        """The lines of functions whose result may be kept and used by later tests."""
        top = dict(found for node in self._tree.body for found in _assigned(node))
        return frozenset(
            line
            for node in ast.walk(self._tree)
            if _is_function(node) and _keeps(node, top)
            for line in _lines(node)
        )

    @cached_property
    def words(self) -> frozenset[bytes]:
        """The words in it."""
        return frozenset(_WORD.findall(self.content))

    def mentions(self, names: Iterable[str]) -> bool:
        """Return whether one of these names is a word in it."""
        return any(name.encode() in self.words for name in names)

    def parts_of(self, blocks: Iterable[int] | None) -> frozenset[int]:
        """Return the parts with the words that count: 0 for the module, else lines of functions.

        Args:
            blocks: the checksums of the blocks that count; None: all of the file does.
        """
        if blocks is None:
            return frozenset({0, *self._texts})
        starts = (self._starts.get(each) for each in blocks)
        return frozenset({0, *(start for start in starts if start in self._texts)})

    def words_of(self, part: int) -> frozenset[bytes]:
        """Return the words of a part: of the module without functions, or of one function."""
        text = self._texts[part] if part else self._module_text
        return frozenset(_WORD.findall(text))

    @cached_property
    def _starts(self) -> dict[int, int]:
        """The first lines of blocks, by their checksums."""
        found = zip(self._module.checksums, self._module.blocks, strict=True)
        return {checksum: block.start for checksum, block in found}

    @cached_property
    def _texts(self) -> dict[int, bytes]:
        """The bodies of functions by their first lines, nested functions included."""
        lines = self.content.splitlines()
        return {
            range_[0]: b"\n".join(lines[range_[0] - 1 : range_[-1]])
            for node in ast.walk(self._tree)
            if _is_function(node) and (range_ := _lines(node))[0] > _header_end(node)
        }

    @cached_property
    def _module_text(self) -> bytes:
        inside = {
            line
            for node in ast.walk(self._tree)
            if _is_function(node) and node.body[0].lineno in self._texts
            for line in _lines(node)
        }
        lines = enumerate(self.content.splitlines(), 1)
        return b"\n".join(line for number, line in lines if number not in inside)


class Sources:
    """The files of a project, each read once.

    Args:
        root: the project's root directory.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._known: dict[str, Source | None] = {}

    def get(self, name: str) -> Source | None:
        """Return a file, relative to the root or absolute; None: it cannot be read."""
        if name not in self._known:
            try:
                self._known[name] = Source(self._root / name)
            except OSError:
                self._known[name] = None
        return self._known[name]


_Function = ast.FunctionDef | ast.AsyncFunctionDef


def _is_function(node: ast.AST) -> TypeGuard[_Function]:
    return isinstance(node, _Function)


def _lines(function: _Function) -> range:
    """Return the lines of a function's body."""
    return range(function.body[0].lineno, (function.end_lineno or function.lineno) + 1)


def _header_end(function: _Function) -> int:
    """Return the last line of what stands before a function's body."""
    header = [*ast.walk(function.args), *([function.returns] if function.returns else [])]
    return max(function.lineno, *(getattr(each, "end_lineno", 0) or 0 for each in header))


def _is_constant(node: ast.stmt) -> bool:
    return isinstance(node, ast.Pass) or (
        isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    )


def _imports(node: ast.AST, line: int) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        # what a function imports counts once that line has run
        at = child.lineno if line and isinstance(child, ast.stmt) else line
        if isinstance(child, ast.Import):
            yield from (Import(at, 0, each.name) for each in child.names)
        elif isinstance(child, ast.ImportFrom):
            names = tuple(each.name for each in child.names)
            yield Import(at, child.level, child.module or "", names)
        elif isinstance(child, ast.Constant) and isinstance(child.value, str):
            if _DOTTED.fullmatch(child.value):
                yield Import(0, 0, child.value)
        elif _is_function(child):
            for part in child.body:
                yield from _imports(ast.Module([part], []), part.lineno)
            rest: list[ast.AST] = [*child.decorator_list, child.args]
            yield from (found for each in rest for found in _imports(each, line))
        else:
            yield from _imports(child, at)


def _assigned(node: ast.stmt) -> Iterator[tuple[str, ast.expr | None]]:
    """Yield the names that a statement of a module binds, with their values."""
    targets: list[ast.expr] = []
    if isinstance(node, ast.Assign):
        targets = [*node.targets]
    elif isinstance(node, ast.AnnAssign):
        targets = [node.target]
    found = (each for target in targets for each in ast.walk(target))
    value = getattr(node, "value", None)
    yield from ((each.id, value) for each in found if isinstance(each, ast.Name))


def _keeps(function: _Function, top: Mapping[str, ast.expr | None]) -> bool:
    """Return whether a function is memoized, or writes to something of its module or class.

    Args:
        function: the function.
        top: the names that its module binds.
    """
    if any(_KEEPS_STATE.search(ast.unparse(each)) for each in function.decorator_list):
        return True
    for node in ast.walk(function):
        if isinstance(node, ast.Global):
            return True
        if isinstance(node, ast.Attribute | ast.Subscript) and isinstance(node.ctx, ast.Store):
            if _base(node) in {"cls", *top}:
                return True
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            name = _base(node.func)
            if name in top and (node.func.attr in _WRITES or _has_state(top[name])):
                return True
    return False


def _base(node: ast.AST) -> str:
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def _has_state(value: ast.expr | None) -> bool:
    """Return whether a value is an instance of a class that may remember something."""
    if not isinstance(value, ast.Call):
        return False
    name = ast.unparse(value.func).rpartition(".")[2]
    return name[:1].isupper() and name not in _STATELESS
