"""Read YAML as Compose does: YAML 1.2 scalars, merge keys, and the line of every value."""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal, TypeAlias

import yaml

from dockwright.compose.source import DocPath, Origins, Tree, show
from dockwright.errors import ComposeError
from dockwright.untrusted import UnreadableError, read_plain

_WORDS: dict[str, bool | float | None] = {
    "": None,
    "~": None,
    "null": None,
    "Null": None,
    "NULL": None,
    "true": True,
    "True": True,
    "TRUE": True,
    "false": False,
    "False": False,
    "FALSE": False,
    ".nan": math.nan,
    ".NaN": math.nan,
    ".NAN": math.nan,
    ".inf": math.inf,
    ".Inf": math.inf,
    ".INF": math.inf,
    "+.inf": math.inf,
    "+.Inf": math.inf,
    "+.INF": math.inf,
    "-.inf": -math.inf,
    "-.Inf": -math.inf,
    "-.INF": -math.inf,
}
_INTEGER = re.compile(
    r"(?P<sign>[-+]?)(?:0[xX](?P<hex>[0-9a-fA-F]+)|0[bB](?P<binary>[01]+)"
    r"|0[oO]?(?P<octal>[0-7]+)|(?P<decimal>0|[1-9][0-9]*))"
)
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_TIME = r"\d\d?:\d\d?:\d\d?"
_FRACTION = r"(?:[.,](?P<{0}>\d+))?"
_MOMENT = re.compile(
    r"(?P<day>\d{4}-\d\d?-\d\d?)"
    rf"(?:[Tt](?P<time>{_TIME}){_FRACTION.format('part')}(?P<zone>Z|[-+]\d\d:\d\d)"
    rf"| +(?P<bare>{_TIME}){_FRACTION.format('rest')})?"
)
_MOST_DIGITS = 250
"""Longer integers go the way of floats: they fit into no integer of Go, whatever their base."""

_BASES = {"hex": 16, "binary": 2, "octal": 8, "decimal": 10}


class Timestamp(str):
    """A timestamp: its text is what an ``x-`` extension prints, `spoken` what a variable gets."""

    __slots__ = ("spoken",)
    spoken: str


Scalar: TypeAlias = str | int | float | bool | None


def resolve(text: str) -> Scalar:
    """Return the value of an unquoted, untagged scalar."""
    if text in _WORDS:
        return _WORDS[text]
    if not (text[0].isdigit() or text[0] in "+-."):
        return text
    number = _number(text if text[0] == "." else text.replace("_", ""))
    return _moment(text) if number is None else number


def as_float(text: str) -> float | None:
    """Return the value of a scalar tagged ``!!float``, or None where it is no number."""
    number = resolve(text)
    return float(number) if isinstance(number, (int, float)) else None


def _number(text: str) -> int | float | None:
    match = _INTEGER.fullmatch(text)
    if match and len(text) <= _MOST_DIGITS:
        base, digits = next((b, match[name]) for name, b in _BASES.items() if match[name])
        number = int(match["sign"] + digits, base)
        return number if -(2**63) <= number < 2**64 else float(number)
    real = float(text) if _FLOAT.fullmatch(text) else math.inf
    return real if math.isfinite(real) else None


def _moment(text: str) -> str:
    match = _MOMENT.fullmatch(text)
    if not match:
        return text
    time = match["time"] or match["bare"] or "0:0:0"
    zone = (match["zone"] or "Z").replace("Z", "+00:00")
    try:
        when = datetime.strptime(f"{match['day']} {time} {zone}", "%Y-%m-%d %H:%M:%S %z")
    except ValueError:
        return text
    digits = (match["part"] or match["rest"] or "")[:9].rstrip("0")
    fraction = f".{digits}" if digits else ""
    utc = not when.utcoffset()
    offset = when.strftime("%z")
    moment = Timestamp(f"{when:%Y-%m-%dT%H:%M:%S}{fraction}{'Z' if utc else zone}")
    moment.spoken = f"{when:%Y-%m-%d %H:%M:%S}{fraction} {offset} {'UTC' if utc else offset}"
    return moment


def go_text(value: Scalar) -> str:
    """Write a scalar as Go's ``%v`` does, which is what a variable or label gets."""
    if isinstance(value, Timestamp):
        return value.spoken
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return go_float(value)
    return "" if value is None else str(value)


def go_float(value: float) -> str:
    """Write a finite float as Go's shortest ``%g``: an exponent below 1e-4 and from 1e6 on."""
    mantissa, _, exponent = f"{value:.17e}".partition("e")
    for precision in range(18):
        mantissa, _, exponent = f"{value:.{precision}e}".partition("e")
        if float(f"{mantissa}e{exponent}") == value:
            break
    power = int(exponent)
    if value and not -4 <= power < 6:
        return f"{mantissa}e{power:+03d}"
    return f"{value:.{max(precision - power, 0)}f}"


