"""Schemas as the server's own dump program writes them, kept in the container."""

from __future__ import annotations

from dockwright.errors import EngineError, StackError
from dockwright.reset.mysql.session import Access

_DUMP = (
    'umask 077; file=$1; shift; exec "$(command -v mariadb-dump || command -v mysqldump)"'
    ' --no-defaults "$@" > "$file"'
)
_LOAD = (
    'file=$1; shift; exec "$(command -v mariadb || command -v mysql)" --no-defaults "$@" < "$file"'
)
_TIMEOUT_S = 600.0


class Dumps:
    """Writes and loads them.

    Args:
        access: how the server is reached.
    """

    def __init__(self, access: Access) -> None:
        self._access = access

    def save(self, schema: str) -> None:
        """Dump a schema with all that is in it.

        Raises:
            StackError: the program is missing, or failed.
        """
        self._run(
            _DUMP, schema, "--add-drop-database", "--routines", "--events", "--triggers",
            "--hex-blob", "--single-transaction", "--databases", schema,
        )  # fmt: skip

    def load(self, schema: str) -> None:
        """Replace a schema by what was dumped.

        Raises:
            StackError: the dump is gone, or cannot be loaded.
        """
        self._run(_LOAD, schema)

    def _run(self, script: str, schema: str, *options: str) -> None:
        access = self._access
        file = f"/tmp/dockwright-{schema.encode().hex()}.sql"  # noqa: S108 - in the container
        command = ["sh", "-c", script, "sh", file, f"--user={access.user}", *options]
        environment = {"MYSQL_PWD": access.password} if access.password else {}
        try:
            result = access.service.engine.exec(
                access.service.container(), command, env=environment, timeout_s=_TIMEOUT_S
            )
        except EngineError as exc:
            raise StackError(f"schema {schema}: {exc.message}") from exc
        if result.exit_code:
            told = result.stderr.decode(errors="replace").strip()
            raise StackError(f"schema {schema}: {told or f'exit code {result.exit_code}'}")
