"""Whatever a test does to containers that a reset keeps, nothing of it is left for the next test.

Everything goes through the client that the fixture ``docker_client`` gives.
"""

from __future__ import annotations

import io
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from dockwright.compose import LoadOptions, load
from dockwright.engine import PREFIX, Endpoint, Engine, connect, current_owner
from dockwright.errors import StackBrokenError
from dockwright.model import Ownership
from dockwright.stack import Baseline, Identity, Stack, StackOptions
from tests._support.engine.relay import over_tcp
from tests._support.owned import Owned, leftovers
from tests._support.reset.battery import Change, combinations, rows
from tests._support.reset.services import assert_same

if TYPE_CHECKING:
    from docker.models.containers import Container

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

COMPOSE = """
services:
  db:
    image: postgres:15
    environment: {POSTGRES_PASSWORD: secret}
    healthcheck: {test: [CMD, pg_isready, -q, -h, 127.0.0.1, -U, postgres], interval: 2s}
  cache:
    image: redis:7
    healthcheck: {test: [CMD, redis-cli, ping], interval: 2s}
  web:
    image: busybox:1
    command: [sh, -c, 'trap "" HUP; sleep 100000 & while :; do sleep 0.2; done']
    cap_add: [SYS_ADMIN]
    tmpfs: [/scratch]
    volumes: ['files:/srv']
    x-dockwright: {reset: none}
volumes: {files: {}}
"""

SERVICES = ("db", "cache", "web")
PLACES = {
    "db": "/tmp /root $PGDATA/*.conf",
    "cache": "/tmp /root /data",
    "web": "/tmp /etc /root /srv /var/spool /home /scratch /dev/shm",
}
LISTING = """
list() {{ ls -ldn "$@" | awk '{{ print $1, $3, $4, $9, $10, $11 }}'; }}
list $(find {0} 2>/dev/null | sort) /tmp /srv $PGDATA $PGDATA/*
md5sum $(find {0} -type f 2>/dev/null | grep -v -e /etc/host -e auto.conf | sort)
grep -c . /proc/mounts
"""


@dataclass(slots=True)
class Bench:
    """A started stack, its baseline, and what a test does to it."""

    stack: Stack
    baseline: Baseline
    others: Owned

    def get(self, service: str) -> Container:
        return self.stack.engine.sdk.containers.get(self.stack.container(service))

    def sh(self, service: str, script: str, *, detach: bool = False) -> None:
        # By number: a test may have changed /etc/passwd.
        result = self.get(service).exec_run(["sh", "-c", script], detach=detach, user="0")
        assert detach or result.exit_code == 0, result.output

    def sql(self, text: str) -> None:
        self.sh("db", f'psql -qU postgres -c "{text}"')

    @property
    def network(self) -> str:
        return f"{self.stack.identity.project}_default"

    def put(self, service: str, place: str, member: tarfile.TarInfo, content: bytes) -> None:
        buffer = io.BytesIO()
        member.size = len(content)
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
            archive.addfile(member, io.BytesIO(content))
        assert self.get(service).put_archive(place, buffer.getvalue())

    def renew(self) -> None:
        """Replace all containers, as the pool replaces a copy that is broken."""
        self.stack.recreate(SERVICES)
        self.baseline.capture()

    def dump(self) -> str:
        """Describe containers, files, processes and networks, as one text."""
        return "\n".join(line for service in SERVICES for line in self._service(service))

    def _service(self, service: str) -> Iterator[str]:
        container = self.get(service)
        details = container.attrs
        yield f"{service}: {details['Name']} {details['State']['Status']}"
        yield from (f"{service} {key}={value}" for key, value in details["HostConfig"].items())
        config = {**details["Config"], "Hostname": ""}
        yield from (f"{service} {key}={value}" for key, value in config.items())
        for name, endpoint in details["NetworkSettings"]["Networks"].items():
            aliases = sorted(each for each in endpoint["Aliases"] if each != container.short_id)
            yield f"{service} network {name}: {aliases}"
        members = self.stack.engine.inspect_network(self.network)["Containers"].values()
        yield f"{self.network}: {sorted(each['Name'] for each in members)}"
        yield f"{service} processes: {self._processes(container)}"
        yield from (f"{service} changed {path}" for path in self._changes(container))
        output: Any = container.exec_run(["sh", "-c", LISTING.format(PLACES[service])]).output
        yield f"{service} {output.decode()}"

    def _processes(self, container: Container) -> list[str]:
        """Return what runs each time that one looks: commands that come and go do not count."""
        return sorted(set.intersection(*(self._running(container) for _ in range(3))))

    def _running(self, container: Container) -> set[str]:
        passing = ("psql", "pg_isready", "redis-cli", "runc", "autovacuum", "sleep 0", " idle")
        names = (row[-1] for row in container.top(ps_args="-eo pid,args")["Processes"])
        # In brackets: has no command line, it is about to begin or to end.
        return {
            name
            for name in names
            if not name.startswith("[") and not any(each in name for each in passing)
        }

    def _changes(self, container: Container) -> list[str]:
        diff: Any = container.diff()  # its stubs say otherwise
        kept = (each["Path"] for each in diff or ())
        return sorted(path for path in kept if not path.startswith(("/run", "/var/run")))


