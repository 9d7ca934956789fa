"""Notes which images the containers of a world use, so that the next run prepares them."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import suppress
from urllib.parse import quote

from dockwright.isolate.inside import kernel
from dockwright.isolate.inside.plan import note

_MADE_INSIDE = ("tag", "load", "import")
_FILTERS = {"type": ["container", "image"], "event": ["create", *_MADE_INSIDE]}
_PIECE_BYTES = 1 << 16
_MOST = 200


def start(address: str, notes: int) -> None:
    """Start a process that listens to the engine of this world; it ends with the world.

    Args:
        address: the engine's socket.
        notes: the descriptor of the file for the notes.
    """
    if os.fork():
        return
    try:
        kernel.restore_signals()
        nowhere = os.open(os.devnull, os.O_RDWR)
        for descriptor in range(3):
            os.dup2(nowhere, descriptor)
        for image in used(_events(address)):
            note(notes, image=image)
    finally:
        os._exit(0)


def used(events: Iterator[dict[str, object]]) -> Iterator[str]:
    """Yield each image of a container once, except for images that were made in this world.

    Args:
        events: of the engine: created containers, and images that got a name.
    """
    known: set[str] = set()
    for event in events:
        actor = event.get("Actor")
        attributes = actor.get("Attributes") if isinstance(actor, dict) else None
        if not isinstance(attributes, dict):
            continue
        made = event.get("Action") in _MADE_INSIDE
        image = attributes.get("name" if made else "image")
        if not isinstance(image, str) or image in known or len(known) >= _MOST:
            continue
        known.add(image)
        if not made:
            yield image


def _events(address: str) -> Iterator[dict[str, object]]:
    """Yield the events of an engine; by HTTP 1.0, which has one answer and no pieces."""
    with socket.socket(socket.AF_UNIX) as engine:
        engine.connect(address)
        path = f"/events?filters={quote(json.dumps(_FILTERS))}"
        engine.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        waiting = b""
        while piece := engine.recv(_PIECE_BYTES):
            *lines, waiting = (waiting + piece).split(b"\n")
            for line in lines:
                with suppress(ValueError):  # the head of the answer
                    event = json.loads(line)
                    if isinstance(event, dict):
                        yield event
