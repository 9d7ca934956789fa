"""What the suites do to stacks, and how they look at them."""

from __future__ import annotations

import os
import shutil
import subprocess
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import redis

from tests._support.project import LIMIT_S, Project, plain_service

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dockwright import LeasedStack

FOREVER = "exec tail -f /dev/null"
MAKE_DATA = "mkdir -p /data/a; echo one >/data/a/one; ln -s one /data/a/link; chmod 4711 /data/a"

# -- the pool's stack ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Services:
    """The services of the test's stack, as an application uses them.

    Attributes:
        stack: the stack.
        rows: a connection to its database.
        keys: a connection to its cache.
    """

    stack: LeasedStack
    rows: psycopg.Connection[tuple[Any, ...]]
    keys: redis.Redis

    def page(self) -> bytes:
        """Return the page of the web service."""
        with urllib.request.urlopen(self.stack.url("web", 8000), timeout=10) as answer:
            content: bytes = answer.read()
        return content

    def look(self) -> tuple[object, ...]:
        """Return what the database, the cache and the web service contain."""
        found = self.rows.execute(
            "SELECT sum(cents), (SELECT count(*) FROM payments) FROM accounts"
        )
        return found.fetchone(), self.keys.dbsize(), self.keys.config_get("hz"), self.page()


BASELINE = ((15250, 0), 0, {"hz": "10"}, b"hello\n")
"""What `Services.look` returns of a stack that nobody has changed."""


@contextmanager
def services_of(stack: LeasedStack) -> Iterator[Services]:
    """Connect to a stack's database and cache for the length of a block."""
    at, cache = stack.address("db", 5432), stack.address("cache", 6379)
    place = f"host={at.host} port={at.port} user=app password=app connect_timeout=10"
    with (
        psycopg.connect(place, autocommit=True) as rows,
        redis.Redis(cache.host, cache.port, socket_timeout=10, decode_responses=True) as keys,
    ):
        yield Services(stack, rows, keys)


# -- a long-lived stack, from the command line -----------------------------------------------------

UNITS = {"db", "cache", "web", "helper"}
"""What `write_app`'s project runs."""

_APP = """\
db:
  image: postgres:15
  command: [postgres, -c, shared_buffers=4MB, -c, max_connections=20, -c, fsync=off]
  environment:
    POSTGRES_USER: app
    POSTGRES_PASSWORD: ${TOKEN}
    POSTGRES_INITDB_ARGS: --no-sync --wal-segsize=1
  configs: [{source: seed, target: /docker-entrypoint-initdb.d/seed.sql, mode: 0444}]
  volumes: ['rows:/var/lib/postgresql/data']
  healthcheck: {test: [CMD, pg_isready, -q, -h, 127.0.0.1, -U, app], interval: 30s}
  stop_signal: SIGINT
cache:
  image: redis:7
  volumes: ['keys:/data']
  healthcheck: {test: [CMD, redis-cli, ping], interval: 30s}
"""
_APP_REST = """\
volumes: {rows: {}, keys: {}, data: {}}
configs:
  seed:
    content: |
      CREATE TABLE accounts (name text PRIMARY KEY, cents int NOT NULL);
      INSERT INTO accounts VALUES ('alice', 10000), ('bob', 5000), ('carol', 250);
      -- Half as many files to write and remove in every restore.
      UPDATE pg_database SET datistemplate = false;
      DROP DATABASE template0;
      DROP DATABASE postgres;
x-dockwright:
  secrets: [TOKEN]
  processes:
    helper:
      command: [sh, -c, 'echo helping $$WEB; exec tail -f /dev/null']
      environment: {WEB: '{web.address:8000}'}
      depends_on: {web: {condition: service_healthy}}
      ready: {log: helping}
"""


def write_app(project: Project, image: str = "IMAGE") -> None:
    """Write a project like the pool's: a database, a cache, a web service, a native process.

    The web service never gets healthy in an image whose version is called bad.
    """
    web = plain_service(
        "web",
        "echo web is up; exec httpd -f -p 8000 -h /data",
        [
            "healthcheck:",
            "  test: [CMD-SHELL, '! grep -q bad /version']",
            "  interval: 30s",
            "volumes: ['data:/data']",
            "ports: ['127.0.0.1::8000']",
            "pull_policy: never",
            "depends_on: {db: {condition: service_healthy}}",
        ],
    )
    project.write(f"{_APP}{web.replace('IMAGE', image)}", _APP_REST)


