"""One thread's time as slices without gap or overlap, each with the innermost cause."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from dockwright.profile.analysis.commands import Command, read_command
from dockwright.profile.analysis.records import PACKAGES, Frame, Process, Span

Chain = tuple[Span, ...]
CallKey = tuple[Hashable, ...]

EVENT_WAIT = "Event.wait"
"""What a slice says that is a ``threading.Event`` waited for in vain."""

_WHOLE = ("client", "pull", "wait")
"""What counts as a whole: `Popen.wait` with a timeout sleeps in turns, and is no sleep for that."""

_ASYNC = ("async-sleep", "async-wait")
_STATISTICS = re.compile(r"/containers/[^/]+/stats\b(?!.*(?:stream|one-shot)=(?:1|[Tt]rue))")
_PULL = re.compile(r"/images/create\b")
_CONTAINER = re.compile(r"/containers/([^/?]+)")
_VERSION = re.compile(r"^/v[\d.]+")
_ID = re.compile(r"/[0-9a-f]{12,64}\b")

_HOW_FAR_OUT = 4
"""How many callers are looked at: a helper that sleeps may itself be called in the loop."""

_Loop = ast.While | ast.For | ast.AsyncFor
_Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda


@dataclass(frozen=True, slots=True)
class Loop:
    """A loop that polls: where it is, and the call of its function that ran it."""

    file: str
    line: int
    identity: int


@dataclass(slots=True)
class Loops:
    """Finds loops in sources; each file is read once."""

    _files: dict[str, tuple[tuple[int, int, int], ...]] = field(default_factory=dict)

    def polling(self, frames: Sequence[Frame]) -> Loop | None:
        """Return the innermost polling loop around a sleep; None where it is a fixed one."""
        for frame in _callers(frames):
            around = [
                (first, last)
                for first, last, function in self._loops(frame.file)
                if first <= frame.line <= last and function <= frame.line
            ]
            if around:
                first, _ = max(around)
                return Loop(frame.file, first, frame.identity)
        return None

    def _loops(self, file: str) -> tuple[tuple[int, int, int], ...]:
        if file not in self._files:
            self._files[file] = tuple(_read_loops(file))
        return self._files[file]


def _callers(frames: Sequence[Frame]) -> Iterator[Frame]:
    """Yield the suite's own callers, and before them a library that polls for it (tenacity)."""
    own_seen = False
    for frame in frames[:_HOW_FAR_OUT]:
        own_seen = own_seen or frame.own
        if frame.own or (not own_seen and PACKAGES in frame.file):
            yield frame


def _read_loops(file: str) -> Iterator[tuple[int, int, int]]:
    """Yield the first and last line of each polling loop, and the first of its function."""
    try:
        tree = ast.parse(Path(file).read_bytes())
    except (OSError, SyntaxError, ValueError):
        return  # made at run time, or gone
    yield from _polling_loops(tree, 0)


def _polling_loops(node: ast.AST, function: int) -> Iterator[tuple[int, int, int]]:
    for child in ast.iter_child_nodes(node):
        inner = child.lineno if isinstance(child, _Function) else function
        if isinstance(child, _Loop) and _can_end_early(child):
            yield child.lineno, child.end_lineno or child.lineno, inner
        yield from _polling_loops(child, inner)


def _can_end_early(loop: _Loop) -> bool:
    if isinstance(loop, ast.While) and not isinstance(loop.test, ast.Constant):
        return True
    return any(_leaves(node) for node in loop.body)


def _leaves(node: ast.AST) -> bool:
    """Return whether a statement may leave the loop that contains it."""
    if isinstance(node, ast.Break | ast.Return):
        return True
    if isinstance(node, _Function | ast.ClassDef | _Loop):
        # An inner loop's break is its own; a return in it leaves ours as well.
        return isinstance(node, _Loop) and any(
            isinstance(each, ast.Return) for each in ast.walk(node)
        )
    return any(_leaves(child) for child in ast.iter_child_nodes(node))


