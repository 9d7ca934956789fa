"""One broker for all clients of a project: started once, ended with the last, crash-safe."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from dockwright.compose import LoadOptions
from dockwright.engine import PREFIX, Engine
from dockwright.errors import DockwrightError
from dockwright.paths import project_hash
from dockwright.pool import PoolClient, PoolOptions
from dockwright.pool.protocol import LIMIT_BYTES, PROTOCOL, Connection, error_from_json
from dockwright.pool.runtime import BrokerPlace
from dockwright.settings import Settings
from tests._support.owned import leftovers
from tests.pool.conftest import eventually, exclusively, shared

pytestmark = pytest.mark.engine
WAIT_S = 60.0

CHILD = """
import os, sys, pathlib
from dockwright.compose import LoadOptions
from dockwright.engine import connect
from dockwright.model import Requirement
from dockwright.pool import PoolClient, PoolOptions
from dockwright.settings import Settings
root, url, file = pathlib.Path(sys.argv[1]), sys.argv[2], pathlib.Path(sys.argv[3])
settings = Settings(root, cache_baselines=False)
client = PoolClient(PoolOptions(settings, connect, url))
client.declare("tiny", LoadOptions(files=(file,)))
lease = client.acquire(Requirement("tiny", True, "function", "child"), timeout_s=60)
print(lease.leased.project, flush=True)
sys.stdin.readline()
"""

ClientMaker = Callable[..., PoolClient]


@pytest.fixture(autouse=True)
def private_runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Sockets and state of these tests only; the path is short, as a socket's must be."""
    directory = tmp_path / "r"
    directory.mkdir(mode=0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(directory))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return directory


@pytest.fixture
def place(tmp_path: Path, engine: Engine) -> BrokerPlace:
    return BrokerPlace.of(tmp_path, engine.endpoint.url)


@pytest.fixture
def make_client(
    engine: Engine, compose_file: Path, tmp_path: Path, place: BrokerPlace
) -> Iterator[ClientMaker]:
    clients: list[PoolClient] = []

    def make(*, keep_warm_s: float = 0.0) -> PoolClient:
        settings = Settings(tmp_path, keep_warm=keep_warm_s, cache_baselines=False)
        client = PoolClient(PoolOptions(settings, lambda: engine, engine.endpoint.url))
        clients.append(client)
        client.declare("tiny", LoadOptions(files=(compose_file,)))
        return client

    yield make
    for client in clients:
        client.close()
    for process in brokers(tmp_path):
        process.terminate()
        process.wait(WAIT_S)
    assert ours(engine, tmp_path) == []


def brokers(root: Path) -> list[psutil.Process]:
    """The broker processes of one project root."""
    found = []
    for process in psutil.process_iter(["cmdline", "status"]):
        line = process.info["cmdline"] or []
        if "dockwright.pool.broker" in line and str(root) in line:
            found.append(process)
    return found


def ours(engine: Engine, root: Path) -> list[str]:
    return leftovers(engine, {f"{PREFIX}project": project_hash(root)})


def test_the_first_client_starts_a_broker_and_the_last_ends_it(
    make_client: ClientMaker, engine: Engine, tmp_path: Path, place: BrokerPlace
) -> None:
    client = make_client()
    client.release(client.acquire(exclusively("test"), timeout_s=WAIT_S))
    assert len(brokers(tmp_path)) == 1
    assert place.address.stat().st_mode & 0o777 == 0o600
    summary = client.close()
    assert summary.counts["leases"] == 1
    assert ours(engine, tmp_path) == []  # when close returns, not some time later
    assert list(place.directory.glob(f"{place.name}*")) == []


