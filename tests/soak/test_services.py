"""Services of any kind with volumes come back by layers: real servers, in one stack.

The sample has those that Python alone can serve. In full, an image with servers from Debian's
packages is built.
"""

from __future__ import annotations

import io
import json
import tarfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from dockwright.cache import BaselineStore, FrozenVolumes
from dockwright.compose import LoadOptions, load
from dockwright.engine import PREFIX, Engine
from dockwright.pool import Factory, FactoryOptions
from dockwright.settings import Settings
from dockwright.stack import Baseline, Stack
from tests._support.owned import leftovers
from tests._support.sample import FULL
from tests.soak.conftest import rounds

pytestmark = [pytest.mark.engine, pytest.mark.timeout(900 if FULL else 180)]

BASE = "python:3.11-slim"
PACKAGES = (
    "memcached mosquitto mosquitto-clients nginx-light slapd ldap-utils etcd-server etcd-client"
)


@dataclass(frozen=True)
class Server:
    """A server with a volume at ``/data``.

    Attributes:
        command: starts it; initialises the volume if it is empty.
        check: succeeds once it serves.
        look: prints all that it keeps.
        change: changes that, by its own protocol.
    """

    command: str
    check: str
    look: str
    change: str


SQLITE = """
import http.server, sqlite3, sys
db = sqlite3.connect("/data/notes.sqlite", isolation_level=None)
db.execute("PRAGMA journal_mode=WAL")
if not db.execute("SELECT name FROM sqlite_master").fetchall():
    db.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, text)")
    db.executemany("INSERT INTO notes (text) VALUES (?)", [(f"note {n}",) for n in range(5000)])
class Notes(http.server.BaseHTTPRequestHandler):
    def answer(self, text=""):
        self.send_response(200); self.end_headers(); self.wfile.write(text.encode())
    def do_GET(self): self.answer(repr(db.execute("SELECT * FROM notes ORDER BY id").fetchall()))
    def do_DELETE(self): db.execute("DELETE FROM notes WHERE id > 10"); self.answer()
    def do_PUT(self): db.execute("INSERT INTO notes (text) VALUES ('more')"); self.answer()
http.server.HTTPServer(("", 8000), Notes).serve_forever()
"""
FILES = """
import http.server, os, pathlib
os.chdir("/data")
if not os.path.exists("index"):
    for number in range(200): pathlib.Path(f"file{number}").write_text("content " * number)
    pathlib.Path("index").write_text("index")
class Files(http.server.SimpleHTTPRequestHandler):
    def do_PUT(self):
        content = self.rfile.read(int(self.headers["Content-Length"]))
        pathlib.Path("." + self.path).write_bytes(content)
        self.send_response(200); self.end_headers()
    def do_DELETE(self):
        os.remove("." + self.path); self.send_response(200); self.end_headers()
http.server.ThreadingHTTPServer(("", 8000), Files).serve_forever()
"""
FETCH = (
    "import urllib.request as u; print(u.urlopen(u.Request('http://127.0.0.1:8000{}'{})).read())"
)


def _fetch(path: str = "/", *, method: str = "GET", body: str = "") -> str:
    data = f", data=b'{body}', method='{method}'"
    return f'python3 -c "{FETCH.format(path, data if method != "GET" else "")}"'