@dataclass(frozen=True, slots=True)
class Slice:
    """A piece of one thread's time.

    Attributes:
        begin: seconds, by the machine's monotonic clock.
        end: the same.
        cause: a name of `causes.CAUSES`.
        site: the call site, ``tests/test_a.py:12 in settle``; empty: none.
        own: whether that is the suite's own code, and not a library's.
        what: what was called there.
        certain: whether it was measured, not estimated.
        test: the node id; empty: outside tests.
        phase: ``setup``, ``call``, ``teardown``, or empty.
        fixture: the innermost fixture and its scope, or empty.
        call: the same value: the same call, of which this may be one of several pieces.
        command: the command line, where it is one.
        cwd: the directory that it ran in.
        path: of the engine call, where it is one.
        status: of the engine's answer.
        pid: of the subprocess.
        loop: the loop that polls here: sleeps or looks.
        refs: the containers that it looks at, by id or name.
    """

    begin: float
    end: float
    cause: str
    site: str = ""
    own: bool = False
    what: str = ""
    certain: bool = True
    test: str = ""
    phase: str = ""
    fixture: str = ""
    call: CallKey = ()
    command: Command | None = None
    cwd: str = ""
    path: str = ""
    status: int = 0
    pid: int = 0
    loop: Loop | None = None
    refs: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        """How long it is."""
        return self.end - self.begin

    @property
    def container(self) -> str:
        """The container that its engine call names, by id or name; empty: none."""
        named = _CONTAINER.search(self.path)
        return named[1] if named else ""

    @property
    def polls(self) -> bool:
        """Whether it is a poll loop's sleep, before it is known how much of that was late."""
        return self.cause == "awaited"


@dataclass(slots=True)
class Reader:
    """Turns the spans of processes into slices.

    Attributes:
        directory: what paths are shown relative to.
        redact: takes secrets out of the names of tests.
        loops: distinguishes polling from fixed sleeps.
    """

    directory: Path
    redact: Callable[[str], str] = str
    loops: Loops = field(default_factory=Loops)
    _paths: dict[str, str] = field(default_factory=dict)

    def own_thread(self, process: Process) -> list[Slice]:
        """Return the time of the thread that counts, from the process's begin to its end."""
        return self._slices(process, process.thread, process.begin, process.end)

    def other_threads(self, process: Process) -> list[Slice]:
        """Return what blocked other threads, for the threads that waited for them."""
        threads = {span.thread for span in process.spans} - {process.thread}
        slices = [
            each
            for thread in threads
            for each in self._slices(process, thread, process.begin, process.end)
        ]
        return [
            each for each in slices if each.cause not in ("pytest", "program", "thread", "idle")
        ]

    def coroutines(self, process: Process) -> list[Slice]:
        """Return what coroutines slept or waited to the end."""
        spawned = _spawned(process)
        spans = [span for span in process.spans if span.kind in _ASYNC and span.detail["done"]]
        return [
            self._slice(Slice(span.begin, span.end, "pytest"), (span,), spawned, worker=False)
            for span in spans
        ]

    def _sited(self, piece: Slice, frames: Sequence[Frame]) -> Slice:
        """Name the innermost call site of the suite; if there is none, of a package, or of all."""
        packages = [each for each in frames if PACKAGES in each.file]
        own = [each for each in frames if each.own]
        frame = next(iter((*own, *packages, *frames)), None)
        if frame is None:
            return piece
        site = f"{self._shown(frame.file)}:{frame.line} in {frame.function}"
        return replace(piece, site=site, own=frame.own)

    def _shown(self, file: str) -> str:
        if file not in self._paths:
            path = Path(file)
            is_here = path.is_relative_to(self.directory) and PACKAGES not in file
            shown = str(path.relative_to(self.directory)) if is_here else file
            self._paths[file] = shown.rpartition(f"{PACKAGES}/")[2]
        return self._paths[file]

    def _slices(self, process: Process, thread: int, begin: float, end: float) -> list[Slice]:
        spawned = _spawned(process)
        spans = [s for s in process.spans if s.thread == thread and s.kind not in _ASYNC]
        worker = bool(process.session.get("worker"))
        base = "pytest" if process.session else "program"
        return [
            self._slice(Slice(since, until, base), chain, spawned, worker=worker)
            for since, until, chain in flatten(spans, begin, end)
        ]

    def _slice(
        self, piece: Slice, chain: Chain, spawned: Mapping[int, Span], *, worker: bool
    ) -> Slice:
        piece = _in_context(piece, chain)
        piece = replace(piece, test=self.redact(piece.test)) if piece.test else piece
        source = _source(chain)
        if source is None:
            return piece
        if source.kind == "thread" and not piece.test and not _is_sleep(source):
            return replace(piece, cause="idle") if worker else piece
        return self._caused(replace(piece, call=_key(source)), source, spawned)

    def _caused(self, piece: Slice, source: Span, spawned: Mapping[int, Span]) -> Slice:
        piece = self._sited(piece, source.frames)
        if source.kind in ("sleep", "async-sleep") or _is_sleep(source):
            loop = self.loops.polling(source.frames)
            what = {"sleep": "time.sleep", "async-sleep": "asyncio.sleep"}.get(source.kind)
            cause = "awaited" if loop else "sleep"
            return replace(piece, cause=cause, what=what or EVENT_WAIT, loop=loop)
        if source.kind in ("spawn", "wait", "async-wait", "system"):
            return self._of_command(piece, source, spawned)
        if source.kind == "engine":
            return replace(_of_engine_call(piece, source), loop=self._looks_in(source.frames))
        if source.kind == "thread":
            what = source.frames[0].function if source.frames else ""
            return replace(piece, cause="thread", what=what, loop=self.loops.polling(source.frames))
        what = {"client": "docker.from_env", "pull": "images.pull"}.get(source.kind, "")
        return replace(piece, cause=source.kind, what=what)

    def _of_command(self, piece: Slice, source: Span, spawned: Mapping[int, Span]) -> Slice:
        pid = int(source.detail.get("pid") or 0)
        start = spawned.get(pid, source) if source.kind != "system" else source
        argv = start.detail.get("argv") or ["multiprocessing"]  # its processes have no command line
        command = read_command(argv, shell=source.kind == "system")
        return replace(
            self._sited(piece, start.frames),
            cause=command.cause,
            what=command.shown,
            command=command,
            cwd=str(start.detail.get("cwd") or self.directory),
            pid=pid,
            call=_key(start),
            loop=self._looks_in(start.frames),
        )

    def _looks_in(self, frames: Sequence[Frame]) -> Loop | None:
        """Return the loop of the suite that a call stands in."""
        return self.loops.polling([each for each in frames if each.own])