def in_web(name: str, script: str, **options: bool) -> Change[Callable[[Bench], object]]:
    return Change(name, lambda bench: bench.sh("web", script), **options)


def engines(name: str, act: Callable[[Bench], object], **options: bool) -> Change[Any]:
    return Change(name, act, **options)


def with_capability() -> tarfile.TarInfo:
    member = tarfile.TarInfo("able")
    value = bytes.fromhex("0100000202000000000000000000000000000000")
    member.pax_headers = {
        "SCHILY.xattr.security.capability": value.decode("utf-8", "surrogateescape")
    }
    return member


def attach_a_stranger(bench: Bench) -> None:
    stranger = bench.others.run("busybox:1", "sleep", "600")
    bench.stack.engine.connect_network(bench.network, stranger, {"Aliases": ["cache"]})


def connect_elsewhere(bench: Bench) -> None:
    other = f"{bench.others.name}-other"
    labels = {"Labels": dict(bench.others.labels)}
    bench.stack.engine.create_network(other, labels)
    bench.stack.engine.connect_network(other, bench.stack.container("web"))


def reconnect_as(bench: Bench) -> None:
    network, cache = bench.stack.engine.sdk.networks.get(bench.network), bench.get("cache")
    network.disconnect(cache)
    network.connect(cache, aliases=["another"])


