"""Conditions to wait for: events wake a wait, and adaptive polling is the fallback."""

from typing import TYPE_CHECKING

from dockwright._lazy import lazily

if TYPE_CHECKING:
    from dockwright.wait.exits import Exec, Exited, Running
    from dockwright.wait.health import Healthy
    from dockwright.wait.listening import PATIENCE_S, Listening, SilentPorts
    from dockwright.wait.log import Log
    from dockwright.wait.loop import (
        Cadence,
        CancelToken,
        Clock,
        Continue,
        Failed,
        Outcome,
        Ready,
        SystemClock,
        Wait,
        WaitOptions,
        WaitReport,
        until,
    )
    from dockwright.wait.network import Http, Tcp
    from dockwright.wait.polls import (
        poll_for_container_stop,
        poll_for_file_deletion,
        poll_for_process_exit,
        poll_for_service_health,
    )
    from dockwright.wait.processes import File, FileDeleted, ProcessExited
    from dockwright.wait.ready import AllOf, AnyOf, all_of, any_of, parse_ready
    from dockwright.wait.strategy import Check, WaitCondition, wait_for
    from dockwright.wait.target import ContainerTarget, ProcessTarget, Target

__all__ = [
    "PATIENCE_S",
    "AllOf",
    "AnyOf",
    "Cadence",
    "CancelToken",
    "Check",
    "Clock",
    "ContainerTarget",
    "Continue",
    "Exec",
    "Exited",
    "Failed",
    "File",
    "FileDeleted",
    "Healthy",
    "Http",
    "Listening",
    "Log",
    "Outcome",
    "ProcessExited",
    "ProcessTarget",
    "Ready",
    "Running",
    "SilentPorts",
    "SystemClock",
    "Target",
    "Tcp",
    "Wait",
    "WaitCondition",
    "WaitOptions",
    "WaitReport",
    "all_of",
    "any_of",
    "parse_ready",
    "poll_for_container_stop",
    "poll_for_file_deletion",
    "poll_for_process_exit",
    "poll_for_service_health",
    "until",
    "wait_for",
]

__getattr__ = lazily(
    __name__,
    {
        "exits": (
            "Exec",
            "Exited",
            "Running",
        ),
        "health": ("Healthy",),
        "listening": (
            "Listening",
            "PATIENCE_S",
            "SilentPorts",
        ),
        "log": ("Log",),
        "loop": (
            "Cadence",
            "CancelToken",
            "Clock",
            "Continue",
            "Failed",
            "Outcome",
            "Ready",
            "SystemClock",
            "Wait",
            "WaitOptions",
            "WaitReport",
            "until",
        ),
        "network": (
            "Http",
            "Tcp",
        ),
        "polls": (
            "poll_for_container_stop",
            "poll_for_file_deletion",
            "poll_for_process_exit",
            "poll_for_service_health",
        ),
        "processes": (
            "File",
            "FileDeleted",
            "ProcessExited",
        ),
        "ready": (
            "AllOf",
            "AnyOf",
            "all_of",
            "any_of",
            "parse_ready",
        ),
        "strategy": (
            "Check",
            "WaitCondition",
            "wait_for",
        ),
        "target": (
            "ContainerTarget",
            "ProcessTarget",
            "Target",
        ),
    },
)
