"""Connections to PostgreSQL that survive the death of the server, and the schema's migrations."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row

Connection = psycopg.Connection[dict[str, Any]]


class Database:
    """A pool of connections, each proved to be alive before it is handed out.

    It connects again at once, without the growing delays of a general pool, so that the shop is
    back with the first request after its database is.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._idle: list[Connection] = []  # append and pop are atomic: threads need no lock

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        connection = self._living() or self._connect()
        try:
            with connection.transaction():
                yield connection
        finally:
            if connection.closed:
                connection.close()
            else:
                self._idle.append(connection)

    def _living(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            try:
                connection.execute("SELECT 1")
            except psycopg.Error:
                connection.close()
            else:
                return connection
        return None

    def _connect(self) -> Connection:
        return psycopg.connect(
            self._url,
            autocommit=True,
            row_factory=dict_row,
            connect_timeout=2,
            tcp_user_timeout=2000,
            options="-c statement_timeout=5000",
        )

    def migrate(self, directory: Path) -> list[str]:
        """Apply the migrations that are not recorded yet, in order of their names."""
        with self.transaction() as connection:
            connection.execute("SELECT pg_advisory_xact_lock(815)")
            connection.execute("CREATE TABLE IF NOT EXISTS migrations (name text PRIMARY KEY)")
            done = {row["name"] for row in connection.execute("SELECT name FROM migrations")}
            todo = [path for path in sorted(directory.glob("*.sql")) if path.name not in done]
            for path in todo:
                connection.execute(path.read_bytes())
                connection.execute("INSERT INTO migrations VALUES (%s)", [path.name])
        return [path.name for path in todo]
