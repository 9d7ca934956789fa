"""Costs: how long tests and stacks are expected to take, from recorded runs or from a file.

A test without a cost of its own is expected to take as long as the others of its file, else as
those of the suite.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from statistics import median
from typing import Any

from dockwright.errors import UsageError
from dockwright.untrusted import UnreadableError, json_value, read_plain

DURATIONS = ".test_durations"
"""The file of pytest-split, in the project's root."""

_UNKNOWN_TEST_S = 0.1
_UNKNOWN_BOOT_S = 3.0
_UNKNOWN_RESET_S = 0.05
_FILE_BYTES = 64 << 20
_DIGITS = 6
_VERSION = 1


@dataclass(frozen=True, slots=True)
class StackCost:
    """What one declared stack cost in earlier runs.

    Attributes:
        boot_s: the median duration of a start.
        reset_s: the median duration of a reset.
        memory_bytes: the highest memory that one copy used; 0: unknown.
        copies: how many copies were used at most.
    """

    boot_s: float = _UNKNOWN_BOOT_S
    reset_s: float = _UNKNOWN_RESET_S
    memory_bytes: int = 0
    copies: int = 0


@dataclass(frozen=True)
class Costs:
    """What is known about the costs of a suite.

    Attributes:
        tests: how long each test keeps a worker busy, by node id.
        stacks: what each declared stack costs, by name.
        starting_s: from the start of a run until tests can begin.
        closing_s: from the end of the last test to the end of the run.
        fixtures_s: what each worker spends on fixtures that several tests share.
        runs: from how many recorded runs this was learned; 0: from a file, or nothing is known.
    """

    tests: Mapping[str, float] = field(default_factory=dict)
    stacks: Mapping[str, StackCost] = field(default_factory=dict)
    starting_s: float = 0.0
    closing_s: float = 0.0
    fixtures_s: float = 0.0
    runs: int = 0

    def knows(self, nodeid: str) -> bool:
        """Return whether a test has a cost of its own."""
        return nodeid in self.tests

    def seconds(self, nodeid: str) -> float:
        """Return how long a test is expected to keep its worker busy."""
        known = self.tests.get(nodeid)
        if known is not None:
            return known
        return self._of_files.get(_file(nodeid), self._of_suite)

    def stack(self, name: str) -> StackCost:
        """Return what a stack is expected to cost."""
        return self.stacks.get(name, _UNKNOWN_STACK)

    @cached_property
    def _of_files(self) -> Mapping[str, float]:
        files: dict[str, list[float]] = {}
        for nodeid, seconds in self.tests.items():
            files.setdefault(_file(nodeid), []).append(seconds)
        return {name: median(each) for name, each in files.items()}

    @cached_property
    def _of_suite(self) -> float:
        return median(self.tests.values()) if self.tests else _UNKNOWN_TEST_S

    def to_text(self) -> str:
        """Return the content of a costs file; equal costs have equal texts."""
        document = {
            "version": _VERSION,
            "starting_s": round(self.starting_s, _DIGITS),
            "closing_s": round(self.closing_s, _DIGITS),
            "fixtures_s": round(self.fixtures_s, _DIGITS),
            "stacks": {name: asdict(cost) for name, cost in sorted(self.stacks.items())},
            "tests": {name: round(each, _DIGITS) for name, each in sorted(self.tests.items())},
        }
        return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


_UNKNOWN_STACK = StackCost()


@dataclass(frozen=True, slots=True)
class CostsFile:
    """Costs that were read from a file.

    Attributes:
        file: the file.
        costs: what it contains.
        digest: the first 12 digits of the SHA-256 of its content.
    """

    file: Path
    costs: Costs
    digest: str


def read_costs(file: Path) -> CostsFile:
    """Read a file of `Costs.to_text`, or one of pytest-split.

    Raises:
        UsageError: it cannot be read, or is no such file; says what is wrong.
    """
    try:
        content = read_plain(file, limit_bytes=_FILE_BYTES)
        costs = _costs(json_value(content))
    except UnreadableError as failure:
        raise _unusable(file, f"it {failure}") from failure
    except (OSError, ValueError) as failure:
        reason = getattr(failure, "strerror", None) or failure
        raise _unusable(file, str(reason)) from failure
    return CostsFile(file, costs, hashlib.sha256(content).hexdigest()[:12])


def _unusable(file: Path, reason: str) -> UsageError:
    return UsageError(
        f"cannot read the costs in {file}: {reason}",
        hint="`dockwright runs export --costs FILE` writes such a file; pytest-split's "
        f"{DURATIONS} works as well",
    )


def _costs(document: Any) -> Costs:
    """Return the costs in a JSON document.

    Raises:
        ValueError: it contains something else.
    """
    values = _object(document, "it")
    if "version" not in values:  # of pytest-split
        return Costs(_seconds_by_name(values))
    if values["version"] != _VERSION:
        raise ValueError(f"its version is {values['version']!r}, expected {_VERSION}")
    stacks = _object(values.get("stacks", {}), "'stacks'")
    return Costs(
        tests=_seconds_by_name(_object(values.get("tests", {}), "'tests'")),
        stacks={str(name): _stack_cost(name, cost) for name, cost in stacks.items()},
        starting_s=_number(values.get("starting_s", 0.0), "'starting_s'"),
        closing_s=_number(values.get("closing_s", 0.0), "'closing_s'"),
        fixtures_s=_number(values.get("fixtures_s", 0.0), "'fixtures_s'"),
    )


def _stack_cost(name: str, value: Any) -> StackCost:
    cost = _object(value, f"stack {name!r}")
    boot_s, reset_s, memory, copies = (
        _number(cost.get(key, getattr(_UNKNOWN_STACK, key)), f"{key} of stack {name!r}")
        for key in ("boot_s", "reset_s", "memory_bytes", "copies")
    )
    return StackCost(boot_s, reset_s, int(memory), int(copies))


def _seconds_by_name(values: Mapping[str, Any]) -> dict[str, float]:
    return {name: _number(value, f"the cost of {name}") for name, value in values.items()}


def _object(value: Any, what: str) -> Mapping[str, Any]:
    if isinstance(value, Mapping):
        return value
    raise ValueError(f"{what} is not a JSON object")


def _number(value: Any, what: str) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if is_number and math.isfinite(value) and value >= 0:
        return float(value)
    raise ValueError(f"{what} is not a number of 0 or more: {value!r}")


def _file(nodeid: str) -> str:
    return nodeid.partition("::")[0]


def typical(values: Iterable[float]) -> float:
    """Return the median; 0 without values."""
    found = list(values)
    return median(found) if found else 0.0
