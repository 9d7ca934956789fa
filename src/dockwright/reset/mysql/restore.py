"""Brings a dirty MySQL server back to its baseline."""

from __future__ import annotations

import re

from dockwright.errors import StackBrokenError
from dockwright.reset.mysql import schemas
from dockwright.reset.mysql.baseline import Baseline, prepare
from dockwright.reset.mysql.dumps import Dumps
from dockwright.reset.mysql.schemas import OURS, Table, quoted, text
from dockwright.reset.mysql.server import empty_logs
from dockwright.reset.mysql.session import Session
from dockwright.reset.polling import until_none

_KILLED = """
SELECT COUNT(*) FROM information_schema.processlist
WHERE id <> CONNECTION_ID() AND command = 'Killed'
"""
_NUMBER = re.compile(r"-?\d+(\.\d+)?")


class Restoration:
    """One way back.

    Args:
        session: root's session at the dirty server.
        dumps: what the schemas were.
        baseline: what the rest was.
    """

    def __init__(self, session: Session, dumps: Dumps, baseline: Baseline) -> None:
        self._session = session
        self._dumps = dumps
        self._baseline = baseline
        self._tables = list(baseline.copies)

    def expel(self) -> None:
        """End all connections but ours, and with them transactions and locks."""
        prepare(self._session)
        self._session.rows(f"CALL {OURS}.expel()")
        until_none(lambda: int(self._session.rows(_KILLED)[0][0]), "connections")
        for form, length, _, data in self._session.rows("XA RECOVER"):
            name, branch = data[: int(length)], data[int(length) :]
            self._session.rows(f"XA ROLLBACK {text(name)}, {text(branch)}, {form}")

    def restore_variables(self) -> None:
        """Set global variables back.

        Raises:
            StackBrokenError: one cannot be set while the server runs.
        """
        wanted = self._baseline.variables
        for name, value in schemas.variables(self._session).items():
            if wanted.get(name, value) != value:
                literal = wanted[name] if _NUMBER.fullmatch(wanted[name]) else text(wanted[name])
                self._session.rows(f"SET GLOBAL {name} = {literal}")
        now = schemas.variables(self._session)
        if changed := [name for name in wanted if now.get(name) != wanted[name]]:
            raise StackBrokenError(f"variables were changed for good: {', '.join(changed)}")

    def run(self, *, same_definitions: bool) -> bool:
        """Bring everything back; nobody is connected.

        Args:
            same_definitions: whether it is known that no definition was changed.

        Returns:
            Whether a dump was loaded.

        Raises:
            StackBrokenError: something was changed that cannot be undone.
            StackError: the server refused, or is gone.
        """
        self._baseline.server.put_back(self._session)
        self._copy_rows(self._changed([each for each in self._tables if each.holds_users]))
        stale = set() if same_definitions else self._changed_schemas()
        present = [each for each in self._tables if not each.holds_users]
        changed = self._changed([each for each in present if each.schema not in stale])
        stale |= {table.schema for table in changed if not table.plain or self._unreadable(table)}
        self._copy_rows([table for table in changed if table.schema not in stale])
        self._load(sorted(stale), [table for table in present if table.schema in stale])
        self._restore_counters()
        for sequence, value in self._baseline.sequences.items():
            if schemas.next_value(self._session, sequence) != value:
                schemas.restart(self._session, sequence, value)
        empty_logs(self._session)
        return bool(stale)

    def _changed_schemas(self) -> set[str]:
        wanted = self._baseline.definitions
        existing = schemas.schema_names(self._session)
        for name in existing:
            if name not in wanted:
                self._session.rows(f"DROP DATABASE {quoted(name)}")
        return {name for name in wanted if name not in existing or not self._is_as_it_was(name)}

    def _is_as_it_was(self, schema: str) -> bool:
        return schemas.definitions(self._session, schema) == self._baseline.definitions[schema]

    def _changed(self, tables: list[Table]) -> list[Table]:
        now = schemas.checksums(self._session, tables)
        return [each for each in tables if now[each] != self._baseline.checksums[each]]

    def _unreadable(self, table: Table) -> bool:
        """Return whether its rows are out of reach, as after DISCARD TABLESPACE."""
        return schemas.checksums(self._session, [table])[table] == "NULL"

    def _load(self, names: list[str], tables: list[Table]) -> None:
        for schema in names:
            self._dumps.load(schema)
        self._copy_rows(tables)
        for schema in names:
            self._dumps.activate(schema)
            if not self._is_as_it_was(schema):
                raise StackBrokenError(f"schema {schema} could not be made what it was")
        if different := self._changed(tables):
            lost = ", ".join(table.full_name for table in different)
            raise StackBrokenError(f"rows could not be made what they were: {lost}")

    def _copy_rows(self, tables: list[Table]) -> None:
        if not tables:
            return
        self._session.rows("START TRANSACTION")
        for table in tables:
            columns = ", ".join(map(quoted, table.columns))
            self._session.rows(f"DELETE FROM {table.full_name}")
            self._session.rows(
                f"INSERT INTO {table.full_name} ({columns})"
                f" SELECT {columns} FROM {self._baseline.copies[table]}"
            )
        self._session.rows("COMMIT")
        if any(table.holds_users for table in tables):
            self._session.rows("FLUSH PRIVILEGES")

    def _restore_counters(self) -> None:
        now = schemas.counters(self._session)
        for (schema, name), value in self._baseline.counters.items():
            if schema in self._baseline.definitions and now.get((schema, name)) != value:
                self._session.rows(
                    f"ALTER TABLE {quoted(schema)}.{quoted(name)} AUTO_INCREMENT = {value}"
                )
