"""Results of tests that are known: saved when they pass, reused while nothing has changed."""

from typing import TYPE_CHECKING

from dockwright._lazy import lazily

if TYPE_CHECKING:
    from dockwright.results.check import Present
    from dockwright.results.distributions import Change, Distribution, Uses, installed
    from dockwright.results.environment import base_key, environment_key
    from dockwright.results.record import Recorder, Trial
    from dockwright.results.stacks import StackState, StackStates
    from dockwright.results.store import Result, ResultStore
    from dockwright.results.trace import OUTSIDE

__all__ = [
    "OUTSIDE",
    "Change",
    "Distribution",
    "Present",
    "Recorder",
    "Result",
    "ResultStore",
    "StackState",
    "StackStates",
    "Trial",
    "Uses",
    "base_key",
    "environment_key",
    "installed",
]

__getattr__ = lazily(
    __name__,
    {
        "check": ("Present",),
        "distributions": ("Change", "Distribution", "Uses", "installed"),
        "environment": ("base_key", "environment_key"),
        "record": ("Recorder", "Trial"),
        "stacks": ("StackState", "StackStates"),
        "store": ("Result", "ResultStore"),
        "trace": ("OUTSIDE",),
    },
)