def write_tiny(project: Project, *, token: bool = True) -> None:
    """Write a project of two tiny services, for what a command does whatever it manages."""
    environment = ["environment: {TOKEN: '${TOKEN}'}"] if token else []
    web = plain_service(
        "web", f"echo web is up; {FOREVER}", ["volumes: ['data:/data']", *environment]
    )
    side = plain_service("side", f"echo side is up; {FOREVER}")
    secrets = "x-dockwright: {secrets: [TOKEN]}\n" if token else ""
    project.write(f"{web}\n{side}", f"{secrets}volumes: {{data: {{}}}}")


def install_and_start(project: Project) -> None:
    """Bring a written project to life, with some files in its data."""
    project.done("stack", "install", "--no-check")
    project.done("stack", "start")
    put(project, MAKE_DATA)


def put(project: Project, script: str, service: str = "web") -> str:
    """Run a shell script in a service's container; return what it wrote."""
    result = project.engine.exec(project.container(service), ["sh", "-ec", script])
    assert result.exit_code == 0, result.stderr
    return result.stdout.decode()


def sql(project: Project, text: str) -> str:
    """Run statements in the project's database; return the rows, a line each."""
    command = ["psql", "-U", "app", "-qAtXc", text]
    result = project.engine.exec(project.container("db"), command)
    assert result.exit_code == 0, result.stderr
    return result.stdout.decode().strip()


def listing(project: Project) -> str:
    """Return all that the web service's volume holds."""
    return put(project, "cd /data; find . | sort | while read f; do stat -c '%n %a %F' $f; done")


def data(project: Project) -> tuple[str, str, str]:
    """Return all that a project of `write_app` holds: rows, keys, files."""
    rows = sql(project, "SELECT name, cents FROM accounts ORDER BY name")
    keys = put(project, "redis-cli --raw mget visits moment", "cache")
    return rows, keys, listing(project)


def change_data(project: Project, mark: str) -> None:
    """Change all that a project of `write_app` holds."""
    sql(project, f"INSERT INTO accounts VALUES ('{mark}', 1) ON CONFLICT DO NOTHING")
    sql(project, "UPDATE accounts SET cents = cents + 1")
    put(project, f"redis-cli set moment {mark}; redis-cli incr visits", "cache")
    put(project, f"rm -rf /data/a; echo {mark} >/data/{mark}")


def units(project: Project) -> set[str]:
    """Return the services and native processes that run."""
    from dockwright.stack import marked_processes

    return project.running() | {each.unit for each in marked_processes(project.name)}


def states(project: Project) -> set[str]:
    """Return the states of the project's containers: ``running``, ``paused``, ``exited``."""
    return {each["State"] for each in project.engine.list_containers(project.labels)}


def home(project: Project) -> Path:
    """Return the project's config directory."""
    return Path(project.environ["XDG_CONFIG_HOME"], "dockwright", project.name)


def without_engine(project: Project) -> Project:
    """Return the project as it is where no engine answers."""
    return at_engine(project, f"unix://{project.directory}/nowhere.sock")


def at_engine(project: Project, url: str) -> Project:
    """Return the project as it is where commands ask this engine."""
    return replace(project, environ={**project.environ, "DOCKER_HOST": url})


def unprivileged(project: Project) -> Project:
    """Return the project as it is for commands for which the modes of files count.

    For root they do not, unless it gives up its right to ignore them.
    """
    if os.geteuid():
        return project
    if shutil.which("setpriv") is None:
        pytest.skip("root may write everywhere, and there is no setpriv command")
    rights = "-dac_override,-dac_read_search"
    wrapper = ("setpriv", f"--bounding-set={rights}", f"--inh-caps={rights}", "--")
    return replace(project, wrapper=wrapper)


def archives(project: Project) -> list[str]:
    """Name what backups wrote into the project's directory, drafts too."""
    return sorted(
        each.name
        for each in project.directory.iterdir()
        if "tar" in each.name or "part" in each.name
    )


def flip(source: Path, at: int) -> Path:
    """Copy a file with one wrong byte."""
    content = bytearray(source.read_bytes())
    content[at % len(content)] ^= 0x55
    target = source.with_name(f"flipped-{at}{''.join(source.suffixes)}")
    target.write_bytes(content)
    return target


@contextmanager
def cut_short(project: Project, moment: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Start a command, and enter the block at the moment in which it reports that step.

    It has to have failed at the end of the block: whatever the block does is to end it.
    """
    with project.popen(*arguments) as process:
        assert process.stderr is not None
        assert any(moment in line for line in process.stderr), moment
        yield process
        _, err = process.communicate(timeout=LIMIT_S)
    assert "Traceback" not in err
    assert process.returncode != 0
