"""How an engine is reached: one pool for all threads, versions, TLS, ssh, forks, cost."""

from __future__ import annotations

import os
import shutil
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from multiprocessing import get_context
from multiprocessing.queues import Queue
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from dockwright.engine import Endpoint, Engine, TlsFiles, connect, parallel
from dockwright.engine.http import PoolAdapter, ssh_command
from dockwright.errors import (
    EngineError,
    EnginePermissionError,
    EngineTimeoutError,
    EngineUnreachableError,
)
from tests._support.engine.answering import VERSION, answering, forwarding, reply


@pytest.fixture
def own_engine(engine: Engine) -> Iterator[Engine]:
    """A connection of the test's own to the same engine, to be closed or counted."""
    mine = connect(Endpoint(engine.endpoint.url, "a test", engine.endpoint.tls))
    yield mine
    mine.close()


@pytest.mark.parametrize(
    ("module", "forbidden"),
    [
        ("dockwright.engine", ("docker", "requests", "urllib3", "psutil")),
        ("dockwright.pool.session", ("docker", "requests", "urllib3", "psutil")),
        ("dockwright.cli.stack.start", ("docker",)),
        ("dockwright.engine.client", ("docker",)),
    ],
)
def test_the_docker_sdk_is_not_loaded_before_it_is_used(
    module: str, forbidden: tuple[str, ...]
) -> None:
    code = f"import sys, {module}; print([m for m in {forbidden} if m in sys.modules])"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, timeout=60, check=True
    )
    assert loaded.stdout.strip() == b"[]"


@pytest.mark.engine
def test_connecting_twice_gives_the_same_engine_until_it_is_closed(own_engine: Engine) -> None:
    assert connect(own_engine.endpoint) is own_engine
    own_engine.close()
    again = connect(own_engine.endpoint)
    assert again is not own_engine
    again.ping()
    again.close()


@pytest.mark.engine
def test_the_version_is_negotiated(engine: Engine) -> None:
    version = engine.version()
    assert version.api_at_least("1.41")
    assert not version.api_at_least("9.99")
    assert version.os == "linux"
    assert engine.info()["ServerVersion"] == version.server


@pytest.mark.engine
def test_all_calls_of_a_thread_share_one_connection(own_engine: Engine) -> None:
    for _ in range(5):
        own_engine.ping()
        own_engine.list_containers({})
        own_engine.info()
    assert _open_connections(own_engine) == 1


@pytest.mark.engine
def test_threads_share_the_pool(own_engine: Engine) -> None:
    parallel.run([own_engine.ping] * 64, max_parallel=8)
    assert _open_connections(own_engine) <= 8


def _open_connections(engine: Engine) -> int:
    """Count this process's sockets that are connected to the engine's."""
    if not engine.endpoint.url.startswith("unix://"):
        pytest.skip("counts connections to a unix socket")
    adapter = engine._http._adapter
    assert isinstance(adapter, PoolAdapter)
    idle = adapter.pool.pool
    assert idle is not None
    return sum(1 for connection in idle.queue if connection is not None and connection.sock)


@pytest.mark.engine
def test_every_call_is_counted_by_kind(own_engine: Engine) -> None:
    before = own_engine.statistics()
    parallel.run([own_engine.ping] * 10)
    own_engine.list_volumes({})
    after = own_engine.statistics()
    assert after.calls - before.calls == 11
    assert after.by_call["ping the engine"].count == 10
    assert after.by_call["list volumes"].seconds > 0
    assert after.seconds == pytest.approx(sum(each.seconds for each in after.by_call.values()))


def _ask(engine: Engine, queue: Queue[object]) -> None:
    engine.ping()
    queue.put((connect(engine.endpoint) is engine, engine.statistics().calls))


@pytest.mark.engine
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # Python 3.12 on, with threads
def test_a_forked_child_uses_connections_of_its_own(own_engine: Engine) -> None:
    own_engine.ping()
    context = get_context("fork")
    queue: Queue[object] = context.Queue()
    child = context.Process(target=_ask, args=(own_engine, queue))
    child.start()
    answer = queue.get(timeout=20)
    child.join(20)
    assert answer == (False, 1)
    own_engine.ping()  # the parent's connection was not spoken on


@pytest.mark.engine
def test_the_sdk_client_works_on_the_same_connections(own_engine: Engine) -> None:
    client = own_engine.sdk
    assert client is own_engine.sdk
    assert client.ping()
    assert client.api.api_version == own_engine.version().api
    assert client.containers.list() is not None
    if own_engine.endpoint.url.startswith("unix://"):
        assert _open_connections(own_engine) == 1


@pytest.mark.parametrize(
    ("newest", "oldest", "spoken"),
    [
        ("1.41", "1.12", "1.41"),
        ("1.60", "1.44", "1.51"),
        ("1.70", "1.60", "1.60"),
        ("1.9", "", "1.24"),
    ],
)
def test_the_newest_api_that_both_sides_know_is_spoken(
    newest: str, oldest: str, spoken: str
) -> None:
    paths: list[str] = []

    def answer(request: BaseHTTPRequestHandler) -> None:
        paths.append(request.path)
        reply(request, {**VERSION, "ApiVersion": newest, "MinAPIVersion": oldest})

    with answering(answer) as address:
        engine = connect(Endpoint(address, "a test"))
        engine.ping()
        engine.close()
    assert engine.version().api == spoken
    assert paths == ["/version", f"/v{spoken}/_ping"]


