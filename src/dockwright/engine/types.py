"""The values that calls to the engine return."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeAlias

Document: TypeAlias = dict[str, Any]
"""A JSON object as the Engine API answers it; its fields are the API's, not ours to type."""

EngineKind: TypeAlias = Literal["docker", "podman"]


@dataclass(frozen=True, slots=True)
class EngineVersion:
    """Which engine answers.

    Attributes:
        server: its version, e.g. ``20.10.24``.
        api: the API version that is spoken with it, e.g. ``1.41``.
        kind: the product, as far as it behaves differently.
        os: the operating system of its containers, e.g. ``linux``.
        arch: the architecture, in Go's words, e.g. ``amd64``.
        kernel: the kernel's release; equal to this host's where both share one clock.
    """

    server: str
    api: str
    kind: EngineKind
    os: str
    arch: str
    kernel: str

    def api_at_least(self, version: str) -> bool:
        """Return whether the spoken API is `version` or newer."""
        return parse_api(self.api) >= parse_api(version)


def parse_api(version: str) -> tuple[int, ...]:
    """Return an API version as numbers, so that 1.9 is less than 1.41."""
    return tuple(int(part) for part in version.split("."))


@dataclass(frozen=True, slots=True)
class CallStatistics:
    """How often one kind of call was made, and how long the answers took together, in seconds."""

    count: int
    seconds: float


@dataclass(frozen=True, slots=True)
class EngineStatistics:
    """All calls to one engine since it was connected.

    Attributes:
        calls: their number.
        seconds: the time until their answers began, summed over all threads.
        by_call: the same for each kind of call, e.g. ``start container``.
    """

    calls: int
    seconds: float
    by_call: Mapping[str, CallStatistics]


@dataclass(frozen=True, slots=True)
class ExecResult:
    """What a command in a container gave: its exit code and all its output."""

    exit_code: int
    stdout: bytes
    stderr: bytes


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line that a container wrote.

    Attributes:
        stream: ``stdout`` or ``stderr``; always ``stdout`` where the container has a terminal.
        text: the line without its end; bytes that are not UTF-8 are replaced. A line longer than
            64 KiB comes in several pieces.
        time_s: when it was written, seconds since the epoch; None where it was not asked for.
    """

    stream: Literal["stdout", "stderr"]
    text: str
    time_s: float | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """Something happened to an object on the engine.

    Attributes:
        type: ``container``, ``network``, ``volume`` or ``image``.
        action: e.g. ``start``, ``die``, ``health_status: healthy``.
        id: the object's full id (a volume's or image's name).
        attributes: what else the engine reports: labels, ``name``, ``exitCode``, ...
        time_s: when, seconds since the epoch by the engine's clock.
    """

    type: str
    action: str
    id: str
    attributes: Mapping[str, str]
    time_s: float


_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d) ?")


def split_time(text: str) -> tuple[float | None, str]:
    """Take a time off the front of `text`.

    Returns:
        Seconds since the epoch, or None where `text` does not begin with a time; and the rest.
    """
    found = _TIME.match(text)
    if found is None:
        return None, text
    seconds = datetime.fromisoformat(found[1] + found[3]).timestamp() + float(found[2] or 0)
    return seconds, text[found.end() :]


def parse_time(text: str) -> float | None:
    """Return a time in seconds since the epoch; None for no time, and for Go's zero time."""
    seconds, _ = split_time(text)
    return seconds if seconds is not None and seconds > 0 else None


def split_reference(reference: str) -> tuple[str, str]:
    """Return an image's repository and its tag or digest (``latest`` where it has neither)."""
    name, at, digest = reference.partition("@")
    if at:
        return _split_tag(name)[0], digest
    name, tag = _split_tag(name)
    return name, tag or "latest"


def registry_of(reference: str) -> str:
    """Return the host that an image comes from; ``docker.io`` if the name has none."""
    first, slash, _ = reference.partition("/")
    is_host = slash and ("." in first or ":" in first or first == "localhost")
    return first if is_host else "docker.io"


def _split_tag(name: str) -> tuple[str, str]:
    # A colon before the last slash is a registry's port.
    head, colon, tag = name.rpartition(":")
    return (head, tag) if colon and "/" not in tag else (name, "")