SAMPLE = {
    "sqlite": Server(
        "exec python3 /init/sqlite",
        _fetch(),
        _fetch(),
        f"{_fetch(method='DELETE')}; {_fetch(method='PUT')}",
    ),
    "files": Server(
        "exec python3 /init/files",
        _fetch("/index"),
        f"{_fetch()}; {_fetch('/file7')}; cat /data/* | sha256sum",
        f"{_fetch('/file7', method='PUT', body='changed')}; {_fetch('/file9', method='DELETE')}",
    ),
}
SLAPD = r"""include /etc/ldap/schema/core.schema
modulepath /usr/lib/ldap
moduleload back_mdb
database mdb
suffix dc=test
rootdn cn=admin,dc=test
rootpw secret
directory /data
"""
BOUND = "-x -H ldap://127.0.0.1 -D cn=admin,dc=test -w secret"
ENTRY = r"printf 'dn: {}\nobjectClass: organizationalUnit\nou: {}\n'"
ETCD = "ETCDCTL_API=3 etcdctl"
SERVERS = {
    "memcached": Server(
        "touch /data/made; exec memcached -u root -l 127.0.0.1",
        "bash -c 'echo > /dev/tcp/127.0.0.1/11211'",
        r"exec 3<>/dev/tcp/127.0.0.1/11211; printf 'get key\r\nquit\r\n' >&3; cat <&3",
        r"exec 3<>/dev/tcp/127.0.0.1/11211;"
        r" printf 'set key 0 0 5\r\nvalue\r\nquit\r\n' >&3; cat <&3",
    ),
    "mosquitto": Server(
        r"printf 'listener 1883\nallow_anonymous true\npersistence true\nuser root\n"
        r"persistence_location /data/\nautosave_interval 1\nautosave_on_changes true\n'"
        " > /tmp/conf;"
        " test -e /data/mosquitto.db || (mosquitto -c /tmp/conf & sleep 1;"
        " mosquitto_pub -r -t kept -m baseline; kill %1; wait);"
        " exec mosquitto -c /tmp/conf",
        "test -e /data/mosquitto.db && mosquitto_pub -t check -m check",
        "mosquitto_sub -t '#' -F '%t %p' -W 1 || true",
        "mosquitto_pub -r -t kept -m changed; mosquitto_pub -r -t more -m more; sleep 1.5",
    ),
    "nginx": Server(
        "mkdir -p /data/files; test -e /data/files/index ||"
        " (echo index > /data/files/index; chown -R 33:33 /data/files);"
        r" printf 'user root; events {} http { server { listen 8000; location / { root /data/files;"
        r" dav_methods PUT DELETE; autoindex on; } } }' > /tmp/conf;"
        " exec nginx -c /tmp/conf -g 'daemon off;'",
        _fetch("/index"),
        f"{_fetch()}; cat /data/files/* | sha256sum",
        f"{_fetch('/upload', method='PUT', body='uploaded')};"
        f" {_fetch('/index', method='PUT', body='changed')}",
    ),
    "slapd": Server(
        r"test -e /data/data.mdb || printf 'dn: dc=test\nobjectClass: dcObject\n"
        r"objectClass: organization\no: test\ndc: test\n' | slapadd -f /init/slapd;"
        " exec slapd -d 0 -f /init/slapd -h ldap://127.0.0.1",
        f"ldapsearch {BOUND} -b dc=test",
        f"ldapsearch {BOUND} -LLL -b dc=test '*' +",
        f"{ENTRY.format('ou=more,dc=test', 'more')} | ldapadd {BOUND}",
    ),
    "etcd": Server(
        "exec etcd --data-dir /data/etcd",
        f"{ETCD} endpoint health && ({ETCD} get kept | grep -q . || {ETCD} put cached baseline)",
        f"{ETCD} get --prefix '' -w fields | grep -v -e RaftTerm -e MemberID",
        f"{ETCD} put kept changed; {ETCD} put more more",
    ),
}


@pytest.fixture
def image(engine: Engine, unique_name: str, tmp_path: Path) -> Iterator[str]:
    if not engine.has_image(BASE):
        pytest.skip(f"needs the image {BASE}: scripts/ensure-images gets it")
    if not FULL:
        yield BASE
        return
    install = f"apt-get update && apt-get install -y --no-install-recommends {PACKAGES}"
    dockerfile = f"FROM {BASE}\nRUN DEBIAN_FRONTEND=noninteractive; {install}\n".encode()
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as archive:
        member = tarfile.TarInfo("Dockerfile")
        member.size = len(dockerfile)
        archive.addfile(member, io.BytesIO(dockerfile))
    context.seek(0)
    tag = f"dockwright-test/{unique_name}:1"
    for _ in engine.sdk.api.build(
        fileobj=context, custom_context=True, tag=tag, network_mode="host", rm=True
    ):
        pass
    yield tag
    engine.remove_image(tag, force=True)


