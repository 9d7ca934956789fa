"""Modules are changed when they are imported, and not a moment earlier."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from dockwright.compat.imports import ChangesOnImport

NAME = "dockwright_test_of_changes"


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    (tmp_path / f"{NAME}.py").write_text("value = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield NAME
    sys.modules.pop(NAME, None)


def grow(module: ModuleType) -> None:
    module.value += 1  # type: ignore[attr-defined]  # the file above has it


def test_a_module_is_changed_after_its_own_code(module: str) -> None:
    changes = ChangesOnImport({module: grow})
    changes.install()
    try:
        assert module not in sys.modules
        imported = importlib.import_module(module)
        assert imported.value == 2
        assert imported.__spec__ is not None
        assert type(imported.__spec__.loader).__module__ != "dockwright.compat.imports"
    finally:
        changes.uninstall()
    assert changes not in sys.meta_path


def test_a_module_that_is_imported_already_is_changed_at_once(module: str) -> None:
    imported = importlib.import_module(module)
    changes = ChangesOnImport({module: grow})
    changes.install()
    assert imported.value == 2
    assert changes not in sys.meta_path


def test_after_the_run_modules_are_imported_as_they_are(module: str) -> None:
    changes = ChangesOnImport({module: grow})
    changes.install()
    changes.uninstall()
    assert importlib.import_module(module).value == 1