def test_a_client_in_a_hurry_leaves_the_removal_to_the_broker(
    make_client: ClientMaker, engine: Engine, tmp_path: Path, place: BrokerPlace
) -> None:
    client = make_client()
    client.release(client.acquire(exclusively("test"), timeout_s=WAIT_S))
    summary = client.close(wait=False)
    assert summary.counts["leases"] == 1
    assert not place.address.exists()  # the next run starts a broker of its own
    eventually(lambda: not ours(engine, tmp_path), "its stacks to go")
    eventually(lambda: not brokers(tmp_path), "its broker to end")


def test_an_ending_broker_and_new_clients_share_at_most_one_lock(
    place: BrokerPlace,
) -> None:
    """Whoever holds the lock is alone, though others remove its file meanwhile."""
    inside = 0

    def hold_and_vacate(_: int) -> bool:
        nonlocal inside
        with place.locked():
            inside += 1
            alone = inside == 1
            inside -= 1
        place.vacate()
        return alone

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(hold_and_vacate, range(400)))
    assert list(place.directory.glob(f"{place.name}*")) == []


def test_one_of_many_first_clients_starts_the_broker(
    make_client: ClientMaker, tmp_path: Path
) -> None:
    with ThreadPoolExecutor(8) as threads:
        clients = list(threads.map(lambda _: make_client(), range(8)))
    assert len(brokers(tmp_path)) == 1
    leases = [client.acquire(shared("reader"), timeout_s=WAIT_S) for client in clients]
    assert len({lease.leased.project for lease in leases}) == 1


def test_a_client_that_stays_keeps_the_pool(make_client: ClientMaker, tmp_path: Path) -> None:
    first, second = make_client(), make_client()
    lease = first.acquire(shared("first"), timeout_s=WAIT_S)
    first.release(lease)
    first.close()
    again = second.acquire(shared("second"), timeout_s=WAIT_S)
    assert again.leased.project == lease.stack.identity.project


def test_a_warm_pool_serves_the_next_run_and_ends_by_itself(
    make_client: ClientMaker, engine: Engine, tmp_path: Path
) -> None:
    first = make_client(keep_warm_s=5.0)
    lease = first.acquire(shared("first run"), timeout_s=WAIT_S)
    first.close()
    second = make_client()
    again = second.acquire(shared("second run"), timeout_s=WAIT_S)
    assert again.stack.identity.project == lease.stack.identity.project
    second.close()
    eventually(lambda: ours(engine, tmp_path) == [], "the warm pool to end")


def test_the_leases_of_a_killed_client_are_free_at_once(
    make_client: ClientMaker, engine: Engine, compose_file: Path, tmp_path: Path
) -> None:
    survivor = make_client()
    arguments = [str(tmp_path), engine.endpoint.url, str(compose_file)]
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        held = child.stdout.readline().strip()
        child.kill()
    lease = survivor.acquire(exclusively("survivor"), timeout_s=WAIT_S)
    statistics = survivor.statistics()
    assert statistics is not None
    holders = [holder for stack in statistics["stacks"] for holder in stack["holders"]]
    assert holders == [f"{os.getpid()} survivor"]
    assert held.startswith("dw-tiny-")
    survivor.release(lease)


def test_everything_goes_when_the_only_client_is_killed(
    engine: Engine, compose_file: Path, tmp_path: Path
) -> None:
    arguments = [str(tmp_path), engine.endpoint.url, str(compose_file)]
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline().startswith("dw-tiny-")
        child.kill()
    eventually(lambda: ours(engine, tmp_path) == [], "everything to be removed")
    eventually(lambda: brokers(tmp_path) == [], "the broker to end")


def test_leftovers_of_a_killed_broker_are_removed_at_the_next_start(
    make_client: ClientMaker, engine: Engine, tmp_path: Path
) -> None:
    client = make_client()
    lease = client.acquire(exclusively("test"), timeout_s=WAIT_S)
    left = lease.stack.identity.project
    (broker,) = brokers(tmp_path)
    broker.kill()
    eventually(lambda: brokers(tmp_path) == [], "the broker to die")
    with pytest.raises(DockwrightError) as caught:
        client.acquire(exclusively("another"), timeout_s=WAIT_S)
    assert "the broker is gone" in str(caught.value)
    assert "dockwright clean" in str(caught.value)
    assert any(left in name for name in ours(engine, tmp_path))
    successor = make_client()
    successor.release(successor.acquire(exclusively("next run"), timeout_s=WAIT_S))
    eventually(
        lambda: not any(left in name for name in ours(engine, tmp_path)), "the reaper to finish"
    )


