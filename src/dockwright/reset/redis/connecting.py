"""Begins a conversation with a Redis server: by redis-py if possible, else by its own client."""

from __future__ import annotations

import logging

from dockwright.errors import StackError
from dockwright.reset.redis.cli import CliSession
from dockwright.reset.redis.driver import DriverSession
from dockwright.reset.redis.session import Access, Session, SilentError, knows

_log = logging.getLogger(__name__)


def connect(access: Access) -> Session:
    """Connect: natively if possible, else by the client in the container.

    Raises:
        ConnectionLostError: neither way leads there.
        SilentError: the server does not answer.
        CommandError: the server wants a password that is not known.
    """
    session = _connect(access)
    # A limit on the memory of clients must not keep us out: only an open connection can lift it.
    knows(session, ("CLIENT", "NO-EVICT", "on"))
    return session


def _connect(access: Access) -> Session:
    try:
        return DriverSession(access)
    except ImportError:
        _log.debug("reset.redis.no_driver service=%s", access.service.spec.name)
    except SilentError:
        raise
    except StackError as failure:
        _log.debug("reset.redis.driver service=%s: %s", access.service.spec.name, failure)
    return CliSession(access)