def test_podman_is_recognised() -> None:
    document = {**VERSION, "Components": [{"Name": "Podman Engine", "Version": "5.0.0"}]}
    with answering(lambda request: reply(request, document)) as address:
        engine = connect(Endpoint(address, "a test"))
        engine.close()
    assert engine.version().kind == "podman"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"<html>hello</html>", "answered with something that is not JSON"),
        ({"hello": "world"}, "not as a Docker-compatible engine does"),
        ({"ApiVersion": "next"}, "not as a Docker-compatible engine does"),
        ([], "not as a Docker-compatible engine does"),
    ],
)
def test_an_address_without_an_engine_is_reported(body: object, message: str) -> None:
    with (
        answering(lambda request: reply(request, body)) as address,
        pytest.raises(EngineError, match=message) as caught,
    ):
        connect(Endpoint(address, "a test"))
    assert address in caught.value.message
    assert "address" in str(caught.value.hint)


def test_a_page_is_not_taken_for_an_engines_words() -> None:
    page = b"<!DOCTYPE HTML><html><h1>Error response</h1></html>"
    with (
        answering(lambda request: reply(request, page, 404)) as address,
        pytest.raises(EngineError, match=r"answered with a page \(HTTP status 404\)") as caught,
    ):
        connect(Endpoint(address, "a test"))
    assert address in caught.value.message
    assert "DOCTYPE" not in str(caught.value)
    assert "address" in str(caught.value.hint)


def test_podmans_errors_are_read_too() -> None:
    def answer(request: BaseHTTPRequestHandler) -> None:
        if request.path == "/version":
            reply(request, VERSION)
        else:
            reply(request, {"cause": "no such volume", "message": "v: no such volume"}, 404)

    with answering(answer) as address:
        engine = connect(Endpoint(address, "a test"))
        with pytest.raises(EngineError, match="cannot inspect volume v: v: no such volume"):
            engine.inspect_volume("v")
        engine.close()


def _until(released: threading.Event) -> None:
    released.wait(20)


def test_an_engine_that_hangs_is_a_timeout() -> None:
    release = threading.Event()
    with answering(lambda request: _until(release)) as address:
        try:
            with pytest.raises(EngineTimeoutError) as caught:
                connect(Endpoint(address, "a test"), timeout_s=0.2)
        finally:
            release.set()
    assert caught.value.message == (
        f"cannot ask for the version: the engine at {address} (from a test) "
        "did not answer within 0.2 s"
    )


def test_an_answer_that_breaks_off_is_reported() -> None:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", "1000")
        request.end_headers()
        request.wfile.write(b'{"ApiVersion"')
        request.close_connection = True

    with (
        answering(answer) as address,
        pytest.raises(EngineUnreachableError, match="the connection broke") as caught,
    ):
        connect(Endpoint(address, "a test"))
    assert "cannot ask for the version" in caught.value.message


def test_no_socket_at_all(tmp_path: Path) -> None:
    with pytest.raises(EngineUnreachableError) as caught:
        connect(Endpoint(f"unix://{tmp_path}/none.sock", "DOCKER_HOST"))
    assert caught.value.message == (
        f"cannot ask for the version: no engine at unix://{tmp_path}/none.sock (from DOCKER_HOST): "
        "the socket does not exist"
    )
    assert "start Docker or Podman" in str(caught.value.hint)


def test_a_socket_that_an_engine_left(tmp_path: Path) -> None:
    import socket

    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
    with pytest.raises(EngineUnreachableError, match="nothing listens there"):
        connect(Endpoint(f"unix://{path}", "socket"))


def test_a_closed_port_and_an_unknown_host_are_reported() -> None:
    with pytest.raises(EngineUnreachableError, match="nothing listens there"):
        connect(Endpoint("tcp://127.0.0.1:1", "DOCKER_HOST"))
    with pytest.raises(EngineUnreachableError, match="its host name cannot be resolved"):
        connect(Endpoint("tcp://no-such-host.invalid:1", "DOCKER_HOST"))


@pytest.mark.engine
def test_a_refused_permission_says_how_to_get_it(engine: Engine) -> None:
    if os.geteuid() != 0 or not engine.endpoint.url.startswith("unix://"):
        pytest.skip("becoming a user without rights needs root and a unix socket")
    receiver, sender = get_context("spawn").Pipe(duplex=False)
    pid = os.fork()
    if pid == 0:
        # Nothing may be imported or written as this user: report over the pipe and leave.
        try:
            os.setgroups([])
            os.setresgid(65534, 65534, 65534)
            os.setresuid(65534, 65534, 65534)
            connect(Endpoint(engine.endpoint.url, "socket"))
        except EnginePermissionError as exc:
            sender.send((exc.message, exc.hint))
        finally:
            os._exit(0)
    sender.close()
    assert receiver.poll(20)
    message, hint = receiver.recv()
    os.waitpid(pid, 0)
    assert f"permission denied for the engine at {engine.endpoint.url} (from socket)" in message
    assert "usermod -aG docker" in hint
    assert "rootless" in hint


