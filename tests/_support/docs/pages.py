"""A page of documentation as the tests see it: files to write, commands to run, links to follow."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"

_FENCE = re.compile(r"^```([^\n`]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_NAME = re.compile(r"(?:#|--|//) ([\w.-]+(?:/[\w.-]+)*)")
_BASE = re.compile(r"^<!-- goes on from: (\S+) -->$", re.MULTILINE)
_LINK = re.compile(r"(?<!!)\[[^\]\n]*(?:\n[^\]\n]*)?\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} (.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class File:
    """A block whose first line is a comment that holds nothing but a path."""

    path: str
    text: str


@dataclass(frozen=True, slots=True)
class Command:
    """A line of a ``console`` block that begins with ``$``, and what is shown after it.

    Attributes:
        line: what is typed.
        shown: the output that the page shows; empty: the output does not matter.
        exit_code: 0 unless the block's info string says otherwise: ``console exit=1``.
        at: the line of the page, counted from 1.
    """

    line: str
    shown: tuple[str, ...]
    exit_code: int
    at: int


Step = File | Command


@dataclass(frozen=True, slots=True)
class Page:
    """One Markdown file."""

    path: Path

    def __str__(self) -> str:
        return str(self.path.relative_to(ROOT))

    @property
    def text(self) -> str:
        """All of it."""
        return self.path.read_text("utf-8")

    def base(self) -> Page | None:
        """The page whose files are there when this one begins, if it names one."""
        found = _BASE.search(self.text)
        return Page((self.path.parent / found[1]).resolve()) if found else None

    def steps(self) -> Iterator[Step]:
        """Yield the files to write and the commands to run, in the page's order."""
        text = self.text
        for block in _FENCE.finditer(text):
            info, body = block[1].split(), block[2]
            named = _NAME.fullmatch(body.partition("\n")[0])
            if info[:1] == ["console"]:
                yield from _commands(info, body, at=text.count("\n", 0, block.start()) + 2)
            elif named:
                yield File(named[1], body)

    def files(self) -> dict[str, str]:
        """Return the files as they are at the end of the page, by path."""
        left = dict[str, str]()
        for step in self.steps():
            if isinstance(step, File):
                left[step.path] = step.text
            elif step.line.startswith("rm "):
                left.pop(step.line.removeprefix("rm "))
        return left

    def links(self) -> list[str]:
        """Return the targets of all links, except those in code."""
        return _LINK.findall(re.sub(r"`[^`\n]*`", "", _FENCE.sub("", self.text)))

    def anchors(self) -> set[str]:
        """Return what a link's ``#fragment`` may be."""
        headings = _HEADING.findall(_FENCE.sub("", self.text))
        return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}


def all_pages() -> list[Page]:
    """Return the pages at the root of the project, and those below ``docs``."""
    return [Page(path) for path in [*sorted(ROOT.glob("*.md")), *sorted(DOCS.rglob("*.md"))]]


def _commands(info: list[str], body: str, *, at: int) -> Iterator[Command]:
    code = next((int(word[5:]) for word in info if word.startswith("exit=")), 0)
    typed, shown, began = "", list[str](), at
    for number, line in enumerate(body.replace("\\\n", "\\\n$+").splitlines(), at):
        if line.startswith("$+"):
            typed = f"{typed}\n{line[2:]}"
        elif line.startswith("$ "):
            if typed:
                yield Command(typed, tuple(shown), 0, began)
            typed, shown, began = line[2:], [], number
        elif line.strip():
            shown.append(line.rstrip())
    if typed:
        yield Command(typed, tuple(shown), code, began)
