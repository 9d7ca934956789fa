"""The update of a distribution runs the tests that may use it, and no others."""

from __future__ import annotations

import sys
import sysconfig
import venv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from dockwright.results import distributions, installed
from dockwright.results.distributions import Change, Uses, uses_of
from tests._support.known import KnownSuite

RECORD = "shop.py,sha256=a,1\n../bin/shop,sha256=b,1\nshop-1.0.dist-info/X,,\n"


@dataclass
class Place:
    """A directory where distributions are installed."""

    path: Path

    def install(
        self,
        name: str,
        version: str = "1",
        *,
        text: str = "",
        points: str = "",
        beside: tuple[str, str] = ("", ""),
    ) -> None:
        """Install a distribution of one module, perhaps beside another one with a text."""
        if beside[0]:
            self.install(beside[0], text=beside[1])
        for old in self.path.glob(f"{name}-*.dist-info"):
            (old / "RECORD").unlink()
            (old / "entry_points.txt").unlink(missing_ok=True)
            old.rmdir()
        (self.path / f"{name}.py").write_text(text)
        information = self.path / f"{name}-{version}.dist-info"
        information.mkdir()
        (information / "RECORD").write_text(f"{name}.py,sha256={version},1\n")
        if points:
            (information / "entry_points.txt").write_text(points)

    def load(self, *names: str) -> None:
        """Import modules."""
        for name in names:
            module = type(sys)(name)
            module.__file__ = str(self.path / f"{name}.py")
            sys.modules[name] = module


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    monkeypatch.setattr(distributions, "SITES", (f"{tmp_path.resolve()}/",))
    before = {*sys.modules}
    made = Place(tmp_path)
    made.install("early")
    made.install("driver", text="import words\nimport early\n")
    made.install("words")
    made.install("other")
    made.install("unnamed")
    made.install("points", points="[console_scripts]\na = b\n[things]\na = b\n")
    made.install("scripts", points="[console_scripts]\na = b\n")
    made.load("early", "driver", "words", "unnamed", "scripts")
    yield made
    for name in {*sys.modules} - before:
        del sys.modules[name]


def used(place: Place, read: frozenset[str] = frozenset()) -> Uses:
    project = frozenset({b"driver", b"other", b"scripts", b"early"})
    return uses_of("base", installed([str(place.path)]), frozenset({"early"}), read, project)


def test_distributions_count_for_every_test_or_by_words(place: Place) -> None:
    found = used(place)
    assert found.everywhere == {"early-1", "unnamed-1", "points-1"}
    assert found.words == {
        "driver-1": {"driver"},
        "words-1": {"words", "driver"},
        "scripts-1": {"scripts"},
    }
    assert used(place, frozenset({"driver-1"})).everywhere >= {"driver-1", "words-1"}


