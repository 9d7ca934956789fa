"""What answers at an engine's address need not be one: each answer gets one sentence, soon."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from dockwright.engine import Engine, connect, http, resolve_endpoint
from dockwright.engine.containers import ContainerCalls
from dockwright.errors import EngineError
from tests._support.engine.answering import VERSION, answering, reply

Answer = Callable[[BaseHTTPRequestHandler], None]


def connected(url: str) -> Engine:
    return connect(resolve_endpoint({}, Path.home(), explicit=url), timeout_s=5)


def with_version(answer: Answer) -> Answer:
    """Answer as an engine does when it is asked for its version."""

    def serve(request: BaseHTTPRequestHandler) -> None:
        if request.path.endswith("/version"):
            reply(request, VERSION)
        else:
            answer(request)

    return serve


def refusal(answer: Answer, call: Callable[[Engine], object]) -> EngineError:
    with answering(with_version(answer)) as url, closing(connected(url)) as engine:
        with pytest.raises(EngineError) as caught:
            call(engine)
        caught.value.args = (str(caught.value).replace(url, "URL"),)
        caught.value.message = caught.value.message.replace(url, "URL")
        return caught.value


@pytest.mark.parametrize(
    ("body", "how"),
    [
        (b"", "answered with something that is not JSON"),
        (b"\xff\x00", "answered with something that is not JSON"),
        (b'{"Id": ', "answered with something that is not JSON"),
        (b"[" * 100_000, "answered with something that is not JSON"),
        ([], "answered with JSON that is a list"),
        ("text", "answered with JSON that is a str"),
        (None, "answered with JSON that is a NoneType"),
    ],
)
def test_an_answer_that_is_not_an_object_is_reported(body: object, how: str) -> None:
    failure = refusal(lambda request: reply(request, body), lambda engine: engine.info())
    assert failure.message == f"cannot ask for the engine's state: URL {how}"
    assert failure.hint == "check that a Docker-compatible engine serves this address"


@pytest.mark.parametrize("body", [{}, "text", [1], [[]]])
def test_an_answer_that_is_not_an_array_of_objects_is_reported(body: object) -> None:
    failure = refusal(
        lambda request: reply(request, body), lambda engine: engine.list_containers({})
    )
    assert failure.message == (
        "cannot list containers: URL answered with JSON that is not an array of objects"
    )


def test_a_missing_member_is_reported() -> None:
    def call(engine: ContainerCalls) -> object:
        return engine.inspect_container("web")["State"]["Running"]

    failure = refusal(lambda request: reply(request, {"State": {}}), call)
    assert failure.message == (
        "cannot inspect container web: 'Running' is missing in the engine's answer"
    )


def test_half_an_answer_is_reported() -> None:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", "1000")
        request.end_headers()
        request.wfile.write(b"{")
        request.close_connection = True

    failure = refusal(answer, lambda engine: engine.info())
    assert failure.message.startswith("cannot ask for the engine's state: no engine at URL ")
    assert "the connection broke" in failure.message


@pytest.mark.parametrize("status", [200, 500])
def test_an_endless_answer_is_reported(monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    monkeypatch.setattr(http, "_ANSWER_BYTES", 1 << 20)

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        request.end_headers()
        request.close_connection = True
        try:
            while True:
                request.wfile.write(b" " * 65536)
        except OSError:
            return

    failure = refusal(answer, lambda engine: engine.info())
    assert failure.message == (
        "cannot ask for the engine's state: URL answered and does not end its answer"
    )


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        (b"not JSON\n", "ValueError: "),
        (b"[1]\n", "a list, not an object"),
        (b"[" * 100_000, "nested too deeply"),
    ],
)
def test_a_stream_that_is_not_json_is_reported(lines: bytes, reason: str) -> None:
    failure = refusal(
        lambda request: reply(request, lines), lambda engine: engine.pull_image("web:1")
    )
    assert failure.message.startswith("pull image web:1: the engine closed the connection in ")
    assert reason.removesuffix(": ") in failure.message or "Expecting value" in failure.message


@pytest.mark.parametrize(
    "address", ["tcp://a b", "tcp://é:1", "tcp://..:1", f"tcp://{'a' * 300}:1", "unix:///dev/null"]
)
def test_an_impossible_address_is_reported(address: str) -> None:
    with pytest.raises(EngineError) as caught:
        connected(address)
    assert caught.value.message.startswith("cannot ask for the version: no engine at ")
    assert "\n" not in caught.value.message