_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_STANDARD = "tag:yaml.org,2002:"
_MAX_BYTES = 4 << 20
"""The maximum size of a file; the largest known Compose files are a tenth of it."""

_MAX_VALUES = 50_000
"""How many values a file may contain, and how many its aliases and merge keys may add."""

_MAX_DEPTH = 100
"""How deep values may be nested; Compose's own keys are nested less than ten deep."""


_TOO_DEEP = f"values are nested more than {_MAX_DEPTH} deep"


@dataclass(slots=True)
class Document:
    """One YAML document.

    Attributes:
        tree: its value.
        origins: where its values stand.
        resets: the paths tagged ``!reset`` or ``!override``: what they name in a document that this
            one is merged over is dropped first.
    """

    tree: Tree
    origins: Origins
    resets: tuple[DocPath, ...] = ()


@dataclass(slots=True)
class _Node:
    kind: Literal["scalar", "list", "map"]
    line: int
    tag: str | None = None
    text: str = ""
    plain: bool = False
    children: list[_Node] = field(default_factory=list)
    open: bool = True


def read(file: Path) -> list[Document]:
    """Read every document of a YAML file; a file that contains only comments has none.

    Raises:
        ComposeError: the file is missing, unreadable or not YAML.
    """
    return parse(read_text(file), file)


def read_text(file: Path) -> str:
    """Return a file's text, its line breaks as they are, or say why it cannot be read."""
    try:
        return read_plain(file, limit_bytes=_MAX_BYTES).decode()
    except FileNotFoundError as exc:
        raise ComposeError("no such file", file=file) from exc
    except UnicodeDecodeError as exc:
        raise ComposeError(f"is not UTF-8 text (byte {exc.start})", file=file) from exc
    except UnreadableError as exc:
        raise ComposeError(str(exc), file=file) from exc
    except OSError as exc:
        raise ComposeError(f"cannot be read: {exc.strerror}", file=file) from exc


def parse(text: str, file: Path) -> list[Document]:
    """Read every document of a YAML text; `file` is used in messages only."""
    try:
        roots = list(_compose(text, file))
    except yaml.MarkedYAMLError as exc:
        last = text.rstrip().count("\n") + 1
        line = min(exc.problem_mark.line + 1, last) if exc.problem_mark else None
        message = " ".join(part for part in (exc.context, exc.problem) if part)
        raise ComposeError(f"not YAML: {message}", file=file, line=line) from exc
    except yaml.reader.ReaderError as exc:
        line = text.encode()[: exc.position].count(b"\n") + 1
        message = f"not YAML: the character U+{exc.character:04X} is not allowed"
        raise ComposeError(message, file=file, line=line) from exc
    except yaml.YAMLError as exc:
        raise ComposeError(f"not YAML: {exc}", file=file) from exc
    builders = [(root, _Builder(file)) for root in roots]
    return [
        Document(builder.build(root, ()), builder.origins, tuple(builder.resets))
        for root, builder in builders
    ]


def _compose(text: str, file: Path) -> Iterator[_Node]:
    anchors: dict[str, _Node] = {}
    stack: list[_Node] = []
    for number, event in enumerate(yaml.parse(text, Loader=_Loader)):
        if number > _MAX_VALUES:
            message = f"contains more than {_MAX_VALUES:,} values"
            raise ComposeError(message, file=file, line=_line(event))
        if len(stack) > _MAX_DEPTH:
            raise ComposeError(_TOO_DEEP, file=file, line=_line(event))
        if isinstance(event, yaml.AliasEvent):
            node = anchors.get(event.anchor or "")
            line = _line(event)
            if node is None:
                raise ComposeError(f"no anchor named {event.anchor!r}", file=file, line=line)
            if node.open:
                raise ComposeError(f"anchor {event.anchor!r} contains itself", file=file, line=line)
            stack[-1].children.append(node)
        elif isinstance(event, yaml.NodeEvent):
            node = _node(event)
            if event.anchor:
                anchors[event.anchor] = node
            if stack:
                stack[-1].children.append(node)
            if node.open:
                stack.append(node)
            elif not stack:
                yield node
        elif isinstance(event, yaml.CollectionEndEvent):
            node = stack.pop()
            node.open = False
            if not stack:
                yield node
        elif isinstance(event, yaml.DocumentStartEvent):
            anchors = {}


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 1


