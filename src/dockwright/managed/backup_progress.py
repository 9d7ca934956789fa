"""How far a backup or a restore has come, and whether it is still wanted."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from dockwright.errors import WaitCancelledError

_PIECE_BYTES = 1 << 18
_PIECES = 8
_TURN_S = 0.2


@dataclass(frozen=True, slots=True)
class Step:
    """What is done just now.

    Attributes:
        name: in words, e.g. ``reading volume data``.
        total: how many bytes it is about; None: nobody knows.
    """

    name: str
    total: int | None = None


def _ignore_step(step: Step) -> None:
    del step


def _ignore_bytes(count: int) -> None:
    del count


@dataclass(frozen=True, slots=True)
class Progress:
    """Is told what happens, and ends the work where it was called off.

    Attributes:
        on_step: is told of each step as it begins.
        on_bytes: is told how many bytes more the step has come; called from the worker's thread.
    """

    on_step: Callable[[Step], None] = _ignore_step
    on_bytes: Callable[[int], None] = _ignore_bytes
    _cancelled: threading.Event = field(default_factory=threading.Event)

    def cancel(self) -> None:
        """Call the work off; may come from any thread."""
        self._cancelled.set()

    def check(self) -> None:
        """Raise where the work was called off.

        Raises:
            WaitCancelledError: it was.
        """
        if self._cancelled.is_set():
            raise WaitCancelledError("called off")

    def begin(self, name: str, total: int | None = None) -> None:
        """Tell of the next step."""
        self.check()
        self.on_step(Step(name, total))

    def advance(self, count: int) -> None:
        """Tell of more bytes."""
        self.check()
        self.on_bytes(count)

    def saying(self, prefix: str) -> Progress:
        """Return the same progress, whose steps are told with something in front."""
        return replace(
            self, on_step=lambda step: self.on_step(Step(f"{prefix}{step.name}", step.total))
        )

    def counted(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Yield `chunks`, telling of each."""
        for chunk in chunks:
            self.advance(len(chunk))
            yield chunk


@contextmanager
def ahead(chunks: Generator[bytes, None, None]) -> Iterator[Iterator[bytes]]:
    """Read chunks in a thread of its own, some way ahead of who uses them.

    Args:
        chunks: are closed at the end, also when nobody reads them to theirs.

    Yields:
        The same bytes in larger pieces; what reading raised is raised there.
    """
    reader = _Reader(chunks)
    thread = threading.Thread(target=reader.run, name="dockwright-read-ahead", daemon=True)
    thread.start()
    try:
        yield reader.pieces()
    finally:
        reader.unwanted.set()
        thread.join()


class _Reader:
    def __init__(self, chunks: Generator[bytes, None, None]) -> None:
        self.unwanted = threading.Event()
        self._chunks = chunks
        self._queue: queue.Queue[bytes | BaseException] = queue.Queue(_PIECES)

    def run(self) -> None:
        try:
            gathered: list[bytes] = []
            size = 0
            for chunk in self._chunks:
                gathered.append(chunk)
                size += len(chunk)
                if size >= _PIECE_BYTES:
                    self._put(b"".join(gathered))
                    gathered, size = [], 0
                if self.unwanted.is_set():
                    return
            if gathered:
                self._put(b"".join(gathered))
            self._put(b"")
        except BaseException as failure:  # noqa: BLE001 - raised again in the user's thread
            self._put(failure)
        finally:
            self._chunks.close()

    def pieces(self) -> Iterator[bytes]:
        while piece := self._queue.get():
            if isinstance(piece, BaseException):
                raise piece
            yield piece

    def _put(self, piece: bytes | BaseException) -> None:
        while not self.unwanted.is_set():
            try:
                self._queue.put(piece, timeout=_TURN_S)
            except queue.Full:
                continue
            return
