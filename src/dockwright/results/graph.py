"""Which files of a project the import of a file brings in."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterable, Mapping
from functools import cache
from pathlib import Path
from types import ModuleType

from dockwright.results.sources import Import, Sources
from dockwright.results.witness import INSTALLED, OWN


def loaded_files(root: Path) -> dict[str, str]:
    """Return the project's files that are imported now, by module name.

    Files outside the project that no distribution installed are absolute paths. dockwright itself
    counts as a distribution, unless it is the project.
    """
    inside, found = f"{root}/", {}
    installed = INSTALLED if OWN.is_relative_to(root) else (*INSTALLED, f"{OWN}/")
    for name, module in list(sys.modules.items()):
        file = _file(module)
        if file is not None and not file.startswith(installed):
            found[name] = file.removeprefix(inside)
    return found


def _file(module: ModuleType) -> str | None:
    file = getattr(module, "__file__", None)
    return _real(file) if isinstance(file, str) and file.startswith("/") else None


@cache
def _real(path: str) -> str:
    return os.path.realpath(path)


class ImportGraph:
    """The imports between the files that are loaded.

    Args:
        sources: reads the files.
        modules: the loaded files by module name; also an attribute.
        ran: the lines that ran, by file: imports in functions count once they ran.
        tests: the files that pytest collected.
    """

    def __init__(
        self,
        sources: Sources,
        modules: Mapping[str, str],
        ran: Mapping[str, set[int]],
        tests: Collection[str],
    ) -> None:
        self._sources = sources
        self.modules = modules
        self._ran = ran
        self._names: dict[str, str] = {file: name for name, file in modules.items()}
        self._edges: dict[str, set[str]] = {}
        self._closures: dict[str, frozenset[str]] = {}
        explained = {f for file in {*modules.values(), *tests} for f in self.edges(file)}
        unexplained = {*modules.values()} - explained - {*tests}
        self.unexplained = frozenset(each for each in unexplained if not _is_test(each))
        """What is loaded though nothing that is known imports it: it counts for every test."""

    def edges(self, file: str) -> set[str]:
        """Return the files that a file imports itself."""
        if file not in self._edges:
            found: set[str] = set()
            self._edges[file] = found
            source = self._sources.get(file) if not file.startswith("/") else None
            if source is not None:
                for each in source.imports:
                    if not each.line or each.line in self._ran.get(file, ()):
                        found.update(self._resolve(file, each))
                if source.imports_by_name:
                    found.update(name for name in self._names if not _is_test(name))
            found.discard(file)
        return self._edges[file]

    def closure(self, files: Iterable[str]) -> set[str]:
        """Return files and all that they import, directly or not."""
        found: set[str] = set()
        for file in files:
            if file not in self._closures:
                self._closures[file] = self._reached(file)
            found |= self._closures[file]
        return found

    def _reached(self, file: str) -> frozenset[str]:
        found, left = {file}, [file]
        while left:
            new = self.edges(left.pop()) - found
            found |= new
            left += new
        return frozenset(found)

    def _resolve(self, file: str, found: Import) -> Iterable[str]:
        base = found.module
        if found.level:
            own = self._names.get(file, "")
            package = own if Path(file).name == "__init__.py" else own.rpartition(".")[0]
            for _ in range(found.level - 1):
                package = package.rpartition(".")[0]
            base = f"{package}.{base}" if base else package
        parts = base.split(".")
        names = [".".join(parts[:count]) for count in range(1, len(parts) + 1)]
        names += [f"{base}.{name}" for name in found.names]
        if "*" in found.names:
            names += [name for name in self.modules if name.startswith(f"{base}.")]
        return [self.modules[name] for name in names if name in self.modules]


def _is_test(file: str) -> bool:
    name = Path(file).name
    return name.startswith("test_") or name.endswith("_test.py") or name == "conftest.py"
