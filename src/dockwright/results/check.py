"""Whether a saved result still holds: nothing that it depended on has changed."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from dockwright.results.environment import digest, names_in, own_names
from dockwright.results.sources import Source, Sources
from dockwright.results.store import Result
from dockwright.results.witness import TOOLS

if TYPE_CHECKING:
    from dockwright.results.stacks import StackStates


class Present:
    """The project and its surroundings as they are now; everything is looked at once.

    Args:
        root: the project's root directory.
        environ: the environment of the run.
        stacks: returns what finds out what stacks would contain; called if a test uses one.
    """

    def __init__(
        self, root: Path, environ: Mapping[str, str], stacks: Callable[[], StackStates]
    ) -> None:
        self.root = root
        self.sources = Sources(root)
        self.stacks = stacks
        self._environ = dict(environ)
        self._files: dict[str, str] = {}
        self._changed_ns: dict[str, int | None] = {}
        self._listings: dict[str, str] = {}
        self._patterns: dict[str, str] = {}
        self._modules: dict[str, str | None] = {}
        self._conftests: dict[Path, tuple[str, ...]] = {}
        self._own_names = own_names(environ)
        self._names: dict[tuple[str, int | None], frozenset[str]] = {}
        self._hashes = {name: digest(value) for name, value in environ.items()}

    def why_not(self, result: Result, directory: Path) -> str:
        """Return the first change that a result does not allow; empty: it still holds.

        Args:
            result: the result.
            directory: of the test's file.
        """
        return next(self._changes(result, directory), "")

    def _changes(self, result: Result, directory: Path) -> Iterator[str]:
        for name, (content, blocks) in result.code.items():
            if not self._is_same(name, content, blocks):
                yield f"{name} changed"
        if self.conftests(directory) != result.conftests:
            yield "a conftest.py was added or removed"
        yield from _differences(result.files, self.file)
        yield from _differences(result.listings, self.listing)
        yield from _differences(result.patterns, self.pattern)
        for name, file in result.modules.items():
            if self._module(name) not in (None, file):
                yield f"{name} is imported from another file"
        now = self.variables(result.code)
        for name in sorted({*now, *result.variables}):
            if now.get(name) != result.variables.get(name):
                yield f"variable {name} changed"
        for name, inputs in result.stacks.items():
            state = self.stacks().of(name)
            if state.unknown:
                yield state.unknown
            for key in sorted({*inputs, *state.inputs}):
                if inputs.get(key) != state.inputs.get(key):
                    yield f"stack {name}: {key} changed"

    def _module(self, name: str) -> str | None:
        if name not in self._modules:
            self._modules[name] = _module_file(name, self.root)
        return self._modules[name]

    def _is_same(self, name: str, content: str, blocks: list[int] | None) -> bool:
        source = self.sources.get(name)
        if source is None:
            return False
        if source.digest == content:
            return True
        return blocks is not None and source.checksums.issuperset(blocks)

    def conftests(self, directory: Path) -> tuple[str, ...]:
        """Return the directories from a test's own upwards that have a ``conftest.py``."""
        if directory not in self._conftests:
            self._conftests[directory] = tuple(
                os.path.relpath(each, self.root)
                for each in (directory, *directory.parents)
                if (each == self.root or self.root in each.parents) and self._has_conftest(each)
            )
        return self._conftests[directory]

    def _has_conftest(self, directory: Path) -> bool:
        return bool(self.file(str(directory / "conftest.py")))

    def file(self, path: str) -> str:
        """Return a hash of a file's content; empty: it cannot be read."""
        if path not in self._files:
            try:
                content = (self.root / path).read_bytes()
                self._files[path] = hashlib.sha256(content).hexdigest()
            except OSError:
                self._files[path] = ""
        return self._files[path]

    def changed_ns(self, path: str) -> int | None:
        """Return when a file was written or replaced; None: it cannot be looked at."""
        if path not in self._changed_ns:
            try:
                self._changed_ns[path] = Path(path).stat().st_ctime_ns
            except OSError:
                self._changed_ns[path] = None
        return self._changed_ns[path]

    def listing(self, path: str) -> str:
        """Return a hash of the names in a directory; empty: it cannot be listed."""
        if path not in self._listings:
            try:
                names = sorted({each.name for each in (self.root / path).iterdir()} - TOOLS)
                self._listings[path] = digest("\0".join(names))
            except OSError:
                self._listings[path] = ""
        return self._listings[path]

    def pattern(self, pattern: str) -> str:
        """Return a hash of the files that a declared pattern matches, or of a variable."""
        if pattern not in self._patterns:
            self._patterns[pattern] = self._matched(pattern)
        return self._patterns[pattern]

    def _matched(self, pattern: str) -> str:
        if pattern.startswith("env:"):
            return digest(repr(self._environ.get(pattern.removeprefix("env:"))))
        path = self.root / pattern
        matches = sorted(Path(path.anchor).glob(str(path.relative_to(path.anchor))))
        files = [f for each in matches for f in (each.rglob("*") if each.is_dir() else [each])]
        known = [
            f"{os.path.relpath(file, self.root)}\0{self.file(str(file))}"
            for file in sorted({*files})
            if file.is_file()
        ]
        return digest("\0".join(known))

    def variables(self, code: Mapping[str, tuple[str, list[int] | None]]) -> dict[str, str]:
        """Return hashes of the environment variables that code may read.

        Args:
            code: the blocks that count, by file, as a `Result` has them.
        """
        names = set(self._own_names)
        for file, (_, blocks) in code.items():
            source = self.sources.get(file)
            if source is not None and self._names_of(source, file, None):
                names.update(*(self._names_of(source, file, p) for p in source.parts_of(blocks)))
        return {name: self._hashes[name] for name in names}

    def names_any(self, code: Iterable[str], words: Mapping[str, frozenset[str]]) -> str:
        """Return a distribution that files name, or may load by a name that they do not say.

        Args:
            code: the files.
            words: what names each distribution.
        """
        for file in code if words else ():
            source = self.sources.get(file)
            for name, found in words.items():
                if source is None or source.imports_by_name or source.mentions(found):
                    return name
        return ""

    def _names_of(self, source: Source, file: str, part: int | None) -> frozenset[str]:
        """Return the variables that a part of a file names, or all of it."""
        if (file, part) not in self._names:
            words = source.words if part is None else source.words_of(part)
            self._names[file, part] = names_in(words, self._environ)
        return self._names[file, part]


def _differences(before: Mapping[str, str], now: object) -> Iterator[str]:
    for name, value in before.items():
        if callable(now) and now(name) != value:
            yield f"{name} changed"


def _module_file(name: str, root: Path) -> str | None:
    """Return the file that a module is imported from now; None: it is not known without it."""
    module = sys.modules.get(name)
    file = getattr(module, "__file__", None)
    if file is None and module is None and "." not in name:
        from importlib.machinery import PathFinder

        spec = PathFinder.find_spec(name)
        file = spec.origin if spec else ""
    if file is None:
        return None
    return os.path.realpath(file).removeprefix(f"{root}/") if file else ""
