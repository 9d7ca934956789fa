"""Brings a MySQL or MariaDB server back while it runs.

Rows are compared by checksum and copied back from copies that our own schema holds; a schema whose
definitions changed is loaded again from a dump, which lies in the container.
"""

from __future__ import annotations

import logging
import re
import threading

from dockwright.errors import StackBrokenError, StackError
from dockwright.reset.base import Manner, Resettable
from dockwright.reset.mysql.baseline import Baseline, capture
from dockwright.reset.mysql.dumps import Dumps
from dockwright.reset.mysql.pulse import Pulse
from dockwright.reset.mysql.restore import Restoration
from dockwright.reset.mysql.session import Access, ConnectionLostError, Session
from dockwright.reset.options import check_options

log = logging.getLogger(__name__)


class MysqlReset:
    """Resets a service that is a MySQL or MariaDB server with a known root password."""

    manner: Manner = "in place"
    owns = re.compile(
        r".*/|#.*|(ib|undo|aria|binlog|ddl).*|.*-(bin|relay).*|.*\.(ibd|pid|err|log|sock|lock)"
        r"|auto\.cnf|mysql_upgrade_info|multi-master\.info|mysqld-auto\.cnf"
    )

    def __init__(self, service: Resettable) -> None:
        check_options(service, "user")
        self._service = service
        self._lock = threading.Lock()
        self._access: Access
        self._session: Session | None = None
        self._baseline: Baseline
        self._pulse: Pulse | None = None  # None: nothing tells whether something was written

    def capture(self) -> None:
        """Copy all tables, dump all schemas, remember the rest.

        Raises:
            StackError: no connection as root, or a state that cannot be copied.
        """
        with self._lock:
            self._disconnect()
            self._access = Access.of(self._service)
            session = self._session = self._access.connect()
            before = Pulse.take(session)
            self._baseline = capture(session, Dumps(self._access))
            self._pulse = before if Pulse.take(session) == before else None

    def reset(self) -> bool:
        """Bring the server back, unless nothing was written to it.

        Returns:
            Whether its clients lost their connections.

        Raises:
            StackBrokenError: it could not.
        """
        with self._lock:
            try:
                return self._bring_back()
            except StackError as failure:
                name = self._service.spec.name
                raise StackBrokenError(
                    f"service {name}: cannot be reset in place: {failure.message}"
                ) from failure

    def close(self) -> None:
        """End the connection."""
        self._disconnect()

    def _bring_back(self) -> bool:
        session, pulse = self._look()
        if pulse is not None and pulse == self._pulse:
            return False
        restoration = Restoration(session, Dumps(self._access), self._baseline)
        restoration.expel()
        restoration.restore_variables()
        pulse = Pulse.take(session)
        same_definitions = (
            pulse is not None
            and self._pulse is not None
            and pulse.definitions == self._pulse.definitions
        )
        loaded = restoration.run(same_definitions=same_definitions)
        # The client that loads a dump counts as somebody else.
        self._pulse = None if loaded else pulse
        return True

    def _look(self) -> tuple[Session, Pulse | None]:
        if self._session is not None:
            try:
                return self._session, Pulse.take(self._session)
            except ConnectionLostError as loss:  # restarted, or ended by the test
                log.debug("reset.mysql.lost service=%s: %s", self._service.spec.name, loss)
                self._disconnect()
        self._pulse = None
        session = self._session = self._access.connect()
        return session, None

    def _disconnect(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.close()