def test_a_signal_ends_the_broker_with_everything_removed(
    make_client: ClientMaker, engine: Engine, tmp_path: Path
) -> None:
    client = make_client()
    client.acquire(exclusively("test"), timeout_s=WAIT_S)
    (broker,) = brokers(tmp_path)
    broker.send_signal(signal.SIGTERM)
    eventually(lambda: ours(engine, tmp_path) == [], "everything to be removed")


def test_a_client_of_another_version_is_refused_with_the_reason(
    make_client: ClientMaker, place: BrokerPlace
) -> None:
    make_client()
    sock = place.connect()
    assert sock is not None
    connection = Connection(sock)
    connection.send({"id": 1, "do": "hello", "protocol": PROTOCOL, "version": "9.9", "pid": 1})
    answer = connection.receive()
    connection.close()
    assert answer is not None
    assert "the client 9.9" in error_from_json(answer["error"]).message


def test_nonsense_from_a_client_ends_that_client_alone(
    make_client: ClientMaker, place: BrokerPlace
) -> None:
    client = make_client()
    for data in (b"\xff\xff\xff\xff", b"\x00\x00\x00\x02[]", b"\x00\x00"):
        sock = place.connect()
        assert sock is not None
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        assert sock.recv(1) == b""
        sock.close()
    assert client.acquire(shared("still served"), timeout_s=WAIT_S).leased.services == ("box",)


MALFORMED: list[dict[str, object]] = [
    {"do": "hello"},
    {"id": "x", "do": "hello"},
    {"id": [], "do": "acquire"},
    {"id": 1, "do": "release", "lease": None, "keep": False},
    {"id": 1},
]

REFUSED: list[dict[str, object]] = [
    {"do": "hello"},
    {"do": "hello", "protocol": PROTOCOL, "version": {}, "pid": "me"},
    {"do": "declare", "name": "x", "load": [], "seed": None},
    {"do": "declare", "name": "x", "load": {"files": 5}, "seed": {"a": 1}},
    {"do": "prepare", "key": "x", "exclusive": "many"},
    {"do": "acquire", "requirement": {"stack": "x"}, "timeout_s": 1},
    {"do": "acquire", "requirement": {}, "timeout_s": "nan"},
    {"do": "seeded", "lease": 77, "error": None},
    {"do": "seeded", "lease": 1, "error": 5},
    {"do": "keep", "seconds": 1e400},
    {"do": "keep", "seconds": "nan"},
    {"do": "record"},
]


def _malformed_frames() -> list[bytes]:
    bodies = [
        b"{x}",
        b"[]",
        b"\xff\xfe",
        b"[" * 100_000,
        *(json.dumps(m).encode() for m in MALFORMED),
    ]
    frames = [struct.pack("!I", len(body)) + body for body in bodies]
    return [b"\xff\xff\xff\xff", *frames]


def test_malformed_frames_end_their_client_with_one_line(
    make_client: ClientMaker, place: BrokerPlace
) -> None:
    client = make_client()
    frames = _malformed_frames()
    for data in frames:
        sock = place.connect()
        assert sock is not None
        sock.sendall(data)
        assert sock.recv(1) == b""
        sock.close()

    lines = [line for line in place.log.read_text().splitlines() if "dropped a client" in line]
    assert len(lines) == len(frames)
    assert "Traceback" not in place.log.read_text()
    assert client.acquire(shared("still served"), timeout_s=WAIT_S).leased.services == ("box",)


