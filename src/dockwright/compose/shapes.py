"""A small language for the shape of YAML values, and the check of a value against a shape."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from dockwright.compose.source import DocPath, Origins, Tree
from dockwright.errors import ComposeError


class Report(Protocol):
    """Makes the error for a wrong value."""

    def __call__(self, path: DocPath, message: str, *, unknown: str | None = None) -> Exception:
        """Return the error for the value at `path`, or for its key `unknown`."""


@dataclass(frozen=True, slots=True)
class Scalar:
    """One scalar whose type is among `types` (names as in JSON Schema).

    Attributes:
        choices: the only values; others that match `pattern` are right but not told of.
    """

    types: tuple[str, ...]
    choices: tuple[str, ...] = ()
    pattern: re.Pattern[str] | None = None
    low: int | None = None
    high: int | None = None


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list; `unique` forbids an entry that was there before."""

    entry: Shape
    unique: bool = False


@dataclass(frozen=True, slots=True)
class MapOf:
    """A mapping whose keys are the user's names."""

    value: Shape
    names: re.Pattern[str] = field(default=re.compile(r".+", re.DOTALL))


@dataclass(frozen=True, slots=True)
class Struct:
    """A mapping whose keys are Compose's own; ``x-`` extensions are allowed with `extensions`."""

    fields: Mapping[str, Shape]
    required: tuple[str, ...] = ()
    extensions: bool = True


@dataclass(frozen=True, slots=True)
class AnyOf:
    """One of several shapes that the type of the value tells apart."""

    options: tuple[Shape, ...]


@dataclass(frozen=True, slots=True)
class Anything:
    """Whatever the user likes."""


Shape: TypeAlias = "Scalar | ListOf | MapOf | Struct | AnyOf | Anything"

_ARTICLES = {"integer": "an integer", "object": "a mapping", "array": "a list", "null": "empty"}


def check(value: Tree, shape: Shape, path: DocPath, report: Report, *, partial: bool) -> None:
    """Raise what `report` makes of the first value that does not fit.

    Args:
        value: a YAML value.
        shape: what it must look like.
        path: where it stands.
        report: makes the error.
        partial: whether required keys may be missing and values null, because a merge follows.
    """
    if isinstance(shape, AnyOf):
        shape = _choose(value, shape, path, report)
    if not set(type_names(value)) & set(accepted(shape)):
        wanted = " or ".join(_ARTICLES.get(name, f"a {name}") for name in accepted(shape))
        raise report(path, f"must be {wanted}, not {describe(value)}")
    if isinstance(shape, Scalar):
        _check_scalar(value, shape, path, report)
    elif isinstance(shape, ListOf):
        for index, entry in enumerate(value):
            check(entry, shape.entry, (*path, index), report, partial=partial)
        if shape.unique:
            _check_unique(value, path, report)
    elif isinstance(shape, MapOf):
        for name, entry in value.items():
            if not shape.names.fullmatch(name):
                raise report((*path, name), f"{name!r} is not a valid name here")
            if entry is not None or not partial:
                check(entry, shape.value, (*path, name), report, partial=partial)
    elif isinstance(shape, Struct):
        _check_struct(value, shape, path, report, partial=partial)


def type_names(value: Tree) -> tuple[str, ...]:
    """Return the JSON Schema types that a value has."""
    if isinstance(value, bool):
        return ("boolean",)
    if isinstance(value, int):
        return ("integer", "number")
    if isinstance(value, float):
        return ("number", "integer") if value.is_integer() else ("number",)
    if isinstance(value, str):
        return ("string",)
    if isinstance(value, dict):
        return ("object",)
    return ("array",) if isinstance(value, list) else ("null",)


def describe(value: Tree) -> str:
    """Say what a wrong value is, for a message."""
    if isinstance(value, (dict, list)):
        return "a mapping" if isinstance(value, dict) else "a list"
    if value is None:
        return "empty"
    name = (
        "boolean" if isinstance(value, bool) else "string" if isinstance(value, str) else "number"
    )
    shown = str(value).lower() if isinstance(value, bool) else repr(value)
    return f"the {name} {shown}"


def accepted(shape: Shape) -> tuple[str, ...]:
    """Return the JSON Schema types that a shape can take."""
    if isinstance(shape, Scalar):
        return shape.types
    if isinstance(shape, AnyOf):
        return tuple(dict.fromkeys(name for option in shape.options for name in accepted(option)))
    if isinstance(shape, Anything):
        return ("string", "number", "integer", "boolean", "object", "array", "null")
    return ("array",) if isinstance(shape, ListOf) else ("object",)


def suggest(name: str, known: Iterable[str]) -> str:
    """Word the complaint about a name that is not known, with the closest known one."""
    close = difflib.get_close_matches(name, known, n=1)
    return f"unknown key {name!r}" + (f"; did you mean {close[0]!r}?" if close else "")


