"""A generated Python project whose values are known without running it, and random edits of it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

_MODULES, _TESTS = 8, 12


@dataclass
class Function:
    """A function: the sum of a number and of what its terms stand for.

    Attributes:
        number: part of the sum.
        terms: kinds and modules: a constant, an attribute, a value made at import, a data file, or
            the function of another module, imported at once or late.
        cached: whether it is memoized.
    """

    number: int
    terms: list[tuple[str, int]]
    cached: bool = False


@dataclass
class Module:
    """One file of the project, with a data file."""

    constant: int
    attribute: int
    data: int
    functions: list[Function]
    comment: int = 0
    made: tuple[int, int] | None = None
    """The module and function whose value it takes when it is imported."""


@dataclass
class Generated:
    """A project of modules that import those before them, and tests that use them.

    Attributes:
        dice: decides everything.
        modules: the files.
        tests: what each test sums up.
        fixtures: what the fixtures of the session and of each module sum up.
    """

    dice: random.Random
    modules: list[Module] = field(default_factory=list)
    tests: list[Function] = field(default_factory=list)
    fixtures: list[Function] = field(default_factory=list)

    @classmethod
    def of(cls, dice: random.Random) -> Generated:
        """Return a project."""
        made = cls(dice)
        for number in range(_MODULES):
            functions = [made._function(number) for _ in range(3)]
            module = Module(dice.randrange(99), dice.randrange(99), dice.randrange(99), functions)
            if number and dice.random() < 0.5:
                module.made = (dice.randrange(number), dice.randrange(3))
            made.modules.append(module)
        made.tests = [made._function(_MODULES) for _ in range(_TESTS)]
        made.fixtures = [made._function(_MODULES) for _ in range(2)]
        return made

    def _function(self, before: int) -> Function:
        """Return a function that uses modules with a smaller number."""
        terms = [self._term(before) for _ in range(self.dice.randrange(3))] if before else []
        return Function(self.dice.randrange(99), terms, cached=self.dice.random() < 0.2)

    def _term(self, before: int) -> tuple[str, int]:
        kinds = ("constant", "attribute", "made", "data", "call0", "call1", "late2")
        return self.dice.choice(kinds), self.dice.randrange(before)

    def edit(self) -> None:
        """Change something at random."""
        module = self.dice.choice(self.modules)
        number = self.modules.index(module)
        what = self.dice.randrange(8)
        function = self.dice.choice(module.functions)
        if what == 0:
            module.constant += 1
        elif what == 1:
            module.attribute += 1
        elif what == 2:
            module.data += 1
        elif what == 3:
            module.comment += 1
        elif what == 4 and number:
            function.terms.append(self._term(number))
        elif what == 5 and function.terms:
            function.terms.pop()
        elif what == 6:
            self.dice.choice([*self.tests, *self.fixtures]).number += 1
        else:
            function.number += 1

    def value(self, function: Function) -> int:
        """Return the value of a function."""
        return function.number + sum(self._term_value(*term) for term in function.terms)

    def _term_value(self, kind: str, number: int) -> int:
        module = self.modules[number]
        if kind == "made":
            if module.made is None:
                return 0
            other, function = module.made
            return self.value(self.modules[other].functions[function])
        if kind in ("constant", "attribute", "data"):
            return int(getattr(module, kind))
        return self.value(module.functions[int(kind[-1])])

    def test_values(self) -> dict[str, int]:
        """Return what each test computes."""
        session, of_module = map(self.value, self.fixtures)
        return {
            f"test_{number}": self.value(test) + (session, of_module, 0)[number % 3]
            for number, test in enumerate(self.tests)
        }

    def test_code(self) -> dict[str, object]:
        """Return what each test runs and reads: what is outside functions runs in all of them."""
        outside = [
            (each.constant, each.attribute, each.made, [f.cached for f in each.functions])
            for each in self.modules
        ]
        made = [
            self._run_by(self.modules[m.made[0]].functions[m.made[1]])
            for m in self.modules
            if m.made
        ]
        found: dict[str, object] = {}
        for number, test in enumerate(self.tests):
            wide = self.fixtures[number % 3 : number % 3 + 1]
            found[f"test_{number}"] = (outside, made, *map(self._run_by, (test, *wide)))
        return found

    def _run_by(self, function: Function) -> object:
        """Return a function's body, and those that it calls, with the data that they read."""
        parts: list[object] = [function.number, list(function.terms)]
        for kind, number in function.terms:
            module = self.modules[number]
            if kind == "data":
                parts.append(module.data)
            elif kind not in ("constant", "attribute", "made"):
                parts.append(self._run_by(module.functions[int(kind[-1])]))
        return parts

    def write(self, directory: Path) -> None:
        """Write the files that changed."""
        for name, text in self._files():
            file = directory / name
            if not file.exists() or file.read_text() != text:
                file.write_text(text)

    def _files(self) -> Iterator[tuple[str, str]]:
        for number, module in enumerate(self.modules):
            yield f"m{number}.txt", str(module.data)
            yield f"m{number}.py", self._module_text(number, module)
        yield "conftest.py", self._conftest_text()
        for number in range(0, _TESTS, 4):
            yield f"test_{number}.py", self._tests_text(number)

    def _module_text(self, number: int, module: Module) -> str:
        lines = [f"# {module.comment}", "import functools, pathlib", *_imports(number)]
        lines += [
            f"C = {module.constant}",
            "class K:",
            f"    A = {module.attribute}",
            "def data():",
        ]
        lines += [f"    return int(pathlib.Path(__file__).with_name('m{number}.txt').read_text())"]
        for each, function in enumerate(module.functions):
            lines += ["@functools.cache"] if function.cached else []
            lines += [f"def f{each}():", *_body(function)]
        made = f"m{module.made[0]}.f{module.made[1]}()" if module.made else "0"
        return "\n".join([*lines, f"MADE = {made}", ""])

    def _conftest_text(self) -> str:
        lines = ["import pytest", *_imports(_MODULES)]
        for scope, function in zip(("session", "module"), self.fixtures, strict=True):
            lines += [f"@pytest.fixture(scope='{scope}')", f"def of_{scope}():", *_body(function)]
        return "\n".join([*lines, ""])

    def _tests_text(self, first: int) -> str:
        lines = ["import os, pathlib", *_imports(_MODULES)]
        for number in range(first, first + 4):
            wide = ("of_session", "of_module", "")[number % 3]
            lines += [f"def sum_{number}():", *_body(self.tests[number])]
            lines += [f"def test_{number}({wide}):", f"    found = sum_{number}() + {wide or 0}"]
            lines += [f"    place = pathlib.Path(os.environ['VALUES'], 'test_{number}')"]
            lines += ["    place.write_text(str(found))"]
        return "\n".join([*lines, ""])


def _imports(before: int) -> list[str]:
    return [f"import m{number}" for number in range(before)]


def _body(function: Function) -> list[str]:
    lines, parts = [], [str(function.number)]
    for kind, number in function.terms:
        if kind.startswith("late"):
            lines.append(f"    from m{number} import f{kind[-1]} as late{number}")
            parts.append(f"late{number}()")
        else:
            names = {"constant": "C", "attribute": "K.A", "made": "MADE", "data": "data()"}
            parts.append(f"m{number}.{names.get(kind) or f'f{kind[-1]}()'}")
    return [*lines, f"    return {' + '.join(parts)}"]