def flatten(
    spans: Iterable[Span], begin: float, end: float
) -> Iterator[tuple[float, float, Chain]]:
    """Yield the time from `begin` to `end` in pieces, each with the spans around it, outer first.

    Args:
        spans: of one thread; they nest, as calls do.
        begin: where to begin.
        end: where to end.
    """
    stack: list[Span] = []
    at = begin
    for span in sorted(spans, key=lambda each: (each.begin, -each.end)):
        while stack and stack[-1].end <= span.begin:
            if stack[-1].end > at:
                yield at, stack[-1].end, tuple(stack)
                at = stack[-1].end
            stack.pop()
        if span.begin > at:
            yield at, span.begin, tuple(stack)
            at = span.begin
        stack.append(span)
    while stack:
        if stack[-1].end > at:
            yield at, stack[-1].end, tuple(stack)
            at = stack[-1].end
        stack.pop()
    if end > at:
        yield at, end, ()


def _spawned(process: Process) -> dict[int, Span]:
    """Return by pid how each subprocess was started; of a pid that was used again, the last."""
    spawns = (span for span in process.spans if span.kind == "spawn")
    return {int(span.detail["pid"]): span for span in spawns if span.detail.get("pid")}


def _source(chain: Chain) -> Span | None:
    """Return the span that explains the piece: the innermost, but what it is part of before it."""
    context = ("test", "phase", "fixture", "collection")
    causes = [span for span in chain if span.kind not in context]
    for span in causes:
        if span.kind in _WHOLE:
            return span
    return causes[-1] if causes else None


def _key(span: Span) -> CallKey:
    """Return what all spans of one call have in common: a request, and reads of its answer."""
    if "call" in span.detail:
        return (span.detail["call"], span.thread)
    return (span.begin, span.end, span.thread)


def _in_context(piece: Slice, chain: Chain) -> Slice:
    test = phase = fixture = ""
    cause = piece.cause
    for span in chain:
        if span.kind == "test":
            test = str(span.detail["test"])
        elif span.kind == "phase":
            phase = str(span.detail["phase"])
            cause = "body" if phase == "call" else "pytest"
        elif span.kind == "fixture":
            fixture = f"{span.detail['name']} ({span.detail['scope']})"
            cause = "fixture"
        elif span.kind == "collection":
            cause = "collection"
    return replace(piece, cause=cause, test=test, phase=phase, fixture=fixture)


def _is_sleep(span: Span) -> bool:
    """``Event.wait(5)`` that timed out is a sleep by another name."""
    return (
        span.kind == "thread"
        and bool(span.detail["timed_out"])
        and bool(span.frames)
        and span.frames[0].function == "wait"
        and Path(span.frames[0].file).name == "threading.py"
    )


def _of_engine_call(piece: Slice, source: Span) -> Slice:
    path = _VERSION.sub("", str(source.detail.get("path", "")))
    method = str(source.detail.get("method", ""))
    cause = "engine"
    if _STATISTICS.search(path):
        cause = "statistics"
    elif _PULL.search(path):
        cause = "pull"
    shown = _ID.sub("/{id}", path.partition("?")[0])
    return replace(
        piece,
        cause=cause,
        what=f"{method} {shown}".strip(),
        path=f"{method} {path}",
        status=int(source.detail.get("status", 0)),
    )