CHANGES: list[Change[Callable[[Bench], object]]] = [
    # the container's own layer
    in_web("a new file in /tmp", "echo 1 >/tmp/x", always=True),
    in_web("a new file in /root", "echo 1 >/root/x"),
    in_web("a changed file in /etc", "echo x:x:9:9::/:/bin/sh >>/etc/passwd", always=True),
    in_web("a rewritten file of the same size", "tr r q </etc/passwd >/p; cat /p >/etc/passwd"),
    in_web("a deleted file of the image", "rm /etc/group"),
    in_web("a renamed file of the image", "mv /etc/group /etc/groups"),
    in_web("a changed mode", "chmod 600 /etc/passwd", always=True),
    in_web("a changed mode of a directory", "chmod 700 /tmp"),
    in_web("a changed owner", "chown 33:33 /etc/passwd"),
    in_web("a changed time", "touch -d '2001-01-01 00:00' /etc/passwd"),
    in_web("a symbolic link", "ln -s /etc/passwd /root/link"),
    in_web("a file replaced by a link", "rm /etc/group; ln -s passwd /etc/group"),
    in_web("a hard link", "ln /etc/passwd /etc/again"),
    in_web("a named pipe", "mkfifo /tmp/pipe"),
    in_web("a device", "mknod /tmp/zero c 1 5"),
    in_web("a directory made again", "rm -rf /home; mkdir /home", alone=True),
    in_web("a crontab", "mkdir -p /var/spool/cron/crontabs; echo '* * * * * x' >/var/spool/cron/x"),
    in_web("a hidden directory", "mkdir -p /home/.hidden/deep; echo 1 >/home/.hidden/deep/x"),
    engines(
        "a copied file",
        lambda bench: bench.put("web", "/root", tarfile.TarInfo("copied"), b"1"),
        always=True,
    ),
    engines(
        "a copied file with a capability",
        lambda bench: bench.put("web", "/root", with_capability(), b"1"),
    ),
    # what is mounted
    in_web("a file in a volume", "echo 1 >/srv/x", always=True),
    in_web("a changed mode of a volume", "chmod 700 /srv"),
    in_web("a file in a tmpfs", "echo 1 >/scratch/x"),
    in_web("a file in shared memory", "echo 1 >/dev/shm/x", always=True),
    in_web("a changed hosts file", "echo 10.9.9.9 db >>/etc/hosts"),
    in_web("a changed resolver", "echo nameserver 10.9.9.9 >>/etc/resolv.conf"),
    in_web("a changed name file", "echo other >/etc/hostname"),
    in_web("a mount", "mount -t tmpfs none /mnt || { mkdir /mnt; mount -t tmpfs none /mnt; }"),
    in_web("an unmounted tmpfs", "umount /scratch"),
    # processes
    engines(
        "a process left by exec",
        lambda bench: bench.sh("web", "sleep 600", detach=True),
        always=True,
    ),
    in_web("a background process", "sleep 600 >/dev/null 2>&1 &", always=True),
    in_web("a daemon", "setsid sleep 600 >/dev/null 2>&1 &"),
    in_web("a killed process", "kill -9 $(pidof sleep | tr ' ' '\\n' | sort -n | head -1)"),
    in_web("a stopped process", "kill -STOP $(pidof sleep | tr ' ' '\\n' | sort -n | head -1)"),
    engines("a signal", lambda bench: bench.get("web").kill("HUP")),
    engines(
        "another server",
        lambda bench: bench.sh("cache", "redis-server --port 7777 --daemonize yes --dir /tmp"),
    ),
    # the servers and what is beside their data
    engines(
        "a COPY to a file", lambda bench: bench.sql("COPY (SELECT 1) TO '/tmp/x'"), always=True
    ),
    engines(
        "a COPY beside the data",
        lambda bench: bench.sql("COPY (SELECT 1) TO '/var/lib/postgresql/data/stray'"),
    ),
    engines(
        "a COPY to a program",
        lambda bench: bench.sql("COPY (SELECT 1) TO PROGRAM 'sleep 600 >/dev/null 2>&1 &'"),
    ),
    engines(
        "a stray file in the data directory",
        lambda bench: bench.sh("db", "touch $PGDATA/stray"),
        always=True,
    ),
    engines("a stray directory in it", lambda bench: bench.sh("db", "mkdir $PGDATA/stray")),
    engines(
        "a changed pg_hba.conf",
        lambda bench: bench.sh("db", "echo '# more' >>$PGDATA/pg_hba.conf"),
    ),
    engines("a changed mode of the data", lambda bench: bench.sh("db", "chmod 750 $PGDATA")),
    engines("a password file", lambda bench: bench.sh("db", "echo '*:*:*:*:x' >~/.pgpass")),
    engines("a stray file of Redis", lambda bench: bench.sh("cache", "touch /data/stray")),
    engines(
        "a dump of Redis elsewhere",
        lambda bench: bench.sh("cache", "redis-cli config set dir /tmp && redis-cli save"),
    ),
    # the engine's own
    engines(
        "a lost network",
        lambda bench: bench.stack.engine.sdk.networks.get(bench.network).disconnect(
            bench.get("cache")
        ),
        always=True,
        alone=True,
    ),
    engines("another network", connect_elsewhere, alone=True),
    engines("another alias", reconnect_as, alone=True),
    engines("a stranger on the network", attach_a_stranger, always=True, alone=True),
    engines(
        "another name", lambda bench: bench.get("web").rename(f"{bench.others.name}-x"), always=True
    ),
    engines(
        "a memory limit",
        lambda bench: bench.get("cache").update(mem_limit="200m", memswap_limit="400m"),
        always=True,
    ),
    engines("a processor limit", lambda bench: bench.get("web").update(cpu_quota=50_000)),
    engines("processor shares", lambda bench: bench.get("db").update(cpu_shares=200)),
    engines("chosen processors", lambda bench: bench.get("web").update(cpuset_cpus="0")),
    engines(
        "a restart policy",
        lambda bench: bench.get("web").update(restart_policy={"Name": "on-failure"}),
    ),
    engines("a pause", lambda bench: bench.get("cache").pause(), alone=True),
    engines("a stop", lambda bench: bench.get("cache").stop(timeout=5), alone=True),
    engines("a restart", lambda bench: bench.get("web").restart(timeout=0), alone=True),
    engines("a kill", lambda bench: bench.get("db").kill(), alone=True),
    engines("a removal", lambda bench: bench.get("web").remove(force=True), alone=True),
]


UNSEEN_THROUGH_THE_API = {
    # volumes, tmpfs, and files that the engine mounts
    "a file in a volume",
    "a changed mode of a volume",
    "a file in a tmpfs",
    "a file in shared memory",
    "a changed hosts file",
    "a changed resolver",
    "a changed name file",
    "an unmounted tmpfs",
    "a changed mode of the data",
    "a stray file of Redis",
    "a restart",  # gives a tmpfs another mode with Docker 20.10
    # one more process, or one fewer, of a program that runs at the baseline
    "a process left by exec",
    "a background process",
    "a daemon",
    "a killed process",
    "another server",
}
"""As docs/reference/reset-strategies.md says."""