def _choose(value: Tree, shape: AnyOf, path: DocPath, report: Report) -> Shape:
    names = set(type_names(value))
    for option in shape.options:
        if names & set(accepted(option)):
            return option
    wanted = " or ".join(_ARTICLES.get(name, f"a {name}") for name in accepted(shape))
    raise report(path, f"must be {wanted}, not {describe(value)}")


def _check_scalar(value: Tree, shape: Scalar, path: DocPath, report: Report) -> None:
    matched = shape.pattern and isinstance(value, str) and shape.pattern.fullmatch(value)
    if shape.choices and value not in shape.choices and not matched:
        raise report(path, f"must be one of {', '.join(shape.choices)}, not {value!r}")
    if isinstance(value, (int, float)):
        if shape.low is not None and value < shape.low:
            raise report(path, f"must be at least {shape.low}, not {value}")
        if shape.high is not None and value > shape.high:
            raise report(path, f"must be at most {shape.high}, not {value}")


def _check_unique(value: list[Tree], path: DocPath, report: Report) -> None:
    seen: set[object] = set()
    for index, entry in enumerate(value):
        before = len(seen)
        seen.add(_identity(entry))
        if len(seen) == before and type(entry) is not bool:
            shown = repr(entry) if isinstance(entry, (str, int, float)) else "this entry"
            raise report((*path, index), f"{shown} stands here twice")


def _identity(value: Tree) -> object:
    """Return something hashable that is equal for equal values alone."""
    if isinstance(value, (dict, list)):
        return type_names(value), json.dumps(value, sort_keys=True)
    return value


def _check_struct(
    value: dict[str, Tree], shape: Struct, path: DocPath, report: Report, *, partial: bool
) -> None:
    for name, entry in value.items():
        if name in shape.fields and entry is None and partial:
            continue
        if name in shape.fields:
            check(entry, shape.fields[name], (*path, name), report, partial=partial)
        elif not (shape.extensions and name.startswith("x-")):
            raise report(path, suggest(name, shape.fields), unknown=name)
    for name in () if partial else shape.required:
        if name not in value:
            raise report(path, f"needs the key {name!r}")


NEWER_POLICY = r"refresh|daily|weekly|every_([0-9]+[wdhms])+"
NEWER = Anything()
"""What Compose 2.26 does not know yet: any value, of which `support` says what is made of it."""

NAME = re.compile(r"[a-zA-Z0-9._-]+")
STR = Scalar(("string",))
INT = Scalar(("integer", "string"))
NUMBER = Scalar(("number", "string"))
BOOL = Scalar(("boolean", "string"))
NULL = Scalar(("null",))
LIST = ListOf(STR)
DISTINCT = ListOf(STR, unique=True)
ONE_OR_MORE = AnyOf((STR, LIST))
PAIRS = AnyOf((MapOf(Scalar(("string", "number", "boolean", "null"))), LIST))
DISTINCT_PAIRS = AnyOf((MapOf(Scalar(("string", "number", "boolean", "null"))), DISTINCT))
OPTIONS = MapOf(Scalar(("string", "number")))
COMMAND = AnyOf((NULL, STR, LIST))
HOSTS = AnyOf((MapOf(AnyOf((STR, LIST))), DISTINCT))
LIMIT = AnyOf((INT, Struct({"hard": INT, "soft": INT}, required=("soft", "hard"))))
LIMITS = MapOf(LIMIT, re.compile(r"[a-z]+"))
MOUNTS = ListOf(
    AnyOf((STR, Struct({"source": STR, "target": STR, "uid": STR, "gid": STR, "mode": NUMBER})))
)
HOOK = Struct(
    {
        "command": COMMAND,
        "user": STR,
        "privileged": BOOL,
        "working_dir": STR,
        "environment": DISTINCT_PAIRS,
        "per_replica": NEWER,
    }
)


def choice(*choices: str, pattern: str = "") -> Shape:
    """Return the shape of a word that is one of these, or matches the pattern."""
    return Scalar(("string",), choices, pattern=re.compile(pattern) if pattern else None)


_FORMER = {
    "dockerfile": "write it under 'build:'",
    "log_driver": "write 'driver' under 'logging:'",
    "log_opt": "write 'options' under 'logging:'",
    "net": "write 'network_mode:', or 'networks:'",
    "volume_driver": "write 'driver' below the volume's name under the top-level 'volumes:'",
}


def reporter(origins: Origins, tree: Tree = None) -> Report:
    """Return what makes the errors of a check.

    Args:
        origins: where the values stand.
        tree: the whole document, to recognise one of version 1.
    """

    def report(path: DocPath, message: str, *, unknown: str | None = None) -> ComposeError:
        hint = None
        if len(path) == 2 and path[0] == "services" and unknown in _FORMER:
            hint = _FORMER[unknown]
            message = f"the key {unknown!r} of older Compose files is not known any more"
        elif not path and unknown and _is_service(tree.get(unknown)):
            hint = "a file of version 1? Write 'services:' above its services"
        return origins.error(path, message, key=unknown, hint=hint)

    return report


def _is_service(value: Tree) -> bool:
    return isinstance(value, dict) and bool({"image", "build"} & value.keys())
