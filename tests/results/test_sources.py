"""What is found in Python files, in environment variables and in installed distributions."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from dockwright.results.environment import names_in, own_names
from dockwright.results.graph import ImportGraph
from dockwright.results.sources import Source, Sources


def source(directory: Path, text: str) -> Source:
    file = directory / "module.py"
    file.write_text(textwrap.dedent(text).lstrip("\n"))
    return Source(file)


@pytest.mark.parametrize(
    "change",
    [
        ("return 1", "return 2"),
        ("pass", "raise ValueError"),
        ('"""Nothing."""', "raise ValueError"),
        ("LIMIT = 1", "LIMIT = 2"),
        ("part=0", "part=1"),
        ("@decorated", "@decorated(1)"),
    ],
)
def test_a_change_in_code_that_ran_changes_a_checksum(
    tmp_path: Path, change: tuple[str, str]
) -> None:
    text = '''
        LIMIT = 1
        @decorated
        def ran(part=0):
            return 1
        def empty():
            pass
        def documented():
            """Nothing."""
        '''
    blocks = source(tmp_path, text).checksums_of({4})
    assert blocks is not None
    assert source(tmp_path, text).checksums.issuperset(blocks)
    assert not source(tmp_path, text.replace(*change)).checksums.issuperset(blocks)


@pytest.mark.parametrize(
    "change", [("return 2", "return 3"), ("LIMIT", "# more\nLIMIT"), ("def other", "\n\ndef other")]
)
def test_a_change_in_code_that_did_not_run_changes_no_checksum(
    tmp_path: Path, change: tuple[str, str]
) -> None:
    text = "LIMIT = 1\ndef ran():\n    return 1\ndef other():\n    return 2\n"
    blocks = source(tmp_path, text).checksums_of({3})
    assert blocks is not None
    assert source(tmp_path, text.replace(*change)).checksums.issuperset(blocks)


@pytest.mark.parametrize("text", ["", "# only a comment\n", "def broken(:\n"])
def test_a_file_without_blocks_counts_as_a_whole(tmp_path: Path, text: str) -> None:
    assert source(tmp_path, text).checksums_of({1}) is None


def test_the_line_of_a_decorator_is_not_one_of_the_function_before(tmp_path: Path) -> None:
    text = "def first():\n    return 1\n@decorated\ndef second():\n    return 2\n"
    assert source(tmp_path, text).checksums_of({3}) == source(tmp_path, text).checksums_of(())


@pytest.mark.parametrize(
    ("body", "keeps"),
    [
        ("global LIMIT; LIMIT = 2", True),
        ("KNOWN['a'] = 1", True),
        ("KNOWN.setdefault('a', 1)", True),
        ("POOL.lease()", True),
        ("cls.made = 1", True),
        ("KNOWN.get('a')", False),
        ("HERE.read_text()", False),
        ("local = {}; local['a'] = 1", False),
        ("self.amount = 1", False),
        ("return KNOWN['a']", False),
    ],
)
def test_functions_that_keep_state_are_detected(tmp_path: Path, body: str, *, keeps: bool) -> None:
    head = "LIMIT = 1\nKNOWN = {}\nPOOL = Pool()\nHERE = Path(__file__)\ndef f(self, cls):\n    "
    assert bool(source(tmp_path, head + body + "\n").state_lines) == keeps


@pytest.mark.parametrize(
    "decorator", ["cache", "functools.lru_cache(maxsize=1)", "cached_property"]
)
def test_memoized_functions_keep_state(tmp_path: Path, decorator: str) -> None:
    assert source(tmp_path, f"@{decorator}\ndef f():\n    return 1\n").state_lines == {3}


def files(directory: Path, **texts: str) -> tuple[Sources, dict[str, str]]:
    modules = {}
    for name, text in texts.items():
        path = directory / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        modules[name.replace("__", ".")] = str(path.relative_to(directory))
    return Sources(directory), modules


def closure(sources: Sources, modules: dict[str, str], ran: dict[str, set[int]]) -> set[str]:
    found = ImportGraph(sources, modules, ran, {"test_it.py"})
    return found.closure(["test_it.py"]) | found.unexplained


@pytest.mark.parametrize(
    "text",
    [
        "import a",
        "from a import x",
        "import a as b",
        "try:\n    import a\nexcept ImportError:\n    pass",
        "class K:\n    import a",
        "def f(x=__import__('a')):\n    pass",
        "def f():\n    import a",
        "import importlib\ndef f(name):\n    return importlib.import_module(name)",
    ],
)
def test_all_forms_of_imports_are_followed(tmp_path: Path, text: str) -> None:
    sources, modules = files(tmp_path, a="import b", b="", test_it=text, c="import d", d="")
    found = closure(sources, modules, {"test_it.py": {2, 3}})
    assert found >= {"test_it.py", "a.py", "b.py"}


def test_an_import_in_a_function_that_did_not_run_does_not_count(tmp_path: Path) -> None:
    sources, modules = files(tmp_path, a="", test_it="def f():\n    import a\n", other="import a")
    found = ImportGraph(sources, modules, {}, {"test_it.py"})
    assert found.closure(["test_it.py"]) == {"test_it.py"}


def test_a_module_that_no_file_imports_counts_for_all(tmp_path: Path) -> None:
    sources, modules = files(tmp_path, settings="", test_it="")
    assert closure(sources, modules, {}) == {"test_it.py", "settings.py"}


def test_names_in_texts_and_relative_imports_are_followed(tmp_path: Path) -> None:
    sources, modules = files(
        tmp_path, app__a="from . import b", app__b="from .c import x", app__c="", test_it="'app.a'"
    )
    found = ImportGraph(sources, modules, {}, {"test_it.py"}).closure(["test_it.py"])
    assert found == {"test_it.py", "app/a.py", "app/b.py", "app/c.py"}


@pytest.mark.parametrize(
    ("text", "name", "counts"),
    [
        (b"os.environ['SHOP_MODE']", "SHOP_MODE", True),
        (b"class Settings: shop_mode: str", "SHOP_MODE", True),
        (b"f'SHOP_{name}'", "SHOP_MODE", True),
        (b"mode = 1", "SHOP_MODE", False),
        (b"path = 1", "PATH", False),
        (b"os.environ['PATH']", "PATH", True),
        (b"", "DOCKWRIGHT_TEAM", True),
        (b"", "DOCKWRIGHT_RECORD", False),
        (b"PYTEST_CURRENT_TEST", "PYTEST_CURRENT_TEST", False),
    ],
)
def test_variables_that_code_may_read_count(
    tmp_path: Path, text: bytes, name: str, *, counts: bool
) -> None:
    file = tmp_path / "module.py"
    file.write_bytes(text)
    environ = {name: "a"}
    assert bool(names_in(Source(file).words, environ) | own_names(environ)) == counts


WORDY = b"""
A = 1
def one(name="B"):
    C
    def inner():
        D
def two(
    name): E
@F
def three():
    "G"
    H
"""


def test_words_of_functions_count_where_these_ran(tmp_path: Path) -> None:
    file = tmp_path / "module.py"
    file.write_bytes(WORDY)
    source = Source(file)

    def words(*lines: int) -> set[bytes]:
        parts = source.parts_of(source.checksums_of(lines))
        return {w for part in parts for w in source.words_of(part) if len(w) == 1}

    assert words() == {b"A", b"B", b"E", b"F"}
    assert words(4) == {b"A", b"B", b"C", b"D", b"E", b"F"}
    assert words(12) == {b"A", b"B", b"E", b"F", b"G", b"H"}
    everything = {w for part in source.parts_of(None) for w in source.words_of(part)}
    assert source.words == everything