CHANGES: dict[str, tuple[Callable[[Place], object], Change]] = {
    "nothing": (lambda _: None, Change()),
    "one that tests name": (
        lambda p: p.install("driver", "2", text="import words"),
        Change(words={"driver-1": frozenset({"driver"}), "driver-2": frozenset({"driver"})}),
    ),
    "one that another one names": (
        lambda p: p.install("words", "2"),
        Change(words={"words-1": frozenset({"words", "driver"}), "words-2": frozenset({"words"})}),
    ),
    "one that was loaded early": (lambda p: p.install("early", "2"), Change("early-1")),
    "one that nothing names": (lambda p: p.install("unnamed", "2"), Change("unnamed-1")),
    "one with entry points": (lambda p: p.install("points", "2"), Change("points-1")),
    "one that is not loaded": (
        lambda p: p.install("other", "2"),
        Change(words={"other-2": frozenset({"other"})}),
    ),
    "a new one": (
        lambda p: p.install("fresh"),
        Change(words={"fresh-1": frozenset({"fresh"})}),
    ),
    "a new one with entry points": (
        lambda p: p.install("fresh", points="[things]\na = b\n"),
        Change("fresh-1"),
    ),
    "a new one that a loaded module names": (
        lambda p: p.install("fresh", beside=("driver", "try: import fresh")),
        Change("fresh-1"),
    ),
    "one that offers entry points now": (
        lambda p: p.install("other", "2", points="[things]\na = b\n"),
        Change("other-2"),
    ),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_an_update_affects_the_tests_that_use_it(place: Place, kind: str) -> None:
    before = used(place)
    update, change = CHANGES[kind]
    update(place)
    assert before.changed(installed([str(place.path)])) == change


def test_uses_of_several_runs_are_merged(place: Place) -> None:
    first, second = used(place), used(place, frozenset({"scripts-1"}))
    merged = first.added(second)
    assert merged.everywhere == first.everywhere | second.everywhere
    assert merged == second.added(first)
    place.install("scripts", "2")
    assert merged.changed(installed([str(place.path)])) == Change("scripts-1")


TESTS = {
    "test_a.py": "def test_late():\n    import supply\n    assert supply",
    "test_b.py": "def test_plain():\n    pass",
}


def test_a_run_after_an_update_runs_the_tests_that_use_it(tmp_path: Path) -> None:
    venv.create(tmp_path / "venv", symlinks=True, with_pip=False)
    [there] = (tmp_path / "venv").glob("lib/python*/site-packages")
    ours = sysconfig.get_path("purelib")
    (there / "ours.pth").write_text(f"import site; site.addsitedir({ours!r})")
    place = Place(there)
    place.install("supply")
    place.install("spare")
    (tmp_path / "suite").mkdir()
    suite = KnownSuite(tmp_path / "suite", tmp_path / "place", python=tmp_path / "venv/bin/python")
    suite.write(TESTS)
    first = suite.run()
    assert first.ran == {"test_late", "test_plain"}, first.text
    place.install("spare", "2")
    place.install("more")
    done = suite.run()
    assert done.reused == {"test_late", "test_plain"}, done.text
    place.install("supply", "2")
    done = suite.run()
    assert done.ran == {"test_late"}, done.text
    assert "1 test ran: the distribution supply-" in done.text
    place.install("plugs", points="[pytest11]\nplugs = plugs\n")
    done = suite.run()
    assert done.ran == {"test_late", "test_plain"}, done.text
    assert "2 tests ran: the distribution plugs-1 changed" in done.text


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (b"import fresh", True),
        (b"    import a, fresh as b", True),
        (b"from fresh.part import a", True),
        (b"import_module('fresh')", True),
        (b'import_module("fresh.part")', True),
        (b"\x7fELF\x00fresh\x00", True),
        (b"# a fresh start", False),
        (b"import refreshed", False),
        (b"import a\nfresh = 1", False),
    ],
)
def test_texts_that_name_a_module_are_recognised(text: bytes, *, names: bool) -> None:
    assert bool(distributions._import_of("fresh").search(text)) == names


def test_content_is_known_by_version_and_list_of_files(tmp_path: Path) -> None:
    def install(version: str, record: str, url: str = "") -> dict[str, str]:
        directory = tmp_path / f"shop-{version}.dist-info"
        directory.mkdir(exist_ok=True)
        (directory / "RECORD").write_text(record)
        (directory / "direct_url.json").write_text(url)
        return {name: each.content for name, each in installed([str(tmp_path)]).items()}

    first = install("1.0", RECORD)
    elsewhere = RECORD.replace("sha256=b", "sha256=c").replace("X,,", "Y,,")
    assert list(first) == ["shop-1.0"]
    assert install("1.0", elsewhere) == first
    assert install("1.0", RECORD.replace("sha256=a", "sha256=z")) != first
    assert "shop-2.0" in install("2.0", "")
    link = "__editable__.shop-1.0.pth,sha256=a,1\n"
    editable = '{"dir_info": {"editable": true}, "url": "file:///a"}'
    there = install("1.0", link, editable)
    assert install("1.0", link.replace("=a", "=b"), editable) == there
