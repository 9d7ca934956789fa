"""Sessions in the cluster's own databases: kept from one reset to the next that follows soon.

To connect takes longer than to bring a few rows back. But nobody can drop or copy a database as
long as somebody else is in it: the server waits some seconds for that. So a session that rests is
ended soon, by us; by the server itself if we cannot.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from concurrent.futures import Future
from contextlib import suppress

from dockwright.errors import StackError
from dockwright.reset.postgres.session import Access, ConnectionLostError, Session

REST_S = 1.0
_SERVERS_PATIENCE_MS = 3000  # the server waits 5 s for others to leave a database
_ENDED_BY_SERVER = f"SET idle_session_timeout = {_SERVERS_PATIENCE_MS}"


class Visits:
    """The sessions of one strategy; used by one thread at a time, in blocks.

    After a block the sessions rest, and are there for the next one if it begins within `REST_S`.

    Args:
        access: how to connect.
    """

    def __init__(self, access: Access) -> None:
        self._access = access
        self._sessions: dict[str, Future[Session]] = {}
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = None

    def __enter__(self) -> Visits:
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
        return self

    def __exit__(self, *failure: object) -> None:
        if failure[0]:
            self.end()
        elif self._sessions:
            with self._lock:
                self._timer = threading.Timer(REST_S, self._end_rest)
                self._timer.daemon = True
                self._timer.start()

    def expect(self, names: Iterable[str]) -> None:
        """Begin to connect to databases that will probably have to be entered."""
        for name in names:
            if name not in self._sessions:
                future = self._sessions[name] = Future()
                threading.Thread(target=self._connect, args=(name, future), daemon=True).start()

    def to(self, name: str) -> Session:
        """Return a session in a database.

        Raises:
            ConnectionLostError: the server is gone.
        """
        if name in self._sessions:
            session = self._sessions[name].result()
            with suppress(ConnectionLostError):  # ended by the test, or the server was restarted
                session.run("SELECT 1")
                return session
            session.close()
        self._sessions[name] = Future()
        self._connect(name, self._sessions[name])
        return self._sessions[name].result()

    def end(self) -> None:
        """End all sessions."""
        sessions, self._sessions = self._sessions, {}
        for each in sessions.values():
            with suppress(StackError):  # there is nothing to close
                each.result().close()

    def _end_rest(self) -> None:
        with self._lock:
            if self._timer is not None:
                self._timer = None
                self.end()

    def _connect(self, name: str, future: Future[Session]) -> None:
        try:
            session = self._access.connect(name)
            session.run(_ENDED_BY_SERVER)
        except BaseException as failure:  # noqa: BLE001 - raised again where it is asked for
            future.set_exception(failure)
        else:
            future.set_result(session)
