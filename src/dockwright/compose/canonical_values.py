"""How single values are written in the canonical form: kinds, order of keys, shell words."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from functools import cmp_to_key
from itertools import takewhile
from typing import Any, Final

from dockwright.compose.read_yaml import Timestamp, go_text
from dockwright.compose.shapes import Write
from dockwright.compose.source import Form, Place, Tree
from dockwright.compose.units import (
    format_duration,
    parse_bytes,
    parse_duration,
    to_bool,
    to_float,
    to_int,
)

_MOST_DIGITS = 1000


def ordered(names: Iterable[str], form: Form) -> list[str]:
    """Return names in the order in which they are printed."""
    return sorted(names) if form == "json" else sorted(names, key=cmp_to_key(_compare))


def _compare(left: str, right: str) -> int:
    """Compare as Go's yaml.v3 does: at the first difference, numbers count as numbers."""
    for index, (a, b) in enumerate(zip(left, right, strict=False)):
        if a != b:
            return -1 if _before(left, right, index) else 1
    return len(left) - len(right)


def _before(left: str, right: str, index: int) -> bool:
    a, b = left[index], right[index]
    if a.isalpha() and b.isalpha():
        return a < b
    if a.isalpha() or b.isalpha():
        in_number = index > 0 and left[index - 1].isdecimal()
        return a.isalpha() if in_number else b.isalpha()
    lead = _significant_digit_before(left, index) if "0" in (a, b) else ""
    first, second = _digits(left, index), _digits(right, index)
    numbers = _number(lead + first), _number(lead + second)
    if numbers[0] != numbers[1]:
        return numbers[0] < numbers[1]
    if len(first) != len(second):
        return len(first) < len(second)
    return a < b


def _number(digits: str) -> int:
    return int(digits[:_MOST_DIGITS] or "0")


def _digits(text: str, index: int) -> str:
    return "".join(takewhile(str.isdecimal, text[index:]))


def _significant_digit_before(text: str, index: int) -> str:
    """Return ``1`` where a digit other than 0 stands in the same number before `index`."""
    before = list(takewhile(str.isdecimal, reversed(text[:index])))
    return "1" if any(digit != "0" for digit in before) else ""


_ENDS = ";&|<>"
_SPACE = " \t\r\n"
_CLOSING = {"'": "'", '"': '"', "`": "`", "(": ")"}


def split(text: str) -> list[str]:
    """Return the words of `text`.

    Raises:
        ValueError: a quote or bracket is not closed, or one is opened where it means nothing.
    """
    words: list[str] = []
    word: str | None = None
    closing = ""
    escaped = False
    for char in text:
        if escaped:
            word, escaped = (word or "") + char, False
        elif char == "\\" and closing != "'":
            escaped = True
        elif closing:
            if char == closing:
                closing = ""
            if char not in "'\"" or closing:
                word = (word or "") + char
        elif char in _SPACE:
            words += [word] if word is not None else []
            word = None
        elif char in _ENDS:
            word = None if char == ">" and word and word[0].isdigit() else word
            break
        elif char in "()" and not (char == "(" and (word or "").endswith("$")):
            raise ValueError(f"{char!r} must be quoted")
        else:
            closing = _CLOSING.get(char, "")
            word = (word or "") + ("" if char in "'\"" else char)
    if closing or escaped:
        raise ValueError(
            "a character must follow the last backslash"
            if escaped
            else f"the closing {closing!r} is missing"
        )
    return words + ([word] if word is not None else [])


ABSENT: Final[Any] = object()


def _reading(read: Callable[[Tree], Any], *, keep_zero: bool) -> Write:
    def write(value: Tree, place: Place) -> Any:
        try:
            result = read(value)
        except ValueError as exc:
            raise place.origins.error(place.path, str(exc)) from exc
        return result if keep_zero or result else ABSENT

    return write


def _flag(value: Tree) -> bool:
    return to_bool(value) if isinstance(value, str) else bool(value)


def _whole(value: Tree) -> int:
    return to_int(value) if isinstance(value, str) else int(value)


def _natural(value: Tree) -> int:
    """Read an unsigned number, which Compose does not take as text."""
    if not isinstance(value, str) and value >= 0:
        return int(value)
    raise ValueError(f"must be a number of at least 0, not {value!r}")


def _real(value: Tree) -> int | float:
    """Round to single precision, and print the fewest digits that give the same number."""
    number = to_float(value) if isinstance(value, str) else float(value)
    single = struct.unpack("f", struct.pack("f", number))[0]
    for digits in range(1, 10):
        short = float(f"{single:.{digits}g}")
        if struct.unpack("f", struct.pack("f", short))[0] == single:
            return int(short) if short.is_integer() else short
    return float(single)


