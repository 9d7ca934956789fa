"""What one check of a condition found: not yet, ready, or never."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias


@dataclass(frozen=True, slots=True)
class Continue:
    """The condition does not hold yet; `message` says what was seen instead."""

    message: str


@dataclass(frozen=True, slots=True)
class Ready:
    """The condition holds; `value` is what the check found, if it found something of use."""

    value: Any = None  # each check's own: a log line, a status code...


@dataclass(frozen=True, slots=True)
class Failed:
    """The condition cannot come true any more; `message` says why."""

    message: str
    hint: str | None = None


Outcome: TypeAlias = Continue | Ready | Failed