def _node(event: yaml.NodeEvent) -> _Node:
    line = _line(event)
    if isinstance(event, yaml.ScalarEvent):
        plain = bool(event.implicit[0])
        return _Node("scalar", line, event.tag, event.value, plain=plain, open=False)
    kind: Literal["list", "map"] = "map" if isinstance(event, yaml.MappingStartEvent) else "list"
    tag = event.tag if isinstance(event, yaml.CollectionStartEvent) else None
    return _Node(kind, line, tag)


class _Builder:
    """Turns the nodes of one document into plain values."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.origins = Origins(file)
        self.resets: list[DocPath] = []
        self._seen: set[int] = set()
        self._filled: set[int] = set()
        self._aliased = 0
        self._merges = 0

    def error(self, message: str, node: _Node, path: DocPath = ()) -> ComposeError:
        return ComposeError(message, file=self.file, line=node.line, path=show(path) or None)

    def build(self, node: _Node, path: DocPath) -> Tree:
        if len(path) > _MAX_DEPTH:
            raise self.error(_TOO_DEEP, node)
        self._count(node)
        self.origins.note(path, node.line)
        if node.tag == "!override":
            self.resets.append(path)
        if node.kind == "map":
            mapping: dict[str, Tree] = {}
            self._fill(node, path, mapping)
            return mapping
        if node.kind == "list":
            kept = [child for child in node.children if child.tag != "!reset"]
            return [self.build(child, (*path, index)) for index, child in enumerate(kept)]
        return self._scalar(node, path)

    def _count(self, node: _Node) -> None:
        if id(node) in self._seen:
            self._aliased += 1 + len(node.text) // 100
            if self._aliased > _MAX_VALUES:
                message = f"aliases and merge keys add more than {_MAX_VALUES:,} values"
                raise self.error(message, node)
        self._seen.add(id(node))

    def _fill(self, node: _Node, path: DocPath, result: dict[str, Tree]) -> None:
        """Add a mapping's entries, then what its ``<<`` names; what `result` has already stays."""
        inherited: list[_Node] = []
        lines: dict[str, int] = {}
        again = id(node) in self._filled
        self._filled.add(id(node))
        for key, value in zip(node.children[::2], node.children[1::2], strict=True):
            self._count(key)
            merge = key.plain and key.text == "<<"
            name = "<<" if merge else self._key(key, path)
            if name in lines:
                message = f"key {name!r} is already defined at line {lines[name]}"
                raise self.error(message, key, path)
            lines[name] = key.line
            if merge:
                inherited = value.children if value.kind == "list" else [value]
            elif name in result:
                continue
            elif value.tag == "!reset":
                if not again:  # Compose forgets it where the mapping is used again, by an alias
                    self.resets.append((*path, name))
            else:
                result[name] = self.build(value, (*path, name))
                self.origins.note((*path, name), key.line)
        self._merges += 1
        for base in inherited:
            self._count(base)
            if base.kind != "map":
                raise self.error("'<<' needs a mapping or a list of mappings", base, path)
            if self._merges > _MAX_DEPTH:
                raise self.error(f"merge keys are chained more than {_MAX_DEPTH} deep", base)
            self._fill(base, path, result)
        self._merges -= 1

    def _key(self, node: _Node, path: DocPath) -> str:
        key = self._scalar(node, path) if node.kind == "scalar" else None
        if not isinstance(key, str):
            shown = node.text if node.kind == "scalar" else f"a {node.kind}"
            raise self.error(f"keys must be strings, not {shown or 'null'}", node, path)
        return key

    def _scalar(self, node: _Node, path: DocPath) -> Scalar:
        tag, text = node.tag or "", node.text
        if not tag.startswith(_STANDARD):
            return self._finite(resolve(text), node, path) if node.plain and not tag else text
        tag = tag.removeprefix(_STANDARD)
        value: Scalar = resolve(text)
        if tag == "float":
            value = as_float(text)
        elif tag == "binary":
            value = _binary(text)
        elif tag == "str":
            return text
        wanted = {"int": int, "float": float, "bool": bool, "null": type(None), "binary": str}
        if tag in wanted and type(value) is not wanted[tag]:
            raise self.error(f"{text!r} is not a !!{tag}", node, path)
        return self._finite(value, node, path)

    def _finite(self, value: Scalar, node: _Node, path: DocPath) -> Scalar:
        if isinstance(value, float) and not math.isfinite(value):
            message = f"{node.text!r} is not a finite number; quote it if it is text"
            raise self.error(message, node, path)
        return value


def _binary(text: str) -> str | None:
    try:
        return base64.b64decode(text, validate=False).decode()
    except ValueError:  # neither base64 nor UTF-8
        return None
