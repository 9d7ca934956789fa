"""The wait room: conditions to wait for, driven by events first and by polling as the backstop."""

from typing import TYPE_CHECKING

from dockwright._lazy import lazily

if TYPE_CHECKING:
    from dockwright.wait.cadence import Cadence
    from dockwright.wait.clock import CancelToken, Clock, SystemClock
    from dockwright.wait.combine import AllOf, AnyOf, all_of, any_of
    from dockwright.wait.command import Exec
    from dockwright.wait.exits import Exited, Running
    from dockwright.wait.files import File, FileDeleted
    from dockwright.wait.healthy import Healthy
    from dockwright.wait.http import Http
    from dockwright.wait.listening import PATIENCE_S, Listening, SilentPorts
    from dockwright.wait.log import Log
    from dockwright.wait.loop import WaitOptions, WaitReport, until
    from dockwright.wait.outcome import Continue, Failed, Outcome, Ready
    from dockwright.wait.polls import (
        poll_for_container_stop,
        poll_for_file_deletion,
        poll_for_process_exit,
        poll_for_service_health,
    )
    from dockwright.wait.processes import ProcessExited
    from dockwright.wait.ready import parse_ready
    from dockwright.wait.strategy import Check, Strategy, Wait, wait_for
    from dockwright.wait.target import ContainerTarget, ProcessTarget, Target
    from dockwright.wait.tcp import Tcp

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
    "Strategy",
    "SystemClock",
    "Target",
    "Tcp",
    "Wait",
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
        "cadence": ("Cadence",),
        "clock": (
            "CancelToken",
            "Clock",
            "SystemClock",
        ),
        "combine": (
            "AllOf",
            "AnyOf",
            "all_of",
            "any_of",
        ),
        "command": ("Exec",),
        "exits": (
            "Exited",
            "Running",
        ),
        "files": (
            "File",
            "FileDeleted",
        ),
        "healthy": ("Healthy",),
        "http": ("Http",),
        "listening": (
            "PATIENCE_S",
            "Listening",
            "SilentPorts",
        ),
        "log": ("Log",),
        "loop": (
            "WaitOptions",
            "WaitReport",
            "until",
        ),
        "outcome": (
            "Continue",
            "Failed",
            "Outcome",
            "Ready",
        ),
        "polls": (
            "poll_for_container_stop",
            "poll_for_file_deletion",
            "poll_for_process_exit",
            "poll_for_service_health",
        ),
        "processes": ("ProcessExited",),
        "ready": ("parse_ready",),
        "strategy": (
            "Check",
            "Strategy",
            "Wait",
            "wait_for",
        ),
        "target": (
            "ContainerTarget",
            "ProcessTarget",
            "Target",
        ),
        "tcp": ("Tcp",),
    },
)
