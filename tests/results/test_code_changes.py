"""After a change of code, exactly the tests that it can affect run; never fewer."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from tests._support.known import KnownSuite

PROJECT = {
    "pytest.ini": """
        [pytest]
        pythonpath = src
        addopts = --strict-markers
        """,
    "conftest.py": """
        import pytest
        from shop import registry
        from shop.pool import Pool

        pytest_plugins = ["shop.plugin"]

        def pytest_runtest_setup(item):
            item.user_properties.append(("weight", weigh(item.name)))

        def weigh(name):
            return len(name)

        @pytest.fixture(scope="session")
        def pool():
            made = Pool(3)
            yield made
            made.close()

        @pytest.fixture(scope="module")
        def module_pool(pool):
            return pool.part()

        @pytest.fixture
        def basket():
            return []
        """,
    "src/shop/__init__.py": "",
    "src/shop/consts.py": """
        CURRENCY = "EUR"
        LIMIT = 10
        """,
    "src/shop/price.py": """
        from shop import consts
        from shop.rounding import nearest

        class Price:
            digits = 2

            def __init__(self, amount):
                self.amount = amount

            def text(self):
                return f"{nearest(self.amount, self.digits)} {consts.CURRENCY}"

            def unused(self):
                return None

        def discount(amount, part=0.1):
            return amount * (1 - part)
        """,
    "src/shop/rounding.py": """
        def nearest(amount, digits):
            return round(amount, digits)

        def down(amount):
            return int(amount)
        """,
    "src/shop/pool.py": """
        class Pool:
            def __init__(self, size):
                self.size = check(size)

            def part(self):
                return self.size - 1

            def close(self):
                pass

        def check(size):
            return size
        """,
    "src/shop/registry.py": """
        from shop.rounding import down

        KNOWN = {}

        def register(name):
            def add(function):
                KNOWN[name] = function
                return function
            return add

        @register("down")
        def use_down(amount):
            return down(amount)

        TABLE = {name: found for name, found in sorted(KNOWN.items())}
        """,
    "src/shop/settings.py": """
        import functools, json, pathlib

        @functools.lru_cache
        def load():
            return parse(pathlib.Path(__file__).with_name("settings.json").read_text())

        def parse(text):
            return json.loads(text)
        """,
    "src/shop/settings.json": '{"mode": "fast", "level": 1}',
    "src/shop/lazy.py": """
        from shop.rounding import down
        START = down(4.5)
        """,
    "src/shop/plugin.py": """
        import pytest

        @pytest.fixture
        def stamp():
            return "stamp"
        """,
    "src/shop/modes.py": """
        import os

        def mode():
            return os.environ.get("SHOP_MODE", "slow")
        """,
    "tests/conftest.py": """
        import pytest

        @pytest.fixture
        def words():
            return ["a", "b"]
        """,
    "tests/helper.py": """
        def join(words):
            return "-".join(words)

        def other():
            return 1
        """,
    "tests/test_price.py": """
        import pytest
        from shop.price import Price, discount

        def test_text():
            assert Price(1.234).text().startswith("1.2")

        def test_discount():
            assert discount(10) <= 10

        @pytest.mark.parametrize("amount", [1, 2])
        def test_digits(amount):
            assert Price.digits
        """,
    "tests/test_pool.py": """
        def test_first(pool):
            assert pool

        def test_second(pool):
            assert pool

        def test_part(module_pool):
            assert module_pool

        def test_alone():
            assert True
        """,
    "tests/test_words.py": """
        from helper import join

        def test_join(words):
            assert join(words)

        def test_stamp(stamp):
            assert stamp
        """,
    "tests/test_settings.py": """
        from shop import settings

        def test_mode():
            assert settings.load()["mode"]

        def test_level():
            assert settings.load()["level"]
        """,
    "tests/test_lazy.py": """
        def test_start():
            from shop import lazy
            assert lazy.START

        def test_start_again():
            from shop import lazy
            assert lazy.START
        """,
    "tests/test_registry.py": """
        from shop.registry import KNOWN, TABLE

        def test_known():
            assert KNOWN["down"](3.5)

        def test_table():
            assert TABLE
        """,
    "tests/test_files.py": """
        import os, pathlib
        from shop.modes import mode
        DATA = pathlib.Path(__file__).parent / "data"

        def test_row():
            assert (DATA / "row.txt").read_text()

        def test_names():
            assert os.listdir(DATA)

        def test_environment():
            assert mode()
        """,
    "tests/data/row.txt": "row",
}

PRICE = {"test_text", "test_discount", "test_digits[1]", "test_digits[2]"}
POOL = {"test_first", "test_second", "test_part"}
WORDS = {"test_join", "test_stamp"}
SETTINGS = {"test_mode", "test_level"}
LAZY = {"test_start", "test_start_again"}
REGISTRY = {"test_known", "test_table"}
FILES = {"test_row", "test_names", "test_environment"}
ALL = PRICE | POOL | WORDS | SETTINGS | LAZY | REGISTRY | FILES | {"test_alone"}


@dataclass(frozen=True)
class Change:
    """A change, and the tests that it can affect.

    Attributes:
        make: changes the suite.
        affects: the tests whose code, data or environment it changes.
        environ: variables of the run after it.
        options: of the run after it.
    """

    make: Callable[[KnownSuite], object]
    affects: set[str]
    environ: tuple[tuple[str, str], ...] = ()
    options: tuple[str, ...] = ()


def edit(name: str, old: str, new: str) -> Callable[[KnownSuite], object]:
    return lambda suite: suite.replace(name, old, new)


def write(name: str, text: str) -> Callable[[KnownSuite], object]:
    return lambda suite: suite.write({name: text})


def nothing(_: KnownSuite) -> None:
    pass


CHANGES = {
    "nothing": Change(nothing, set()),
    "a line of a method": Change(
        edit("src/shop/price.py", "{nearest", "about {nearest"), {"test_text"}
    ),
    "a line of a function": Change(
        edit("src/shop/price.py", "(1 - part)", "(2 - part)"), {"test_discount"}
    ),
    "a method that no test runs": Change(
        edit("src/shop/price.py", "return None", "return 1"), set()
    ),
    "a function that another one calls": Change(
        edit("src/shop/rounding.py", "round(amount, digits)", "round(amount, 3)"), {"test_text"}
    ),
    "a constant": Change(edit("src/shop/consts.py", "EUR", "USD"), PRICE),
    "a constant that no function of its module uses": Change(
        edit("src/shop/consts.py", "10", "11"), PRICE
    ),
    "an attribute of a class": Change(edit("src/shop/price.py", "digits = 2", "digits = 3"), PRICE),
    "a default value": Change(edit("src/shop/price.py", "part=0.1", "part=0.2"), PRICE),
    "a comment": Change(edit("src/shop/price.py", "class Price", "# ours\nclass Price"), set()),
    "an empty line": Change(edit("src/shop/price.py", "class Price", "\n\nclass Price"), set()),
    "a module that was empty": Change(write("src/shop/__init__.py", "VERSION = 1\n"), ALL),
    "the body of a test": Change(edit("tests/test_price.py", "<= 10", "< 10"), {"test_discount"}),
    "the parameters of a test": Change(
        edit("tests/test_price.py", "[1, 2]", "[1, 3]"),
        PRICE - {"test_digits[2]"} | {"test_digits[3]"},
    ),
    "a new test": Change(
        lambda suite: suite.write({"tests/test_new.py": "def test_new(): pass\n"}), {"test_new"}
    ),
    "a session's fixture": Change(edit("conftest.py", "Pool(3)", "Pool(4)"), POOL),
    "what a session's fixture calls": Change(
        edit("src/shop/pool.py", "return size\n", "return size + 1\n"), POOL
    ),
    "a module's fixture": Change(
        edit("conftest.py", "pool.part()", "pool.part() + 1"), {"test_part"}
    ),
    "what a module's fixture calls": Change(
        edit("src/shop/pool.py", "self.size - 1", "self.size - 2"), {"test_part"}
    ),
    "the end of a session's fixture": Change(
        edit("conftest.py", "made.close()", "made.close() or 1"), POOL
    ),
    "a function's fixture": Change(edit("tests/conftest.py", '["a", "b"]', '["a"]'), {"test_join"}),
    "a fixture that no test uses": Change(edit("conftest.py", "return []", "return [1]"), set()),
    "a fixture of a plugin": Change(
        edit("src/shop/plugin.py", 'return "stamp"', 'return "s"'), {"test_stamp"}
    ),
    "a hook": Change(edit("conftest.py", '"weight"', '"size"'), ALL),
    "what a hook calls": Change(edit("conftest.py", "len(name)", "len(name) + 1"), ALL),
    "a helper of the tests": Change(edit("tests/helper.py", '"-"', '"+"'), {"test_join"}),
    "a helper that no test runs": Change(edit("tests/helper.py", "return 1", "return 2"), set()),
    "a conftest.py beside the data": Change(
        write("tests/data/conftest.py", "x = 1\n"), {"test_names"}
    ),
    "a conftest.py above": Change(lambda suite: suite.write({"src/conftest.py": "x = 1\n"}), set()),
    "a conftest.py is gone": Change(lambda suite: suite.write({"tests/conftest.py": "-"}), ALL),
    "a function that runs when it is imported": Change(
        edit("src/shop/registry.py", "KNOWN[name] = function", "KNOWN[name + name] = function"), ALL
    ),
    "a registered function": Change(
        edit("src/shop/registry.py", "return down(amount)", "return down(amount + 1)"),
        {"test_known"},
    ),
    "a memoized function": Change(
        edit("src/shop/settings.py", "return parse(", "return dict(parse("), SETTINGS
    ),
    "what a memoized function calls": Change(
        edit("src/shop/settings.py", "json.loads(text)", "json.loads(text) or {}"), SETTINGS
    ),
    "what a memoized function reads": Change(edit("src/shop/settings.json", "1", "2"), SETTINGS),
    "a module that a test imports late": Change(edit("src/shop/lazy.py", "4.5", "5.5"), LAZY),
    "what a module does that is imported late": Change(
        edit("src/shop/rounding.py", "int(amount)", "int(amount) + 1"), LAZY | {"test_known"}
    ),
    "a file that a test reads": Change(edit("tests/data/row.txt", "row", "line"), {"test_row"}),
    "a file beside one that a test reads": Change(
        write("tests/data/more.txt", "x"), {"test_names"}
    ),
    "a file beside the tests": Change(write("tests/notes.txt", "x"), set()),
    "a variable that code reads": Change(
        nothing,
        {"test_environment"},
        environ=(("SHOP_MODE", "fast"),),
    ),
    "a variable that no code reads": Change(nothing, set(), environ=(("SHOP_COLOUR", "red"),)),
    "a variable of dockwright": Change(nothing, ALL, environ=(("DOCKWRIGHT_TEAM", "a"),)),
    "an option of pytest": Change(nothing, ALL, options=("-W", "error")),
    "an option that only shows more": Change(nothing, set(), options=("--durations=3", "-l")),
    "pytest's configuration": Change(
        edit("pytest.ini", "addopts =", "xfail_strict = true\naddopts ="), ALL
    ),
    "a module that is found elsewhere": Change(
        lambda suite: suite.write(
            {"src/helper.py": PROJECT["tests/helper.py"], "tests/helper.py": "-"}
        ),
        WORDS,
    ),
    "a declared input": Change(
        write("schema/a.sql", "select 1"),
        ALL,
        options=("-o", "dockwright_results_inputs=schema/*.sql"),
    ),
}


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> KnownSuite:
    """The suite after its first run."""
    suite = KnownSuite(tmp_path_factory.mktemp("first"), tmp_path_factory.mktemp("place"))
    suite.write(PROJECT)
    done = suite.run()
    assert done.exit_code == 0, done.text
    assert done.ran == ALL, done.text
    suite.copy_results("results-at-first")
    shutil.copytree(suite.path, suite.place / "project-at-first")
    return suite


@pytest.fixture
def suite(first: KnownSuite) -> KnownSuite:
    """The suite as it was after its first run."""
    shutil.rmtree(first.path)
    shutil.copytree(first.place / "project-at-first", first.path)
    first.restore_results("results-at-first")
    return first


@pytest.mark.soak(sample=6)
@pytest.mark.parametrize("kind", CHANGES)
def test_tests_that_a_change_can_affect_run(suite: KnownSuite, kind: str) -> None:
    change = CHANGES[kind]
    change.make(suite)
    done = suite.run(*change.options, environ=dict(change.environ))
    left = done.ran | done.reused
    assert done.ran >= change.affects & left, done.text
    assert done.ran <= change.affects, done.text
