"""Messages between a broker and its clients."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Iterator

import pytest

from dockwright.errors import ComposeError, LeaseError, StackError
from dockwright.pool.protocol import (
    LIMIT_BYTES,
    Connection,
    ProtocolError,
    error_from_json,
    error_to_json,
)


@pytest.fixture
def ends() -> Iterator[tuple[Connection, socket.socket]]:
    ours, theirs = socket.socketpair()
    connection = Connection(ours)
    yield connection, theirs
    connection.close()
    theirs.close()


def test_a_message_arrives_as_it_was_sent(ends: tuple[Connection, socket.socket]) -> None:
    connection, other = ends
    message = {"id": 1, "do": "acquire", "text": "ü\n" * 100_000}
    sender = threading.Thread(target=Connection(other).send, args=(message,))
    sender.start()
    assert connection.receive() == message
    sender.join()


def test_many_senders_do_not_mix_their_messages(ends: tuple[Connection, socket.socket]) -> None:
    connection, other = ends
    shared = Connection(other)
    texts = [chr(ord("a") + number) * 50_000 for number in range(8)]
    senders = [threading.Thread(target=shared.send, args=({"text": text},)) for text in texts]
    for sender in senders:
        sender.start()
    received = {(connection.receive() or {})["text"] for _ in texts}
    assert received == set(texts)
    for sender in senders:
        sender.join()


def test_the_end_of_a_connection_is_none(ends: tuple[Connection, socket.socket]) -> None:
    connection, other = ends
    other.close()
    assert connection.receive() is None


def test_an_end_in_the_middle_of_a_message_is_none(ends: tuple[Connection, socket.socket]) -> None:
    connection, other = ends
    other.sendall(struct.pack("!I", 100) + b"{")
    other.close()
    assert connection.receive() is None


def test_closing_wakes_a_receiver(ends: tuple[Connection, socket.socket]) -> None:
    connection, _ = ends
    received: list[object] = []
    reader = threading.Thread(target=lambda: received.append(connection.receive()))
    reader.start()
    connection.close()
    reader.join(10)
    assert received == [None]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (struct.pack("!I", LIMIT_BYTES + 1), "was announced: over"),
        (struct.pack("!I", 3) + b"{x}", "a message is not JSON"),
        (struct.pack("!I", 2) + b"[]", "a message is an object, not list"),
    ],
)
def test_what_is_no_message_is_refused(
    ends: tuple[Connection, socket.socket], data: bytes, text: str
) -> None:
    connection, other = ends
    other.sendall(data)
    with pytest.raises(ProtocolError, match=text):
        connection.receive()


def test_a_message_that_is_too_long_is_not_sent(ends: tuple[Connection, socket.socket]) -> None:
    connection, _ = ends
    with pytest.raises(ProtocolError, match=f"is over {LIMIT_BYTES}"):
        connection.send({"text": "x" * LIMIT_BYTES})


def test_an_error_keeps_its_class_message_and_hint() -> None:
    sent = json.loads(json.dumps(error_to_json(StackError("db exited", hint="look at it"))))
    received = error_from_json(sent)
    assert type(received) is StackError
    assert (received.message, received.hint) == ("db exited", "look at it")


def test_an_error_with_a_place_keeps_it_in_its_message() -> None:
    received = error_from_json(error_to_json(ComposeError("no such key", path="services.web")))
    assert isinstance(received, ComposeError)
    assert received.message == "services.web: no such key"


@pytest.mark.parametrize("name", ["Path", "KeyError", "nothing"])
def test_an_error_of_another_kind_becomes_one_of_ours(name: str) -> None:
    assert type(error_from_json({"type": name, "message": "m", "hint": None})) is LeaseError
