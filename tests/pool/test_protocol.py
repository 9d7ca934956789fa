"""Messages between a broker and its clients."""

from __future__ import annotations

import importlib
import json
import pkgutil
import socket
import struct
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import dockwright
from dockwright.compose import LoadOptions
from dockwright.errors import ComposeError, DockwrightError, LeaseError, WaitTimeoutError
from dockwright.pool.protocol import (
    LIMIT_BYTES,
    Connection,
    ProtocolError,
    error_from_json,
    error_to_json,
    load_options_to_json,
)
from dockwright.recording import decoded


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


def test_a_closed_connection_returns_none(
    ends: tuple[Connection, socket.socket],
) -> None:
    connection, other = ends
    other.close()
    assert connection.receive() is None


def test_a_connection_that_ends_within_a_message_returns_none(
    ends: tuple[Connection, socket.socket],
) -> None:
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
        (struct.pack("!I", LIMIT_BYTES + 1), "is longer than"),
        (struct.pack("!I", 3) + b"{x}", "a message is not JSON"),
        (struct.pack("!I", 2) + b"[]", "a message must be an object, not list"),
    ],
)
def test_invalid_messages_are_refused(
    ends: tuple[Connection, socket.socket], data: bytes, text: str
) -> None:
    connection, other = ends
    other.sendall(data)
    with pytest.raises(ProtocolError, match=text):
        connection.receive()


def test_a_message_that_is_too_long_is_not_sent(ends: tuple[Connection, socket.socket]) -> None:
    connection, _ = ends
    with pytest.raises(ProtocolError, match=f"is longer than {LIMIT_BYTES}"):
        connection.send({"text": "x" * LIMIT_BYTES})


def error_classes() -> list[type[DockwrightError]]:
    """Return every error class of the package, wherever it is defined."""
    for module in pkgutil.walk_packages(dockwright.__path__, "dockwright."):
        if not module.name.rpartition(".")[2].startswith("__"):
            importlib.import_module(module.name)
    found, pending = [], [DockwrightError]
    while pending:
        kind = pending.pop()
        found.append(kind)
        pending += kind.__subclasses__()
    return [kind for kind in found if kind.__module__.startswith("dockwright.")]


def crossed(failure: BaseException) -> DockwrightError:
    return error_from_json(json.loads(json.dumps(error_to_json(failure))))


def test_every_error_arrives_as_what_it_was() -> None:
    classes = error_classes()
    assert len(classes) > 50
    for kind in classes:
        sent = kind("db exited", hint="look at it")
        sent.add_note("a note")
        received = crossed(sent)
        assert type(received) is kind
        assert vars(received) == vars(sent)
        assert (received.args, str(received)) == (sent.args, str(sent))


@pytest.mark.parametrize(
    "sent",
    [
        ComposeError("no such key", file=Path("c.yaml"), line=3, path="services.web", hint="x"),
        WaitTimeoutError("not ready", elapsed_s=1.5, attempts=7),
    ],
)
def test_an_error_keeps_its_attributes(sent: DockwrightError) -> None:
    assert vars(crossed(sent)) == vars(sent)


def test_a_foreign_exception_arrives_as_a_lease_error() -> None:
    received = crossed(KeyError("x"))
    assert type(received) is LeaseError
    assert received.message == "KeyError: 'x'"


@pytest.mark.parametrize(
    "name",
    [
        "dockwright.errors:Path",
        "dockwright.errors:nothing",
        "dockwright.nothing:StackError",
        "dockwright.__main__:main",
        "builtins:KeyError",
        "LeaseError",
    ],
)
def test_a_class_that_is_not_an_error_of_dockwright_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="not an error of dockwright"):
        error_from_json({"type": name, "args": ["m"], "attributes": {}})


def test_load_options_arrive_with_absolute_paths_and_their_own_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HERE", "client")
    options = LoadOptions(files=(Path("compose.yaml"),), profiles=("a",), runnable=False)
    sent = json.dumps(load_options_to_json(options))
    monkeypatch.setenv("HERE", "broker")
    received = decoded(LoadOptions, json.loads(sent))
    assert received == replace(options, files=(Path("compose.yaml").absolute(),), start=Path.cwd())
    assert received.environ["HERE"] == "client"
