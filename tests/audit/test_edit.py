"""Markers are written into sources so that nothing else changes, and only once."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from dockwright.audit import edit, edits, marker_in
from dockwright.errors import UsageError


def written(tmp_path: Path, text: str, **wanted: str) -> str:
    """Return what a module becomes whose tests want these markers, and check that it stays so."""
    file = tmp_path / "test_it.py"
    file.write_text(textwrap.dedent(text).lstrip("\n"))
    ids = {f"test_it.py::{name.replace('__', '::')}": marker for name, marker in wanted.items()}
    for each in edits(tmp_path, ids, list(ids)):
        each.write()
    assert edits(tmp_path, ids, list(ids)) == []
    assert {nodeid: marker_in(tmp_path, nodeid) or "stateful" for nodeid in ids} == ids
    return file.read_text()


def test_a_marker_is_added_to_a_test_without_one(tmp_path: Path) -> None:
    text = '''
    """Tests."""

    import pytest


    # Reads only.
    @pytest.mark.slow  # for now
    def test_reads(stack):
        assert  stack   # odd, but mine
    '''
    assert written(tmp_path, text, test_reads="stateless") == textwrap.dedent(
        '''
    """Tests."""

    import pytest


    # Reads only.
    @pytest.mark.stateless
    @pytest.mark.slow  # for now
    def test_reads(stack):
        assert  stack   # odd, but mine
    '''
    ).lstrip("\n")


@pytest.mark.parametrize(
    "old",
    ["pytest.mark.stateless", "stateless", "dockwright.stateless", "pytest.mark.stateless()"],
)
def test_a_wrong_marker_is_replaced(tmp_path: Path, old: str) -> None:
    text = f"import pytest\n\n@{old}\ndef test_writes(stack): ...\n"
    new = "import pytest\n\n@pytest.mark.stateful\ndef test_writes(stack): ...\n"
    assert written(tmp_path, text, test_writes="stateful") == new


def test_a_test_that_needs_no_marker_gets_none(tmp_path: Path) -> None:
    text = "def test_writes(stack): ...\n"
    assert written(tmp_path, text, test_writes="stateful") == text


def test_pytest_is_imported_where_it_is_not(tmp_path: Path) -> None:
    head = '"""Tests."""\n\nfrom __future__ import annotations\n\n'
    text = f"{head}import os\n\ndef test_a(stack): ...\n"
    assert written(tmp_path, text, test_a="stateless") == (
        f"{head}import pytest\n\nimport os\n\n@pytest.mark.stateless\ndef test_a(stack): ...\n"
    )
    assert written(tmp_path, "def test_a(stack): ...\n", test_a="stateless") == (
        "import pytest\n\n\n@pytest.mark.stateless\ndef test_a(stack): ...\n"
    )


def test_the_marker_of_a_module_is_replaced_if_all_its_tests_agree(tmp_path: Path) -> None:
    text = """
    import pytest

    pytestmark = pytest.mark.stateful

    def test_a(stack): ...
    class TestIt:
        def test_b(self, stack): ...
    """
    after = written(tmp_path, text, test_a="stateless", TestIt__test_b="stateless")
    assert after == textwrap.dedent(text).lstrip("\n").replace("stateful", "stateless")
    mixed = written(tmp_path, text, test_a="stateless", TestIt__test_b="stateful")
    assert "pytestmark = pytest.mark.stateful\n\n@pytest.mark.stateless\ndef test_a" in mixed


def test_tests_in_classes_and_asynchronous_ones_are_found(tmp_path: Path) -> None:
    text = """
    import pytest

    @pytest.mark.stateful
    class TestIt:
        async def test_a(self, stack):
            def test_b(): ...
    """
    after = written(tmp_path, text, TestIt__test_a="stateless")
    assert "    @pytest.mark.stateless\n    async def test_a" in after


@pytest.mark.parametrize(
    "head",
    [
        b"# -*- coding: latin-1 -*-\n# \xe9\n",
        b"\xef\xbb\xbf",
        b"# CRLF\r\n",
        b"if True:\n    x = 1\n",
    ],
)
def test_encodings_and_line_ends_stay(tmp_path: Path, head: bytes) -> None:
    end = b"\r\n" if b"\r" in head else b"\n"
    source = head + end.join([b"import pytest", b"@pytest.mark.stateless", b"def test_a(s): ..."])
    file = tmp_path / "test_it.py"
    file.write_bytes(source)
    [change] = edits(tmp_path, {"test_it.py::test_a": "stateful"}, ["test_it.py::test_a"])
    change.write()
    assert file.read_bytes() == source.replace(b"stateless", b"stateful")


def test_a_file_that_libcst_cannot_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "test_it.py").write_text("def test_a(stack): ...\n")
    monkeypatch.setattr(edit, "marker_in", lambda *_: "")
    (tmp_path / "test_it.py").write_text("def test_a(stack): (\n")
    with pytest.raises(UsageError, match=r"test_it\.py: LibCST cannot read this file: "):
        edits(tmp_path, {"test_it.py::test_a": "stateless"}, ["test_it.py::test_a"])


@pytest.mark.parametrize(
    ("text", "marker"),
    [
        ("def test_a(stack): ...", ""),
        ("@stateless()\ndef test_a(stack): ...", "stateless"),
        ("pytestmark: object = stateless\ndef test_a(stack): ...", "stateless"),
        ("pytestmark = []\npytestmark += [stateless]\ndef test_a(stack): ...", "stateless"),
        ("if X:\n  @stateless\n  def test_a(stack): ...\nelse:\n  Y = 1", "stateless"),
        ("try:\n  X = 1\nexcept OSError:\n  def test_a(stack): ...", ""),
        ("@stateless\ndef test_a(stack): ...", "stateless"),
        (
            "pytestmark = [pytest.mark.stateful, pytest.mark.slow]\ndef test_a(stack): ...",
            "stateful",
        ),
        ("pytestmark = pytest.mark.stateful\n@mark.stateless\ndef test_a(stack): ...", "stateless"),
        ("@a.stateless\n@a.stateful\ndef test_a(stack): ...", None),
        ("def test_other(stack): ...", None),
        ("def test_a(stack: ...", None),
    ],
)
def test_the_closest_marker_is_read_from_the_source(
    tmp_path: Path, text: str, marker: str | None
) -> None:
    (tmp_path / "test_it.py").write_text(text)
    assert marker_in(tmp_path, "test_it.py::test_a[one::two]") == marker
    assert marker_in(tmp_path, "missing.py::test_a") is None
