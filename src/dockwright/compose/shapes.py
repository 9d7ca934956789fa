"""A small language for the fields of a Compose file, and the check of a value's shape.

A shape says what a value must look like. Its rules say what each pass over a document does with a
value that stands there. A pass walks down a document and its shape together.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

from dockwright.compose.source import DocPath, Origins, Place, Tree
from dockwright.errors import ComposeError

Expand: TypeAlias = Callable[[Tree], Tree]
Cast: TypeAlias = Callable[[str], bool | int | float]
EntryKey: TypeAlias = Callable[[Tree], object]
Merge: TypeAlias = Callable[[Tree, Tree, "Shape", Origins, DocPath], Tree]
Rebase: TypeAlias = Callable[[Tree, Path], Tree]
Write: TypeAlias = Callable[[Tree, Place], Any]


@dataclass(frozen=True, slots=True)
class Support:
    """How dockwright treats a key that it does not run.

    Attributes:
        level: ``ignored`` keys cause a warning; ``refused`` keys an error, unless the project is
            only printed; ``newer`` keys, which Compose 2.26 does not know, always an error.
        message: the warning or error.
    """

    level: Literal["ignored", "refused", "newer"]
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What a value must look like, and the rules for it.

    Attributes:
        cast: turns a string into the number or truth value that Compose wants, after interpolation.
        expand: turns a short form into the long form. A list entry that becomes a list is replaced
            by the entries of that list.
        rebase: makes the relative paths in a value in long form absolute.
        merge: merges a later value over an earlier one, where the general rules do not apply.
        entry_key: identifies an entry of a list; of entries with the same key the last is kept.
        support: says that dockwright does not run this.
        write: gives the canonical form; by default a mapping or list is written entry by entry.
    """

    cast: Cast | None = None
    expand: Expand | None = None
    rebase: Rebase | None = None
    merge: Merge | None = None
    entry_key: EntryKey | None = None
    support: Support | None = None
    write: Write | None = None

    def child(self, part: str | int) -> Shape | None:  # noqa: ARG002 - scalars have no children
        """Return the shape of the value at a key or index; None for an extension or unknown key."""
        return None


@dataclass(frozen=True, slots=True)
class Scalar(Shape):
    """One scalar whose type is among `types` (names as in JSON Schema).

    Attributes:
        choices: the only values; values that match `pattern` are valid too, but not suggested.
    """

    types: tuple[str, ...]
    choices: tuple[str, ...] = ()
    pattern: re.Pattern[str] | None = None
    low: int | None = None
    high: int | None = None


@dataclass(frozen=True, slots=True)
class ListOf(Shape):
    """A list; `unique` forbids an entry that occurred before."""

    entry: Shape
    unique: bool = False

    def child(self, part: str | int) -> Shape | None:
        """Return the shape of every entry."""
        return self.entry if isinstance(part, int) else None


@dataclass(frozen=True, slots=True)
class MapOf(Shape):
    """A mapping whose keys are the user's names."""

    value: Shape
    names: re.Pattern[str] = field(default=re.compile(r".+", re.DOTALL))

    def child(self, part: str | int) -> Shape | None:
        """Return the shape of every value."""
        return self.value if isinstance(part, str) else None


@dataclass(frozen=True, slots=True)
class Struct(Shape):
    """A mapping whose keys are Compose's own; the canonical form prints them in this order.

    Attributes:
        fields: the shapes by key.
        required: keys that must be there.
        extensions: whether ``x-`` keys are ``refused``, allowed but ``dropped`` from the canonical
            form, printed in ``yaml`` only, or printed in ``both`` forms.
        inline: whether JSON prints ``{}`` where the mapping is empty or missing.
        complete: whether every key is printed, given or not.
        titled_in_json: whether JSON prints the keys with a capital letter.
    """

    fields: Mapping[str, Shape]
    required: tuple[str, ...] = ()
    extensions: Literal["refused", "dropped", "yaml", "both"] = "yaml"
    inline: bool = False
    complete: bool = False
    titled_in_json: bool = False

    def child(self, part: str | int) -> Shape | None:
        """Return the shape at one key."""
        return self.fields.get(part) if isinstance(part, str) else None