def test_requests_with_wrong_fields_are_refused_with_one_line(
    make_client: ClientMaker, place: BrokerPlace
) -> None:
    client = make_client()
    sock = place.connect()
    assert sock is not None
    connection = Connection(sock)
    for number, request in enumerate(REFUSED):
        connection.send({"id": number, **request})
        answer = connection.receive()
        assert answer is not None
        assert answer["id"] == number
        assert " is wrong: " in error_from_json(answer["error"]).message
    connection.close()

    lines = [line for line in place.log.read_text().splitlines() if "refused a request" in line]
    assert len(lines) == len(REFUSED)
    assert "Traceback" not in place.log.read_text()
    assert client.acquire(shared("still served"), timeout_s=WAIT_S).leased.services == ("box",)


def test_frames_that_are_never_whole_hold_little_memory(
    make_client: ClientMaker, place: BrokerPlace, tmp_path: Path
) -> None:
    client = make_client()
    half = struct.pack("!I", LIMIT_BYTES) + bytes(LIMIT_BYTES - 1)
    socks = [sock for _ in range(30) if (sock := place.connect()) is not None]
    for sock in socks:
        with suppress(OSError):  # it was dropped: there was no room for its frame
            sock.sendall(half)

    (broker,) = brokers(tmp_path)
    status = Path(f"/proc/{broker.pid}/status").read_text()
    used = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert used is not None
    assert int(used[1]) < 300 << 10
    assert client.acquire(shared("still served"), timeout_s=WAIT_S).leased.services == ("box",)
    for sock in socks:
        sock.close()


def test_an_unknown_request_is_answered_with_an_error(
    make_client: ClientMaker, place: BrokerPlace
) -> None:
    make_client()
    sock = place.connect()
    assert sock is not None
    connection = Connection(sock)
    connection.send({"id": 5, "do": "dance"})
    answer = connection.receive()
    connection.close()
    assert answer is not None
    assert error_from_json(answer["error"]).message == "unknown request 'dance'"


@pytest.mark.skipif(os.getuid() != 0, reason="needs root to become another user")
def test_another_user_cannot_connect(make_client: ClientMaker, place: BrokerPlace) -> None:
    make_client()
    script = (
        "import os, socket, sys; os.setgid(65534); os.setuid(65534)\n"
        "s = socket.socket(socket.AF_UNIX)\n"
        "try: s.connect(sys.argv[1])\n"
        "except PermissionError: print('refused')"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(place.address)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "refused\n"


def test_a_client_uses_its_stack_without_a_call_to_the_engine(
    make_client: ClientMaker, engine: Engine
) -> None:
    client = make_client()
    client.release(client.acquire(exclusively("first"), timeout_s=WAIT_S))
    before = engine.statistics().calls
    lease = client.acquire(shared("second"), timeout_s=WAIT_S)
    assert lease.leased.services == ("box",)
    assert lease.leased.project
    client.release(lease)
    assert engine.statistics().calls == before


def test_a_wrong_compose_file_is_reported_with_its_place(
    make_client: ClientMaker, tmp_path: Path
) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("services:\n  web:\n    imagee: x\n")
    with pytest.raises(DockwrightError) as caught:
        make_client().declare("wrong", LoadOptions(files=(wrong,)))
    assert "wrong.yaml:3" in str(caught.value)
    assert "imagee" in str(caught.value)


def test_the_workspace_of_a_broker_goes_with_it(make_client: ClientMaker, tmp_path: Path) -> None:
    client = make_client()
    client.release(client.acquire(shared("test"), timeout_s=WAIT_S))
    sessions = tmp_path / "state" / "dockwright" / "sessions"
    (owner,) = sessions.glob("*/owner.json")
    assert json.loads(owner.read_text())["pid"] == brokers(tmp_path)[0].pid
    client.close()
    eventually(lambda: list(sessions.iterdir()) == [], "the workspace to go")
