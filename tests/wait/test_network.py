"""HTTP answers and ports, from real servers."""

from __future__ import annotations

import http.server
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from dockwright.errors import WaitCancelledError, WaitTimeoutError
from dockwright.model import Address
from dockwright.wait import (
    CancelToken,
    Http,
    Target,
    Tcp,
    WaitOptions,
    poll_for_service_health,
    wait_for,
)
from dockwright.wait.strategy import WaitCondition


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers GET /status/NNN with that status, and POST with what was sent."""

    def do_GET(self) -> None:
        status = int(self.path.partition("?")[0].rpartition("/")[2] or 200)
        self.answer(status, f"hello {self.headers.get('X-Name', 'nobody')} {self.path}".encode())

    def do_POST(self) -> None:
        self.answer(200, self.rfile.read(int(self.headers["Content-Length"])))

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def accepting(handle: Callable[[socket.socket], None]) -> Iterator[int]:
    """Listen, and do `handle` with each connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                handle(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def last_seen(strategy: WaitCondition) -> str:
    with pytest.raises(WaitTimeoutError) as caught:
        wait_for(Target(), strategy, timeout_s=0.5)
    return caught.value.message.partition("last seen: ")[2]


def test_a_path_is_requested_at_the_port_of_the_target(port: int) -> None:
    target = Target("web", address_of=lambda inside: Address("127.0.0.1", port - 8000 + inside))
    assert wait_for(target, Http("/status/204", port=8000)).value == 204


def test_a_whole_url_with_a_query_is_requested(port: int) -> None:
    wait_for(Target(), Http(f"http://127.0.0.1:{port}/?a=b", answer=r"hello nobody /\?a=b$"))


def test_method_body_and_headers_are_sent(port: int) -> None:
    wait_for(
        Target(), Http(f"http://127.0.0.1:{port}/", method="POST", body=b"ping", answer="^ping$")
    )
    wait_for(
        Target(), Http(f"http://127.0.0.1:{port}/", headers={"X-Name": "me"}, answer="hello me")
    )


def test_status_and_body_may_be_judged_by_functions(port: int) -> None:
    url = f"http://127.0.0.1:{port}/status/418"
    report = wait_for(
        Target(), Http(url, status=lambda status: status > 400, answer=lambda body: b"418" in body)
    )
    assert report.value == 418


@pytest.mark.parametrize(("status", "text"), [(404, "Not Found"), (503, "Service Unavailable")])
def test_another_status_is_reported(port: int, status: int, text: str) -> None:
    assert last_seen(Http(f"http://127.0.0.1:{port}/status/{status}")) == f"status {status} {text}"


def test_another_body_is_reported(port: int) -> None:
    seen = last_seen(Http(f"http://127.0.0.1:{port}/", answer="goodbye"))
    assert seen == "status 200 OK, but not with the wanted body: 'hello nobody /'"


def test_an_error_of_the_users_function_reaches_the_user(port: int) -> None:
    def broken(body: bytes) -> bool:
        raise KeyError("status")

    with pytest.raises(KeyError, match="status"):
        wait_for(Target(), Http(f"http://127.0.0.1:{port}/", answer=broken), timeout_s=5)


def test_a_refused_connection_is_reported(free_port: int) -> None:
    assert last_seen(Http("/", port=free_port)) == "connection refused"
    assert last_seen(Tcp(free_port)) == f"127.0.0.1:{free_port}: connection refused"


def test_a_plain_server_that_is_asked_over_tls_is_reported(port: int) -> None:
    for verify in (True, False):
        assert "wrong version number" in last_seen(Http("/", port=port, tls=True, verify=verify))


def test_a_server_that_comes_later_is_found(free_port: int) -> None:
    servers: list[http.server.ThreadingHTTPServer] = []

    def serve() -> None:
        servers.append(http.server.ThreadingHTTPServer(("127.0.0.1", free_port), Handler))
        servers[0].serve_forever()

    timer = threading.Timer(0.2, serve)
    timer.start()
    report = wait_for(Target(), Http("/", port=free_port), timeout_s=20)
    servers[0].shutdown()
    servers[0].server_close()
    timer.join()
    assert 0.15 < report.elapsed_s < 10


def test_a_server_that_hangs_delays_neither_timeout_nor_cancel() -> None:
    held: list[socket.socket] = []
    token = CancelToken()
    with accepting(held.append) as port:
        with pytest.raises(WaitTimeoutError) as timeout:
            wait_for(Target(), Http("/", port=port, attempt_s=20), timeout_s=0.2)
        threading.Timer(0.1, token.cancel, ["enough"]).start()
        with pytest.raises(WaitCancelledError) as cancelled:
            wait_for(
                Target(), Http("/", port=port, attempt_s=20), options=WaitOptions(cancel=token)
            )
        for connection in held:
            connection.close()
    assert timeout.value.elapsed_s < 2
    assert cancelled.value.elapsed_s < 2
    assert re.search("first attempt has not ended|no answer within", timeout.value.message)


def test_a_port_that_accepts_is_ready(port: int) -> None:
    assert wait_for(Target(), Tcp(port)).value == Address("127.0.0.1", port)


def test_a_proxy_without_a_server_behind_it_is_not_ready() -> None:
    with accepting(socket.socket.close) as port:
        assert last_seen(Tcp(port)) == f"127.0.0.1:{port}: connected, but closed at once"
        assert re.search("closed|reset|broken pipe", last_seen(Http("/", port=port)))


def test_service_health_accepts_urls_and_addresses(port: int, free_port: int) -> None:
    assert poll_for_service_health(f"http://127.0.0.1:{port}/", timeout=10)
    assert poll_for_service_health(f"127.0.0.1:{port}", timeout=10)
    assert poll_for_service_health(Address("127.0.0.1", port), timeout=10)
    assert not poll_for_service_health(f"http://127.0.0.1:{port}/status/500", timeout=0.2)
    assert not poll_for_service_health(f"127.0.0.1:{free_port}", timeout=0.2)


@pytest.mark.parametrize(
    ("service", "message"),
    [
        ("ftp://host/", "is neither a path nor an http:// or https:// URL"),
        ("http://host:port/", "is neither a path nor"),
        ("host:http", "'host:http' is not host:port"),
        ("host:", "'host:' is neither a URL, nor host:port, nor a container"),
        ("host:70000", "is not host:port"),
    ],
)
def test_an_ambiguous_service_is_refused(service: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        poll_for_service_health(service, timeout=0)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Http("/health"), "the path /health needs a port"),
        (lambda: Http("health"), "'health' is neither a path nor"),
        (lambda: Http("http://x/", port=80), "http://x/ already has a port; port=80 is for"),
        (lambda: Http("/", port=0), "a port is a number from 1 to 65535, not 0"),
        (lambda: Tcp(70000), "a port is a number from 1 to 65535, not 70000"),
    ],
)
def test_an_impossible_place_is_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_a_port_must_be_a_number() -> None:
    with pytest.raises(TypeError, match="a port is a number, not '80'"):
        Tcp("80")  # type: ignore[arg-type]  # meant