def _size(value: Tree) -> str:
    """Return bytes as text; Compose does not read a number with a fraction and leaves it out."""
    if isinstance(value, float):
        return ""
    size = parse_bytes(value) if isinstance(value, str) else int(value)
    return str(size) if size else ""


def _text(value: Tree) -> str:
    if not isinstance(value, (Timestamp, float)):
        return go_text(value)
    kind = "fraction" if isinstance(value, float) else "date"
    raise ValueError(f"{value} is a {kind} in YAML; quote it if it is text")


def _argv(value: Tree) -> Any:
    if isinstance(value, str):
        return split(_text(value))
    return value and [_text(word) for word in value]


def _count(value: Tree) -> int:
    return -1 if value == "all" else _whole(value)


TEXT = _reading(_text, keep_zero=False)
OPTIONAL_TEXT = _reading(_text, keep_zero=True)
FLAG = _reading(_flag, keep_zero=False)
OPTIONAL_FLAG = _reading(_flag, keep_zero=True)
WHOLE = _reading(_whole, keep_zero=False)
NATURAL = _reading(_natural, keep_zero=False)
OPTIONAL_NATURAL = _reading(_natural, keep_zero=True)
COMPLETE_NATURAL = _reading(lambda value: _natural(value or 0), keep_zero=True)
COMPLETE_WHOLE = _reading(lambda value: _whole(value or 0), keep_zero=True)
COMPLETE_SIZE = _reading(lambda value: _size(value or 0) or "0", keep_zero=True)
OPTIONAL_WHOLE = _reading(_whole, keep_zero=True)
COUNT = _reading(_count, keep_zero=False)
REAL = _reading(_real, keep_zero=False)
SIZE = _reading(_size, keep_zero=False)
SPAN = _reading(lambda value: format_duration(parse_duration(value)), keep_zero=True)
LONG_SPAN = _reading(
    lambda value: parse_duration(value) and format_duration(parse_duration(value)), keep_zero=False
)
ARGV = _reading(_argv, keep_zero=True)
TEXTS = _reading(lambda value: [_text(entry) for entry in value], keep_zero=False)
FILLED_TEXTS = _reading(lambda value: [_text(entry) for entry in value if entry], keep_zero=False)
HOSTS = _reading(
    lambda value: sorted(f"{name}={address}" for name in value for address in value[name]),
    keep_zero=False,
)


def labels(value: Tree, place: Place) -> Any:
    """Write a mapping of texts; a name without a value has an empty one."""
    return {name: go_text(value[name]) for name in ordered(value, place.form)} or ABSENT


def options(value: Tree, place: Place) -> Any:
    """Write a mapping of texts in which Compose takes no fractions and no truth values."""
    for name, entry in value.items():
        if isinstance(entry, (bool, float, dict, list)):
            message = f"must be text or a whole number, not {entry!r}"
            raise place.origins.error((*place.path, name), message)
    return labels(value, place)


def variables(value: Tree, place: Place) -> Any:
    """Write a mapping of texts; a name without a value has null."""
    return {name: value[name] for name in ordered(value, place.form)} or ABSENT


def plain(value: Tree, form: Form) -> Any:
    """Return an extension as it is printed: sorted, in JSON with whole floats as integers."""
    if isinstance(value, dict):
        return {key: plain(value[key], form) for key in ordered(value, form)}
    if isinstance(value, list):
        entries = [plain(entry, form) for entry in value]
        return entries or (None if form == "json" else [])  # Go's nil slice is null in JSON
    if form == "json" and isinstance(value, float) and value.is_integer() and abs(value) < 1e21:
        return int(value)
    return value


def hidden(value: Tree, place: Place) -> Any:
    """Leave out what Compose does not print."""
    del value, place
    return ABSENT


def limit(value: Tree, place: Place) -> Any:
    """Write a ulimit: one number, or soft and hard; to Compose one number 0 is an empty pair."""
    if not isinstance(value, dict):
        number = WHOLE(value, place)
        if number is not ABSENT:
            return number
        value = {"soft": 0, "hard": 0}
    write = OPTIONAL_WHOLE if place.form == "yaml" else WHOLE
    written = {key: write(value[key], place.at(key)) for key in ("soft", "hard")}
    return {key: number for key, number in written.items() if number is not ABSENT}


def env_files(value: Tree, place: Place) -> Any:
    """Write ``env_file``, where it was not resolved: a required file is only its path."""
    del place
    files = [
        {"path": entry["path"], "required": False} if not entry["required"] else entry["path"]
        for entry in value
    ]
    return files or ABSENT
