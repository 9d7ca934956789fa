"""Reads what the probe wrote: one file a process, whose last record may be cut off."""

from __future__ import annotations

import marshal
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

PACKAGES = "-packages"
"""What is in the path of whatever is installed: site-packages, dist-packages."""


class Frame(NamedTuple):
    """One caller.

    Attributes:
        file: its path.
        line: counted from 1.
        function: its name.
        identity: the same number: the same call, while it lasts.
        own: whether it is the suite's or the application's, not a library's.
    """

    file: str
    line: int
    function: str
    identity: int = 0
    own: bool = True


@dataclass(frozen=True, slots=True)
class Span:
    """Something that took time in one thread.

    Attributes:
        kind: as the probe calls it: ``sleep``, ``wait``, ``engine``, ``test``, ``fixture``...
        begin: seconds, by the machine's monotonic clock.
        end: the same.
        thread: which thread of its process.
        frames: who called, from inside out.
        detail: more about it.
    """

    kind: str
    begin: float
    end: float
    thread: int = 0
    frames: tuple[Frame, ...] = ()
    detail: Mapping[str, Any] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.end - self.begin


@dataclass(frozen=True, slots=True)
class Process:
    """One Python process of the run.

    Attributes:
        pid: its id.
        parent: its parent's id.
        argv: its command line.
        in_test: whether a test of another process started it.
        begin: when the probe was loaded.
        end: when it ended, or wrote its last record.
        spans: what it noted, without those that only mark a moment.
        session: what kind of pytest process it is; empty: none.
        thread: the thread whose time counts: pytest's, else the first.
    """

    pid: int
    parent: int
    argv: tuple[str, ...]
    in_test: bool
    begin: float
    end: float
    spans: tuple[Span, ...]
    session: Mapping[str, Any]
    thread: int

    @property
    def runs_tests(self) -> bool:
        """Whether pytest runs tests here, and not only hands them to others."""
        return bool(self.session) and not self.session["controller"]


@dataclass(frozen=True, slots=True)
class Finished:
    """A command that has ended.

    Attributes:
        command: its words.
        exit_code: its own; 128 + N where signal N ended it, as a shell says it.
        began_s: when it was started, by the monotonic clock.
        ended_s: when it ended, by the monotonic clock.
        interrupted: whether Ctrl-C was seen meanwhile.
    """

    command: tuple[str, ...]
    exit_code: int
    began_s: float
    ended_s: float
    interrupted: bool


def read_processes(directory: Path) -> list[Process]:
    """Return all processes that left records, in the order in which they began."""
    found = [_process(list(_records(path))) for path in sorted(directory.iterdir())]
    return sorted((each for each in found if each), key=lambda process: process.begin)


def _records(path: Path) -> Iterator[Span]:
    with path.open("rb") as file:
        while True:
            try:
                # S302: our own probe wrote it, to a directory that nobody else may write to.
                kind, begin, end, thread, frames, detail = marshal.load(file)  # noqa: S302
            except (EOFError, ValueError, TypeError):
                return  # the end, or a record that was cut off
            yield Span(kind, begin, end, thread, tuple(Frame(*each) for each in frames), detail)


def _process(records: Sequence[Span]) -> Process | None:
    if not records or records[0].kind != "process":
        return None
    head = records[0]
    session = next((each for each in records if each.kind == "session"), None)
    end = max(each.end for each in records)
    moments = ("process", "exit", "session", "begins")
    return Process(
        pid=head.detail["pid"],
        parent=head.detail["ppid"],
        argv=tuple(head.detail["argv"]),
        in_test=bool(head.detail["in_test"]),
        begin=head.begin,
        end=end,
        spans=(*(each for each in records if each.kind not in moments), *_cut_off(records, end)),
        session=session.detail if session else {},
        thread=session.thread if session else head.thread,
    )


def _cut_off(records: Iterable[Span], end: float) -> Iterator[Span]:
    """Yield the test that was running when the process was killed."""
    begun: Span | None = None
    for each in records:
        if each.kind == "begins":
            begun = each
        elif each.kind == "test":
            begun = None
    if begun is not None:
        yield Span("test", begun.begin, end, begun.thread, (), begun.detail)
