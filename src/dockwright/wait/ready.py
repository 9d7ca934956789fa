"""Reads a ready condition as it is declared in a Compose file: ``{"http": "http://..."}``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from dockwright.errors import ComposeError
from dockwright.model import Json
from dockwright.wait.exits import Exec, Exited, Running
from dockwright.wait.health import Healthy
from dockwright.wait.log import Log
from dockwright.wait.loop import Continue, Failed, Outcome, Ready, Wait
from dockwright.wait.network import Http, Tcp
from dockwright.wait.processes import File, FileDeleted
from dockwright.wait.strategy import Check, WaitCondition, begin_guarded


@dataclass(frozen=True, slots=True)
class AllOf:
    """Every condition held at some time; one that fails ends the wait."""

    strategies: tuple[WaitCondition, ...]

    @property
    def survives_exit(self) -> bool:
        """Each part observes the exit for itself."""
        return True

    def __str__(self) -> str:
        return " and ".join(map(str, self.strategies))

    def begin(self, wait: Wait) -> Check:
        """Begin every part."""
        waiting = {n: begin_guarded(each, wait) for n, each in enumerate(self.strategies)}
        values: dict[int, object] = {}

        def check() -> Outcome:
            missing = []
            for number, part in list(waiting.items()):
                match outcome := part():
                    case Ready(value):
                        values[number] = value
                        del waiting[number]
                    case Failed():
                        return outcome
                    case Continue(message):
                        missing.append(f"{self.strategies[number]}: {message}")
            if missing:
                return Continue("; ".join(missing))
            return Ready(tuple(values[number] for number in sorted(values)))

        return check


@dataclass(frozen=True, slots=True)
class AnyOf:
    """One of the conditions holds; the wait fails when all of them have.

    Args:
        strategies: the conditions.
        text: what messages call it; default: the conditions, one after the other.
    """

    strategies: tuple[WaitCondition, ...]
    text: str = ""

    @property
    def survives_exit(self) -> bool:
        """Each part observes the exit for itself."""
        return True

    def __str__(self) -> str:
        return self.text or " or ".join(map(str, self.strategies))

    def begin(self, wait: Wait) -> Check:
        """Begin every part."""
        parts = [begin_guarded(each, wait) for each in self.strategies]

        def check() -> Outcome:
            outcomes = [part() for part in parts]
            for outcome in outcomes:
                if isinstance(outcome, Ready):
                    return outcome
            open_parts = [each for each in outcomes if isinstance(each, Continue)]
            if not open_parts:
                return outcomes[-1]
            return Continue("; ".join(each.message for each in open_parts))

        return check


def all_of(*strategies: WaitCondition) -> AllOf:
    """Return the condition that holds once every one of `strategies` has held."""
    return AllOf(_some(strategies))


def any_of(*strategies: WaitCondition) -> AnyOf:
    """Return the condition that holds as soon as one of `strategies` does."""
    return AnyOf(_some(strategies))


def _some(strategies: tuple[WaitCondition, ...]) -> tuple[WaitCondition, ...]:
    if not strategies:
        raise ValueError("at least one condition is required")
    return strategies


Options = dict[str, Any]  # keyword arguments of a strategy: each checks its own


@dataclass(frozen=True, slots=True)
class _Kind:
    """One kind of condition.

    Attributes:
        make: its strategy.
        options: what each option has to be.
        main: the option that a bare value means.
        needed: whether `main` has to be given.
    """

    make: Callable[..., WaitCondition]
    options: Mapping[str, str] = field(default_factory=dict)
    main: str | None = None
    needed: bool = True


_TYPES: dict[str, Any] = {
    "a text": str,
    "a whole number": int,
    "a number of seconds": (int, float),
    "true or false": bool,
    "a mapping": Mapping,
    "a text or a list": (str, list, tuple),
}

_KINDS = {
    "healthy": _Kind(Healthy),
    "running": _Kind(Running),
    "exited": _Kind(Exited, {"code": "a whole number"}, "code", needed=False),
    "log": _Kind(
        Log, {"pattern": "a text", "times": "a whole number", "stream": "a text"}, "pattern"
    ),
    "http": _Kind(
        Http,
        {
            "url": "a text",
            "port": "a whole number",
            "method": "a text",
            "headers": "a mapping",
            "body": "a text",
            "status": "a whole number",
            "answer": "a text",
            "tls": "true or false",
            "verify": "true or false",
            "attempt_s": "a number of seconds",
        },
        "url",
    ),
    "tcp": _Kind(
        Tcp,
        {"port": "a whole number", "host": "a text", "attempt_s": "a number of seconds"},
        "port",
    ),
    "exec": _Kind(
        Exec,
        {"argv": "a text or a list", "code": "a whole number", "attempt_s": "a number of seconds"},
        "argv",
    ),
    "file": _Kind(File, {"path": "a text"}, "path"),
    "file_deleted": _Kind(FileDeleted, {"path": "a text"}, "path"),
}

_COMBINATIONS: dict[str, Callable[..., WaitCondition]] = {"all_of": all_of, "any_of": any_of}


def parse_ready(ready: Json, path: str) -> WaitCondition:
    """Return the strategy that a declared condition means.

    Args:
        ready: a mapping with one entry: the kind of condition, and its value or its options.
        path: where it stands in the Compose file, for messages.

    Raises:
        ComposeError: it is not valid; the message names the place and what is allowed.
    """
    if isinstance(ready, str) and ready in {"healthy", "running"}:
        ready = {ready: None}
    if not isinstance(ready, Mapping) or len(ready) != 1:
        raise ComposeError(
            "a ready condition is a mapping with one key",
            path=path,
            hint='for example {tcp: 8080}; put several conditions below "all_of" or "any_of"',
        )
    [(kind, value)] = ready.items()
    path = f"{path}.{kind}"
    if kind in _COMBINATIONS:
        if not isinstance(value, list | tuple) or not value:
            raise ComposeError("a list of conditions is required", path=path)
        parts = [parse_ready(each, f"{path}[{number}]") for number, each in enumerate(value)]
        return _COMBINATIONS[kind](*parts)
    if kind not in _KINDS:
        known = ", ".join([*_KINDS, *_COMBINATIONS])
        raise ComposeError(f"unknown ready condition; the conditions are: {known}", path=path)
    return _strategy(kind, value, path)


def _strategy(name: str, value: Json, path: str) -> WaitCondition:
    kind = _KINDS[name]
    options = _options(kind, value, path)
    for option, each in options.items():
        _require_option(kind, option, each, path)
    if kind.main and kind.needed and kind.main not in options:
        raise ComposeError(f"the option {kind.main} is required", path=path)
    try:
        return kind.make(**_converted(name, options))
    except (TypeError, ValueError) as error:
        raise ComposeError(str(error), path=path) from error


def _options(kind: _Kind, value: Json, path: str) -> Options:
    if isinstance(value, Mapping):
        return dict(value)
    if value is None or (kind.main is None and value is True):
        return {}
    if kind.main is None:
        raise ComposeError(f"it takes no options, not {value!r}", path=path)
    return {kind.main: value}


def _require_option(kind: _Kind, option: str, value: object, path: str) -> None:
    if option not in kind.options:
        known = ", ".join(kind.options) or "none"
        raise ComposeError(f"unknown option {option}; the options are: {known}", path=path)
    wanted = kind.options[option]
    is_flag = isinstance(value, bool)
    if not isinstance(value, _TYPES[wanted]) or (is_flag and wanted != "true or false"):
        raise ComposeError(f"{option} must be {wanted}, not {value!r}", path=path)


def _converted(name: str, options: Options) -> Options:
    if name == "http" and "body" in options:
        return options | {"body": options["body"].encode()}
    if name == "exec" and not isinstance(options["argv"], str):
        return options | {"argv": tuple(map(str, options["argv"]))}
    return options
