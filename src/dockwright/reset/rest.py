"""Brings to disk what a service holds in memory only, before its volumes are read."""

from __future__ import annotations

from dockwright.reset.base import Resettable
from dockwright.reset.detect import by_environment, by_image
from dockwright.reset.redis.connecting import connect
from dockwright.reset.redis.session import Access
from dockwright.reset.redis.vitals import Vitals


def bring_to_disk(service: Resettable) -> bool:
    """Have a running service write what it would lose with its process; no-op for most.

    Returns:
        Whether its volumes hold everything now; False: it has none to write to.

    Raises:
        StackError: it could not.
    """
    config = service.engine.inspect_container(service.container())["Config"]
    kind = by_image(service.spec.image or "") or by_environment(config.get("Env") or ())
    return _save_redis(service) if kind == "redis" else True


def _save_redis(service: Resettable) -> bool:
    session = connect(Access.of(service))
    try:
        if not Vitals.take(session).databases:
            return True
        if service.volumes():
            session.call(("SAVE",))
        return bool(service.volumes())
    finally:
        session.close()
