"""Ports outside that a world may reach: its loopback passes connections on to the machine's."""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import NoReturn

from dockwright.isolate.inside import kernel

_HOST = "127.0.0.1"
_PIECE_BYTES = 1 << 16
_MOST_PORTS = 200


def listen(ports: Iterable[int], relay: socket.socket) -> None:
    """Listen inside the world, and hand the sockets to the process outside that answers them."""
    listening = [socket.create_server((_HOST, port)) for port in ports]
    socket.send_fds(relay, [b"."], [each.fileno() for each in listening])
    for each in listening:
        each.close()


def start(close: Callable[[], None]) -> socket.socket:
    """Start the process outside; it ends with this one.

    Args:
        close: closes what the process must not hold.

    Returns:
        The socket that `listen` hands its sockets over.
    """
    ours, others = socket.socketpair()
    if os.fork():
        others.close()
        return ours
    try:
        kernel.end_with_parent()
        ours.close()
        close()
        for descriptor in (0, 1):
            os.close(descriptor)
        _serve(others)
    finally:
        os._exit(0)


def _serve(given: socket.socket) -> NoReturn:
    _, descriptors, _, _ = socket.recv_fds(given, 1, _MOST_PORTS)
    for descriptor in descriptors:
        listening = socket.socket(fileno=descriptor)
        threading.Thread(target=_accept, args=(listening,), daemon=True).start()
    threading.Event().wait()
    sys.exit()


def _accept(listening: socket.socket) -> None:
    port = listening.getsockname()[1]
    while True:
        inside, _ = listening.accept()
        try:
            outside = socket.create_connection((_HOST, port))
        except OSError:
            inside.close()
            continue
        for source, target in ((inside, outside), (outside, inside)):
            threading.Thread(target=_pass_on, args=(source, target), daemon=True).start()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(_PIECE_BYTES):
            target.sendall(piece)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)