@dataclass(frozen=True, slots=True)
class AnyOf(Shape):
    """One of several shapes that differ in their types; the rules are those of the `AnyOf`."""

    options: tuple[Shape, ...]

    def child(self, part: str | int) -> Shape | None:
        """Return the shape at a key or index, in the option that has such keys or indexes."""
        return next((found for option in self.options if (found := option.child(part))), None)

    def option_for(self, value: Tree) -> Shape:
        """Return the option that takes values of this type, or the `AnyOf` itself."""
        names = set(type_names(value))
        return next((option for option in self.options if names & set(accepted(option))), self)


@dataclass(frozen=True, slots=True)
class Anything(Shape):
    """Any value."""


class Report(Protocol):
    """Makes the error for a wrong value."""

    def __call__(self, path: DocPath, message: str, *, unknown: str | None = None) -> Exception:
        """Return the error for the value at `path`, or for its key `unknown`."""


_ARTICLES = {"integer": "an integer", "object": "a mapping", "array": "a list", "null": "empty"}


def check(value: Tree, shape: Shape, path: DocPath, report: Report, *, partial: bool) -> None:
    """Raise the error that `report` makes for the first value that does not fit.

    Args:
        value: a YAML value.
        shape: what it must look like.
        path: where it stands.
        report: makes the error.
        partial: whether required keys may be missing and values null, because a merge follows.
    """
    if isinstance(shape, AnyOf):
        shape = shape.option_for(value)
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
    """Describe a wrong value in a message."""
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
    """Return the JSON Schema types that a shape accepts."""
    if isinstance(shape, Scalar):
        return shape.types
    if isinstance(shape, AnyOf):
        return tuple(dict.fromkeys(name for option in shape.options for name in accepted(option)))
    if isinstance(shape, Anything):
        return ("string", "number", "integer", "boolean", "object", "array", "null")
    return ("array",) if isinstance(shape, ListOf) else ("object",)


def suggest(name: str, known: Iterable[str]) -> str:
    """Return the message for an unknown name, with the closest known one."""
    close = difflib.get_close_matches(name, known, n=1)
    return f"unknown key {name!r}" + (f"; did you mean {close[0]!r}?" if close else "")


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
            raise report((*path, index), f"duplicate entry: {shown}")


def _identity(value: Tree) -> object:
    """Return something hashable that is equal only for equal values."""
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
        elif shape.extensions == "refused" or not name.startswith("x-"):
            raise report(path, suggest(name, shape.fields), unknown=name)
    for name in () if partial else shape.required:
        if name not in value:
            raise report(path, f"needs the key {name!r}")


_FORMER = {
    "dockerfile": "write it under 'build:'",
    "log_driver": "write 'driver' under 'logging:'",
    "log_opt": "write 'options' under 'logging:'",
    "net": "write 'network_mode:', or 'networks:'",
    "volume_driver": "write 'driver' below the volume's name under the top-level 'volumes:'",
}


def reporter(origins: Origins, tree: Tree = None) -> Report:
    """Return the function that makes the errors of a check.

    Args:
        origins: where the values stand.
        tree: the whole document, to recognise one of version 1.
    """

    def report(path: DocPath, message: str, *, unknown: str | None = None) -> ComposeError:
        hint = None
        if len(path) == 2 and path[0] == "services" and unknown in _FORMER:
            hint = _FORMER[unknown]
            message = f"the key {unknown!r} belongs to an old version of the Compose format"
        elif not path and unknown and _is_service(tree.get(unknown)):
            hint = "is this a file of version 1? Write 'services:' above its services"
        return origins.error(path, message, key=unknown, hint=hint)

    return report


def _is_service(value: Tree) -> bool:
    return isinstance(value, dict) and bool({"image", "build"} & value.keys())
