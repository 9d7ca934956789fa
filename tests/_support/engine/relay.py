"""Sockets that pass everything on to an engine's: one that a test can cut, one over TCP."""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_CHUNK_BYTES = 1 << 16


class Relay:
    """A way to an engine that can be cut and mended; the engine itself does not notice.

    Args:
        place: of the socket; a short path.
        target: the engine's own socket.
    """

    def __init__(self, place: Path, target: str) -> None:
        self.url = f"unix://{place}"
        self._place = place
        self._target = target
        self._ends: list[socket.socket] = []
        self._server: _Server | None = None
        self.mend()

    def mend(self) -> None:
        """Listen (again)."""
        self._server = _Server(self._place, self._pass_on)
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def cut(self) -> None:
        """Listen no more, and break what is connected."""
        if self._server is None:
            return
        self._server.shutdown()
        self._server.server_close()
        self._server = None
        self._place.unlink()
        while self._ends:
            with suppress(OSError):  # it has ended by itself
                self._ends.pop().shutdown(socket.SHUT_RDWR)

    def _pass_on(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as engine:
            engine.connect(self._target)
            self._ends += [client, engine]
            back = threading.Thread(target=_pump, args=(engine, client), daemon=True)
            back.start()
            _pump(client, engine)
            back.join()


@contextmanager
def over_tcp(target: str) -> Iterator[str]:
    """Give the URL of a loopback port that leads to an engine's socket, as if it were remote."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.socket(socket.AF_UNIX) as engine:
                engine.connect(target)
                back = threading.Thread(target=_pump, args=(engine, self.request), daemon=True)
                back.start()
                _pump(self.request, engine)
                back.join()

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        server.block_on_close = False
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"tcp://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, place: Path, pass_on: Callable[[socket.socket], None]) -> None:
        self._pass_on = pass_on
        super().__init__(str(place), socketserver.BaseRequestHandler)

    def finish_request(self, request: object, client_address: object) -> None:
        assert isinstance(request, socket.socket)
        self._pass_on(request)


def _pump(source: socket.socket, sink: socket.socket) -> None:
    """Copy until the source ends or either breaks; then the sink learns of the end."""
    with suppress(OSError):
        while chunk := source.recv(_CHUNK_BYTES):
            sink.sendall(chunk)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
