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
_ACTIVE = "-active"
_TIMEOUT_S = 600.0


class Dumps:
    """Writes and loads them.

    Args:
        access: how the server is reached.
    """

    def __init__(self, access: Access) -> None:
        self._access = access

    def save(self, schema: str) -> None:
        """Dump how a schema and all that is in it is defined.

        Rows are not dumped: as texts, some would lose digits.

        Raises:
            StackError: the program is missing, or failed.
        """
        options = ("--no-data", "--databases", schema)
        self._run(
            _DUMP, schema, "", "--add-drop-database", "--routines", "--skip-triggers", *options
        )
        self._run(_DUMP, schema, _ACTIVE, "--no-create-info", "--triggers", "--events", *options)

    def load(self, schema: str) -> None:
        """Replace a schema by what was dumped; its tables are empty, nothing happens by itself.

        Raises:
            StackError: the dump is gone, or cannot be loaded.
        """
        self._run(_LOAD, schema, "")

    def activate(self, schema: str) -> None:
        """Load the schema's triggers and events, once its tables have their rows."""
        self._run(_LOAD, schema, _ACTIVE)

    def _run(self, script: str, schema: str, part: str, *options: str) -> None:
        access = self._access
        file = f"/tmp/dockwright-{schema.encode().hex()}{part}.sql"  # noqa: S108 - in the container
        command = ["sh", "-c", script, "sh", file, f"--user={access.user}", *options]
        environment = {"MYSQL_PWD": access.password} if access.password else {}
        try:
            result = access.service.engine.exec(
                access.service.container(), command, env=environment, timeout_s=_TIMEOUT_S
            )
        except EngineError as exc:
            raise StackError(f"schema {schema}: {exc.message}") from exc
        if result.exit_code:
            said = result.stderr.decode(errors="replace").strip()
            raise StackError(f"schema {schema}: {said or f'exit code {result.exit_code}'}")
