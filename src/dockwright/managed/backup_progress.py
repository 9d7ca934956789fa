"""The progress of a backup or restore, its cancellation, and reading ahead in a thread."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from dockwright.errors import WaitCancelledError

_PIECE_BYTES = 1 << 18
_PIECES = 8
_RETRY_S = 0.2


@dataclass(frozen=True, slots=True)
class Step:
    """The current step.

    Attributes:
        name: a description, e.g. ``reading volume data``.
        total: how many bytes it will process; None: unknown.
    """

    name: str
    total: int | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """Reports the steps of some work to a listener, and cancels the work.

    Attributes:
        on_step: called at the start of each step.
        on_bytes: called with the number of further bytes; from the thread that does the work.
    """

    on_step: Callable[[Step], None] = lambda step: None  # noqa: ARG005
    on_bytes: Callable[[int], None] = lambda count: None  # noqa: ARG005
    _cancelled: threading.Event = field(default_factory=threading.Event)

    def cancel(self) -> None:
        """Cancel the work; may be called from any thread."""
        self._cancelled.set()

    def check(self) -> None:
        """Raise if the work was cancelled.

        Raises:
            WaitCancelledError: it was.
        """
        if self._cancelled.is_set():
            raise WaitCancelledError("cancelled")

    def begin(self, name: str, total: int | None = None) -> None:
        """Report the next step."""
        self.check()
        self.on_step(Step(name, total))

    def advance(self, count: int) -> None:
        """Report further bytes."""
        self.check()
        self.on_bytes(count)

    def prefixed(self, prefix: str) -> Progress:
        """Return the same progress with a prefix before the name of each step."""
        return replace(
            self, on_step=lambda step: self.on_step(Step(f"{prefix}{step.name}", step.total))
        )

    def counted(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Yield `chunks`, and report the bytes of each."""
        for chunk in chunks:
            self.advance(len(chunk))
            yield chunk


@contextmanager
def ahead(chunks: Generator[bytes, None, None]) -> Iterator[Iterator[bytes]]:
    """Read chunks ahead in another thread.

    Args:
        chunks: closed at the end, even if they were not read completely.

    Yields:
        The same bytes in larger pieces; exceptions from reading are raised here.
    """
    reader = _Reader(chunks)
    thread = threading.Thread(target=reader.run, name="dockwright-read-ahead", daemon=True)
    thread.start()
    try:
        yield reader.pieces()
    finally:
        reader.stopped.set()
        thread.join()


class _Reader:
    def __init__(self, chunks: Generator[bytes, None, None]) -> None:
        self.stopped = threading.Event()
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
                if self.stopped.is_set():
                    return
            if gathered:
                self._put(b"".join(gathered))
            self._put(b"")
        except BaseException as failure:  # noqa: BLE001 - raised again in the other thread
            self._put(failure)
        finally:
            self._chunks.close()

    def pieces(self) -> Iterator[bytes]:
        while piece := self._queue.get():
            if isinstance(piece, BaseException):
                raise piece
            yield piece

    def _put(self, piece: bytes | BaseException) -> None:
        while not self.stopped.is_set():
            try:
                self._queue.put(piece, timeout=_RETRY_S)
            except queue.Full:
                continue
            return
