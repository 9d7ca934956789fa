"""Strings that stand where Compose wants a number or a truth value, as after ``${REPLICAS}``."""

from __future__ import annotations

import math
import re
from collections.abc import Callable

from dockwright.compose.patterns import Patterns
from dockwright.compose.source import DocPath

_TRUE = ("true", "y", "yes", "on")
_FALSE = ("false", "n", "no", "off")
_INTEGER = re.compile(r"[-+]?[0-9]+")
_MOST_DIGITS = 1000  # beyond, Python reads none; leading zeros count


def to_bool(text: str) -> bool:
    """Return the truth value that a string spells."""
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise ValueError(f"{text!r} is neither true nor false")


def to_int(text: str) -> int:
    """Return the decimal integer that a string spells."""
    if not _INTEGER.fullmatch(text):
        raise ValueError(f"{text!r} is not an integer")
    if len(text) > _MOST_DIGITS or not -(2**63) <= int(text) < 2**63:
        raise ValueError(f"{text!r} is too large for an integer")
    return int(text)


def to_float(text: str) -> float:
    """Return the number that a string spells."""
    try:
        number = float(text)
    except ValueError as exc:
        raise ValueError(f"{text!r} is not a number") from exc
    if not math.isfinite(number):
        raise ValueError(f"{text!r} is not a finite number")
    return number


Cast = Callable[[str], bool | int | float]


_CASTS: Patterns[Cast] = Patterns(
    [
        ("services.*.configs.*.mode", to_int),
        ("services.*.cpu_count", to_int),
        ("services.*.cpu_period", to_int),
        ("services.*.cpu_quota", to_int),
        ("services.*.cpu_rt_period", to_int),
        ("services.*.cpu_rt_runtime", to_int),
        ("services.*.cpu_shares", to_int),
        ("services.*.deploy.placement.max_replicas_per_node", to_int),
        ("services.*.deploy.replicas", to_int),
        ("services.*.deploy.restart_policy.max_attempts", to_int),
        ("services.*.deploy.rollback_config.parallelism", to_int),
        ("services.*.deploy.update_config.parallelism", to_int),
        ("services.*.healthcheck.retries", to_int),
        ("services.*.oom_score_adj", to_int),
        ("services.*.pids_limit", to_int),
        ("services.*.ports.*.target", to_int),
        ("services.*.scale", to_int),
        ("services.*.secrets.*.mode", to_int),
        ("services.*.ulimits.*", to_int),
        ("services.*.ulimits.*.hard", to_int),
        ("services.*.ulimits.*.soft", to_int),
        ("services.*.cpu_percent", to_float),
        ("services.*.cpus", to_float),
        ("services.*.deploy.rollback_config.max_failure_ratio", to_float),
        ("services.*.deploy.update_config.max_failure_ratio", to_float),
        ("services.*.build.no_cache", to_bool),
        ("services.*.build.privileged", to_bool),
        ("services.*.build.pull", to_bool),
        ("services.*.depends_on.*.restart", to_bool),
        ("services.*.env_file.*.required", to_bool),
        ("services.*.healthcheck.disable", to_bool),
        ("services.*.init", to_bool),
        ("services.*.oom_kill_disable", to_bool),
        ("services.*.privileged", to_bool),
        ("services.*.read_only", to_bool),
        ("services.*.stdin_open", to_bool),
        ("services.*.tty", to_bool),
        ("services.*.volumes.*.bind.create_host_path", to_bool),
        ("services.*.volumes.*.read_only", to_bool),
        ("services.*.volumes.*.volume.nocopy", to_bool),
        ("networks.*.attachable", to_bool),
        ("networks.*.enable_ipv4", to_bool),
        ("networks.*.enable_ipv6", to_bool),
        ("networks.*.external", to_bool),
        ("networks.*.internal", to_bool),
        ("volumes.*.external", to_bool),
        ("secrets.*.external", to_bool),
        ("configs.*.external", to_bool),
    ]
)


def cast_for(path: DocPath) -> Cast | None:
    """Return how a string at `path` becomes what Compose wants there, or None."""
    return _CASTS.find(path)