@pytest.fixture
def servers() -> dict[str, Server]:
    return {**SAMPLE, **(SERVERS if FULL else {})}


@pytest.fixture
def stack_file(tmp_path: Path, image: str, servers: dict[str, Server]) -> Path:
    init = tmp_path / "init"
    init.mkdir()
    for name, text in (("sqlite", SQLITE), ("files", FILES), ("slapd", SLAPD)):
        (init / name).write_text(text)
    services = {
        name: {
            "image": image,
            "command": ["sh", "-c", each.command.replace("$", "$$")],
            "volumes": [f"{name}:/data", "./init:/init:ro"],
            "healthcheck": {"test": ["CMD-SHELL", each.check.replace("$", "$$")]},
        }
        for name, each in servers.items()
    }
    document = {"name": "servers", "services": services, "volumes": {key: {} for key in servers}}
    file = tmp_path / "compose.yaml"
    file.write_text(json.dumps(document))
    return file


@pytest.fixture
def copies(
    engine: Engine, stack_file: Path, unique_name: str, tmp_path: Path
) -> Iterator[Callable[[], tuple[Stack, Baseline]]]:
    """Return what starts a copy, from the cached baseline if there is one."""
    store = BaselineStore(tmp_path / "baselines")
    settings = Settings(tmp_path, start_timeout=120.0)
    options = FactoryOptions(unique_name, "test", "0", tmp_path / "work", settings, store=store)
    spec = load(LoadOptions(files=(stack_file,), environ={}))
    factory = Factory("default", spec, engine, options)
    made: list[tuple[Stack, Baseline]] = []

    def start() -> tuple[Stack, Baseline]:
        stack = factory.new()
        made.append((stack, factory.baseline(stack)))
        first = factory.start_of(stack)
        first.run()
        first.read()
        first.keep(wanted=lambda: True)
        assert first.from_cache == (len(made) > 1)
        made[-1][1].capture()
        return made[-1]

    yield start
    for stack, baseline in made:
        baseline.close()
        stack.remove()
    store.remove([each.manifest.key for each in store.entries()])
    FrozenVolumes(engine, store).sweep()
    assert leftovers(engine, {f"{PREFIX}session": unique_name}) == []


def run(stack: Stack, service: str, script: str) -> str:
    result = stack.exec(service, ["bash", "-c", script])
    assert result.exit_code == 0, (service, result)
    return result.stdout


def test_every_service_comes_back_by_layers(
    copies: Callable[[], tuple[Stack, Baseline]],
    servers: dict[str, Server],
    monkeypatch: pytest.MonkeyPatch,
    report: Callable[[str], None],
) -> None:
    monkeypatch.setattr("dockwright.stack.cached_start._WORTH", 100.0)
    monkeypatch.setattr("dockwright.stack.cached_start._LEAST_BYTES", 0)
    first, _ = copies()
    second, baseline = copies()
    volumes = second.engine.list_volumes(second.identity.data_selector())
    assert all("lowerdir=" in each["Options"]["o"] for each in volumes)
    before = {name: run(first, name, each.look) for name, each in servers.items()}
    for _ in range(rounds(1, 3)):
        for name, each in servers.items():
            assert run(second, name, each.look) == before[name], name
            run(second, name, each.change)
            assert run(second, name, each.look) != before[name], name
        began = time.monotonic()
        baseline.reset()
        report(f"reset of {len(servers)} services: {time.monotonic() - began:.2f} s")
    for name, each in servers.items():
        assert run(second, name, each.look) == before[name], name
        assert run(first, name, each.look) == before[name], name
