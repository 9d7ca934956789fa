"""A PostgreSQL that is written to while it is backed up comes back, under another name too."""

from __future__ import annotations

from pathlib import Path

import pytest

from dockwright.engine import Engine
from tests._support.project import Project

pytestmark = pytest.mark.engine

COMPOSE = """\
db:
  image: postgres:15
  environment: {POSTGRES_PASSWORD: secret, POSTGRES_INITDB_ARGS: --no-sync}
  command: [postgres, -c, shared_buffers=4MB, -c, max_connections=10]
  healthcheck: {test: [CMD, pg_isready, -U, postgres, -h, 127.0.0.1], interval: 5s}
  stop_signal: SIGINT
  stop_grace_period: 20s
"""


def sql(project: Project, text: str) -> str:
    command = ["psql", "-U", "postgres", "-qAtc", text]
    result = project.engine.exec(project.container("db"), command)
    assert result.exit_code == 0, result.stderr
    return result.stdout.decode().strip()


def test_a_restored_database_has_everything_that_was_committed(
    project: Project, engine: Engine, tmp_path: Path
) -> None:
    if not engine.has_image("postgres:15"):
        pytest.skip("needs the image postgres:15")
    project.write(COMPOSE)
    project.done("stack", "start")
    sql(project, "create table t (n serial primary key, at timestamptz default now())")
    insert = "psql -U postgres -qAtc 'insert into t default values'"
    script = f"while test ! -e /tmp/enough; do {insert}; done >/dev/null 2>&1 &"
    engine.exec(project.container("db"), ["sh", "-c", script])
    before = int(sql(project, "select count(*) from t"))
    project.done("stack", "backup", "-o", "a.tar.zst")
    after = int(sql(project, "select count(*) from t"))
    engine.exec(project.container("db"), ["touch", "/tmp/enough"])
    assert after > before

    other = Project(project.directory, f"{project.name}-2", engine, project.image, project.environ)
    try:
        project.done("stack", "stop")
        project.done("stack", "restore", "a.tar.zst", "-p", other.name)
        kept = int(sql(other, "select count(*) from t"))
        assert before <= kept <= after + 1
        assert sql(other, "select max(n) = count(*) from t") == "t"  # no row is missing between
    finally:
        other.remove()
