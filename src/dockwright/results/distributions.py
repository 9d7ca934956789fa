"""Which installed distributions tests depend on: the update of another one runs nothing.

A distribution counts for every test if it was loaded before the suite (pytest, its plugins, what
they need), if it offers entry points, if its metadata was read, or if the project does not name it.
Others count for the tests whose code names them, or names what names them. Names are looked for as
words in texts, so that imports in functions, and those that fail, count as well.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from dockwright.results.witness import SITES

_LINKS = re.compile(r"[^,/]*(?:\.pth|__editable__[^,/]*|_editable_impl_[^,/]*),")
"""What points to the checkout of an editable distribution."""

_SCRIPTS = frozenset({"[console_scripts]", "[gui_scripts]"})


@dataclass(frozen=True)
class Distribution:
    """An installed distribution.

    Attributes:
        information: its directory of metadata.
    """

    information: Path

    @property
    def name(self) -> str:
        """Its name and version."""
        return self.information.stem

    @cached_property
    def _lines(self) -> list[str]:
        """The lines of its list of files, without what installers write differently each time."""
        lines = [
            line
            for line in self._text("RECORD").splitlines()
            if not line.startswith("../")
            and ".dist-info/" not in line
            and "__pycache__/" not in line
        ]
        if '"editable": true' in self._text("direct_url.json"):
            return [line for line in lines if not _LINKS.match(line)] or ["editable"]
        return lines

    def _text(self, name: str) -> str:
        try:
            return (self.information / name).read_text(errors="surrogateescape")
        except OSError:
            return ""

    @cached_property
    def content(self) -> str:
        """A hash of what it holds; empty: it is unknown."""
        text = "\n".join(self._lines)
        return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest() if text else ""

    @cached_property
    def tops(self) -> frozenset[str]:
        """The names by which its modules are imported, as far as the first dot."""
        first = (line.partition(",")[0].partition("/")[0] for line in self._lines)
        return frozenset(each.partition(".")[0] for each in first) - {""}

    def files(self) -> Iterator[tuple[str, str]]:
        """Yield the top names and paths of its files."""
        for line in self._lines:
            name = line.partition(",")[0]
            yield name.partition("/")[0].partition(".")[0], str(self.information.parent / name)

    @cached_property
    def offers(self) -> bool:
        """Whether others may load it without naming it, or it is not known what it holds."""
        if f"{os.path.realpath(self.information.parent)}/" not in SITES:
            return True
        groups = re.findall(r"^\s*(\[.*\])\s*$", self._text("entry_points.txt"), re.MULTILINE)
        hooks = any(re.match(r"[^,/]*\.pth,", line) for line in self._lines)
        return not self._lines or hooks or not _SCRIPTS.issuperset(groups)


def installed(paths: Iterable[str]) -> dict[str, Distribution]:
    """Return the installed distributions by name and version."""
    found: dict[str, Distribution] = {}
    for path in dict.fromkeys(paths):
        try:
            places = sorted(Path(path or ".").glob("*.dist-info"))
            places += sorted(Path(path or ".").glob("*.egg-info"))
        except OSError:
            continue
        for one in map(Distribution, places):
            found.setdefault(one.name, one)
    return found


def loaded_names() -> frozenset[str]:
    """Return the top names of the modules of distributions that are loaded now."""
    return frozenset(name for name, _ in _loaded())


def _loaded() -> Iterator[tuple[str, str]]:
    """Yield the top names and files of modules of distributions."""
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if isinstance(file, str) and file.startswith(SITES):
            inside = file[max(len(each) for each in SITES if file.startswith(each)) :]
            yield inside.partition("/")[0].partition(".")[0], file


@dataclass(frozen=True, slots=True)
class Uses:
    """What the tests of an environment used of its distributions.

    Attributes:
        base: the key of the environment without its distributions.
        contents: hashes of all distributions, by name and version.
        loaded: the top names that were loaded.
        everywhere: the distributions that count for every test.
        words: what code names that depends on others, by distribution.
    """

    base: str
    contents: Mapping[str, str]
    loaded: frozenset[str] = frozenset()
    everywhere: frozenset[str] = frozenset()
    words: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def added(self, other: Uses) -> Uses:
        """Return what two runs used together; what counts everywhere in one of them does so."""
        names = {*self.words, *other.words}
        return Uses(
            self.base,
            self.contents,
            self.loaded | other.loaded,
            self.everywhere | other.everywhere,
            {
                name: self.words.get(name, frozenset()) | other.words.get(name, frozenset())
                for name in names
            },
        )

    def changed(self, now: Mapping[str, Distribution]) -> Change:
        """Return what is different between the distributions then and now."""
        gone = {n for n, c in self.contents.items() if n not in now or now[n].content != c}
        new = [each for n, each in now.items() if self.contents.get(n) != each.content]
        if counting := sorted(gone & self.everywhere) or [e.name for e in new if e.offers]:
            return Change(everywhere=counting[0])
        words = {name: self.words[name] for name in sorted(gone) if name in self.words}
        before = frozenset().union(*words.values())
        late = self.loaded - loaded_names()
        texts = [f for each in now.values() if each.tops & late for f in each.files()]
        named = _naming(frozenset(top for each in new for top in each.tops - before), texts)
        for each in new:
            if any(top in self.loaded or named[top] for top in each.tops - before):
                return Change(everywhere=each.name)
        return Change(words={**words, **{each.name: each.tops for each in new}})


@dataclass(frozen=True, slots=True)
class Change:
    """What is different between the distributions of two environments.

    Attributes:
        everywhere: a distribution that counts for every test; empty: there is none.
        words: what code names that depends on the others, by distribution.
    """

    everywhere: str = ""
    words: Mapping[str, frozenset[str]] = field(default_factory=dict)


def uses_of(
    base: str,
    now: Mapping[str, Distribution],
    before: frozenset[str],
    read: Collection[str],
    project: frozenset[bytes],
) -> Uses:
    """Return what the tests of this process used.

    Args:
        base: the key of the environment without its distributions.
        now: the installed distributions.
        before: the top names that were loaded before the suite.
        read: the distributions whose metadata the suite read.
        project: the words of the suite's code.
    """
    loaded = loaded_names()
    used = {name: each for name, each in now.items() if not each.tops.isdisjoint(loaded)}
    early = {name for name, each in used.items() if not each.tops.isdisjoint(before)}
    everywhere = {name for name, each in now.items() if each.offers} | {*read} | early
    words = {name: set(each.tops) for name, each in used.items() if name not in everywhere}
    namers = _namers({name: used[name].tops & loaded for name in words}, used)
    named = {n for n, tops in words.items() if any(top.encode() in project for top in tops)}
    everywhere |= {name for name in words if not namers[name] and name not in named}
    while more := {name for name in words if namers[name] & everywhere} - everywhere:
        everywhere |= more
    for _ in words:
        for name, found in words.items():
            found.update(*(words[n] for n in namers[name] if n in words))
    return Uses(
        base,
        {name: each.content for name, each in now.items()},
        loaded,
        frozenset(everywhere),
        {name: frozenset(found) for name, found in words.items() if name not in everywhere},
    )


def _namers(
    candidates: Mapping[str, frozenset[str]], used: Mapping[str, Distribution]
) -> dict[str, set[str]]:
    """Return for each candidate, given with its top names, which distributions name it."""
    by_top = _naming(frozenset().union(*candidates.values()))
    owners: dict[str, set[str]] = {}
    for name, each in used.items():
        for top in each.tops:
            owners.setdefault(top, set()).add(name)
    return {
        name: {n for top in tops for by in by_top[top] for n in owners.get(by, ())} - {name}
        for name, tops in candidates.items()
    }


def _naming(tops: frozenset[str], more: Iterable[tuple[str, str]] = ()) -> dict[str, set[str]]:
    """Return for each top name the other top names whose modules import it, or may do so by text.

    Args:
        tops: the names.
        more: top names and files of modules beside those that are loaded.
    """
    found: dict[str, set[str]] = {top: set() for top in tops}
    wanted = {top: (top.encode(), _import_of(top)) for top in tops}
    for own, file in {*_loaded(), *more} if tops else ():
        with suppress(OSError):
            content = Path(file).read_bytes()
            for top, (text, pattern) in wanted.items():
                if top != own and text in content and pattern.search(content):
                    found[top].add(own)
    return found


def _import_of(top: str) -> re.Pattern[bytes]:
    """Return what finds an import of a module, its name in quotes, or in a compiled module."""
    name = re.escape(top.encode())
    ways = (rb"\bimport\b[^\n]*\b%s\b", rb"\bfrom\s+%s\b", rb"['\"]%s['\".]", rb"\x00%s[.\x00]")
    return re.compile(b"|".join(way % name for way in ways))