@pytest.fixture(scope="module")
def others(engine: Engine) -> Iterator[Owned]:
    name = f"dwtest-other-{time.time_ns():x}"
    mine = Owned(engine, name, {"dockwright-test": name})
    yield mine
    mine.remove()


@pytest.fixture(scope="module")
def bench(
    engine: Engine, others: Owned, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Bench]:
    yield from started(engine, others, tmp_path_factory.mktemp("battery"))


@pytest.fixture(scope="module")
def remote(
    engine: Engine, others: Owned, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Bench]:
    """The same, of an engine that might be on another machine."""
    with over_tcp(engine.endpoint.url.removeprefix("unix://")) as url:
        far = connect(Endpoint(url, "a test"))
        yield from started(far, others, tmp_path_factory.mktemp("remote"))
        far.close()


def started(engine: Engine, others: Owned, directory: Path) -> Iterator[Bench]:
    for image in ("postgres:15", "redis:7", "busybox:1"):
        if not engine.has_image(image):
            pytest.skip(f"needs the image {image}: scripts/ensure-images gets it")
    project = f"{others.name}-{directory.name}"
    (directory / "compose.yaml").write_text(COMPOSE)
    owner = Ownership(project, "test", "default", current_owner(), time.time(), "0")
    stack = Stack(
        load(LoadOptions(files=(directory / "compose.yaml",))),
        engine,
        Identity(project, owner),
        StackOptions(log_directory=directory),
    )
    try:
        stack.start()
        baseline = Baseline(stack, directory / "scratch")
        baseline.capture()
        yield Bench(stack, baseline, others)
        baseline.close()
    finally:
        stack.remove()
    assert leftovers(engine, {f"{PREFIX}session": project}) == []


@pytest.fixture(scope="module")
def at_baseline(bench: Bench) -> str:
    return bench.dump()


@pytest.fixture(scope="module")
def at_remote_baseline(remote: Bench) -> str:
    return remote.dump()


@pytest.mark.parametrize("change", rows(CHANGES, sample=2))
def test_nothing_of_a_change_is_left(
    bench: Bench, at_baseline: str, change: Change[Callable[[Bench], object]]
) -> None:
    change.commands(bench)
    bench.baseline.reset(thorough=change.alone)
    bench.others.remove()
    assert_same(at_baseline, bench.dump())


@pytest.mark.parametrize("changes", combinations(CHANGES, sample=1, full=40))
def test_nothing_of_a_combination_is_left(
    bench: Bench, at_baseline: str, changes: list[Change[Callable[[Bench], object]]]
) -> None:
    for change in changes:
        with suppress(AssertionError):  # what one removes, the next may not find
            change.commands(bench)
    bench.baseline.reset()
    assert_same(at_baseline, bench.dump())


@pytest.mark.parametrize("change", rows(CHANGES, sample=2, always=False))
def test_through_the_api_only_documented_leftovers_remain(
    remote: Bench, at_remote_baseline: str, change: Change[Callable[[Bench], object]]
) -> None:
    change.commands(remote)
    try:
        remote.baseline.reset(thorough=change.alone)
    except StackBrokenError:
        remote.renew()
    remote.others.remove()
    if change.name in UNSEEN_THROUGH_THE_API:
        remote.renew()
    else:
        assert_same(at_remote_baseline, remote.dump())


def test_allowed_changes_cost_no_container(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    replaced: dict[str, str] = {}
    monkeypatch.setattr(
        bench.baseline,
        "on_reset",
        lambda name, manner, why, *_: manner == "in place" or replaced.update({name: why}),
    )
    for _ in range(2):
        bench.sql("CREATE TABLE t (x int); INSERT INTO t VALUES (1); CHECKPOINT")
        bench.sh("cache", "redis-cli set key value && redis-cli save && redis-cli bgrewriteaof")
        bench.sh("web", "ls /; touch /tmp/gone; rm /tmp/gone; cat /etc/passwd")
        bench.baseline.reset()
        assert replaced == {}


def test_a_seeded_copy_is_refused_when_its_container_differs(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench.baseline, "_seeded", True)
    bench.sh("web", "touch /tmp/x")
    with pytest.raises(StackBrokenError, match=r"^service web: /tmp/x changed$"):
        bench.baseline.reset()
    monkeypatch.undo()
    bench.baseline.reset()
