"""The client of the Docker API; only here is the Docker SDK imported, when it is first used."""

from typing import TYPE_CHECKING

from dockwright._lazy import lazily

if TYPE_CHECKING:
    from dockwright.engine import parallel
    from dockwright.engine.build import BuildRequest
    from dockwright.engine.client import Engine, connect
    from dockwright.engine.endpoint import Endpoint, TlsFiles, resolve_endpoint, usual_sockets
    from dockwright.engine.events import EventHub, Subscription
    from dockwright.engine.exec import ExecSession, ExecStream
    from dockwright.engine.images import PullProgress
    from dockwright.engine.labels import (
        PREFIX,
        current_owner,
        owner_is_alive,
        ownership_labels,
        parse_ownership,
    )
    from dockwright.engine.logs import LogStream
    from dockwright.engine.types import (
        CallStatistics,
        EngineStatistics,
        EngineVersion,
        Event,
        ExecResult,
        LogLine,
        parse_time,
    )

__all__ = [
    "PREFIX",
    "BuildRequest",
    "CallStatistics",
    "Endpoint",
    "Engine",
    "EngineStatistics",
    "EngineVersion",
    "Event",
    "EventHub",
    "ExecResult",
    "ExecSession",
    "ExecStream",
    "LogLine",
    "LogStream",
    "PullProgress",
    "Subscription",
    "TlsFiles",
    "connect",
    "current_owner",
    "owner_is_alive",
    "ownership_labels",
    "parallel",
    "parse_ownership",
    "parse_time",
    "resolve_endpoint",
    "usual_sockets",
]

__getattr__ = lazily(
    __name__,
    {
        "build": ("BuildRequest",),
        "client": (
            "Engine",
            "connect",
        ),
        "endpoint": (
            "Endpoint",
            "TlsFiles",
            "resolve_endpoint",
            "usual_sockets",
        ),
        "events": (
            "EventHub",
            "Subscription",
        ),
        "exec": (
            "ExecSession",
            "ExecStream",
        ),
        "images": ("PullProgress",),
        "labels": (
            "PREFIX",
            "current_owner",
            "owner_is_alive",
            "ownership_labels",
            "parse_ownership",
        ),
        "logs": ("LogStream",),
        "types": (
            "CallStatistics",
            "EngineStatistics",
            "EngineVersion",
            "Event",
            "ExecResult",
            "LogLine",
            "parse_time",
        ),
    },
)
