"""The engine room: the only importer of the Docker SDK, which is loaded when an engine is used."""

from typing import TYPE_CHECKING

from dockwright._lazy import lazily

if TYPE_CHECKING:
    from dockwright.engine import batch
    from dockwright.engine.build_request import BuildRequest
    from dockwright.engine.client import Engine, connect
    from dockwright.engine.endpoint import Endpoint, TlsFiles
    from dockwright.engine.events import EventHub, Subscription
    from dockwright.engine.exec_session import ExecSession
    from dockwright.engine.execs import ExecStream
    from dockwright.engine.labels import (
        PREFIX,
        current_owner,
        owner_is_alive,
        ownership_labels,
        parse_ownership,
    )
    from dockwright.engine.logs import LogStream
    from dockwright.engine.pulls import PullProgress
    from dockwright.engine.resolve import resolve_endpoint, usual_sockets
    from dockwright.engine.timestamps import parse_time
    from dockwright.engine.types import (
        CallStatistics,
        EngineStatistics,
        EngineVersion,
        Event,
        ExecResult,
        LogLine,
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
    "batch",
    "connect",
    "current_owner",
    "owner_is_alive",
    "ownership_labels",
    "parse_ownership",
    "parse_time",
    "resolve_endpoint",
    "usual_sockets",
]

__getattr__ = lazily(
    __name__,
    {
        "build_request": ("BuildRequest",),
        "client": (
            "Engine",
            "connect",
        ),
        "endpoint": (
            "Endpoint",
            "TlsFiles",
        ),
        "events": (
            "EventHub",
            "Subscription",
        ),
        "exec_session": ("ExecSession",),
        "execs": ("ExecStream",),
        "labels": (
            "PREFIX",
            "current_owner",
            "owner_is_alive",
            "ownership_labels",
            "parse_ownership",
        ),
        "logs": ("LogStream",),
        "pulls": ("PullProgress",),
        "resolve": (
            "resolve_endpoint",
            "usual_sockets",
        ),
        "timestamps": ("parse_time",),
        "types": (
            "CallStatistics",
            "EngineStatistics",
            "EngineVersion",
            "Event",
            "ExecResult",
            "LogLine",
        ),
    },
)
