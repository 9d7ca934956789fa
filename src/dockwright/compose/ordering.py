"""The order in which mappings with the user's own keys are printed.

Byte order in JSON. In YAML, ``web9`` comes before ``web10``, and punctuation before digits before
letters.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cmp_to_key
from itertools import takewhile
from typing import Literal

_MOST_DIGITS = 1000


def ordered(names: Iterable[str], form: Literal["json", "yaml"]) -> list[str]:
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