# --- TLS and ssh, in front of the real engine -----------------------------------------------


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of an authority, of a server and of a client, made with openssl."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs openssl to make certificates")
    directory = tmp_path_factory.mktemp("tls")

    def run(*arguments: str) -> None:
        subprocess.run(
            [openssl, *arguments], cwd=directory, check=True, capture_output=True, timeout=60
        )

    new = ("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2")
    run(*new, "-subj", "/CN=authority", "-keyout", "ca-key.pem", "-out", "ca.pem")
    signed = (*new, "-CA", "ca.pem", "-CAkey", "ca-key.pem", "-addext", "basicConstraints=CA:FALSE")
    run(
        *signed,
        *("-subj", "/CN=server", "-addext", "subjectAltName=IP:127.0.0.1"),
        *("-keyout", "server-key.pem", "-out", "server.pem"),
    )
    run(*signed, "-subj", "/CN=client", "-keyout", "key.pem", "-out", "cert.pem")
    return directory


@pytest.fixture
def tls_address(engine: Engine, certificates: Path) -> Iterator[str]:
    """An address that speaks TLS and asks for a client's certificate."""
    if not engine.endpoint.url.startswith("unix://"):
        pytest.skip("forwards to a unix socket")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "server.pem", certificates / "server-key.pem")
    context.load_verify_locations(certificates / "ca.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    with forwarding(Path(engine.endpoint.url.removeprefix("unix://")), context) as port:
        yield f"tcp://127.0.0.1:{port}"


@pytest.mark.engine
@pytest.mark.parametrize("verify", [True, False])
def test_tls_with_a_clients_certificate(
    engine: Engine, certificates: Path, tls_address: str, verify: bool
) -> None:
    files = TlsFiles.in_directory(certificates, verify=verify)
    secure = connect(Endpoint(tls_address, "a test", files))
    try:
        assert secure.info()["Name"] == engine.info()["Name"]
        assert secure.sdk.ping()
        with secure.events.subscribe(container="of nobody") as subscription:
            assert subscription.get(0.05) is None
    finally:
        secure.close()


@pytest.mark.engine
def test_tls_with_the_wrong_authority_is_reported(certificates: Path, tls_address: str) -> None:
    files = TlsFiles(verify=True, ca=certificates / "cert.pem")
    with pytest.raises(EngineUnreachableError, match="the TLS connection failed") as caught:
        connect(Endpoint(tls_address, "a test", files))
    assert "DOCKER_CERT_PATH" in str(caught.value.hint)


def test_plain_http_where_tls_is_expected_is_reported(certificates: Path) -> None:
    files = TlsFiles.in_directory(certificates, verify=True)
    with (
        answering(lambda request: reply(request, VERSION)) as address,
        pytest.raises(EngineUnreachableError, match="the TLS connection failed"),
    ):
        connect(Endpoint(address, "a test", files))


def test_the_ssh_command_is_that_of_the_docker_command() -> None:
    command = ssh_command(urlsplit("ssh://me@build.example:2222"))
    assert command[0] == "ssh"
    assert command[command.index("-l") + 1] == "me"
    assert command[command.index("-p") + 1] == "2222"
    assert command[-5:] == ["--", "build.example", "docker", "system", "dial-stdio"]


@pytest.mark.engine
def test_an_engine_over_ssh(
    engine: Engine, unique_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not shutil.which("docker"):
        pytest.skip("the far end of ssh runs the docker command")
    # Only the way is replaced: what ssh would run on the far host runs here.
    fake = tmp_path / "ssh"
    fake.write_text(
        f'#!/bin/sh\necho $$ >>"{tmp_path}/pids"\nwhile [ "$1" != -- ]; do shift; done\n'
        f'shift 2\nDOCKER_HOST={engine.endpoint.url} exec "$@"\n'
    )
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    far = connect(Endpoint("ssh://me@far.example", "a test"))
    try:
        assert not far.endpoint.is_local
        for _ in range(3):
            assert far.info()["Name"] == engine.info()["Name"]
        with far.events.subscribe(types=("volume",), actions=("create",)) as subscription:
            far.create_volume(unique_name)
            events = iter(lambda: subscription.get(10), None)  # others make volumes as well
            assert any(event.id == unique_name for event in events)
    finally:
        far.remove_volume(unique_name)
        far.close()
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    assert len(pids) == 2  # one for all calls, one for the events
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_ssh_that_fails_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ssh").write_text("#!/bin/sh\nexit 255\n")
    (tmp_path / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(EngineUnreachableError, match="the connection broke") as caught:
        connect(Endpoint("ssh://far.example", "DOCKER_HOST"))
    assert "`ssh HOST docker version`" in str(caught.value.hint)


def test_missing_ssh_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EngineUnreachableError, match="the command `ssh` is not installed"):
        connect(Endpoint("ssh://far.example", "DOCKER_HOST"))
