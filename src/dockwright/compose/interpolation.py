"""Substitutes variables in one string: ``$V``, ``${V:-default}`` and the other forms of Compose."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

_NAME = r"[_a-zA-Z][_a-zA-Z0-9]*"
_REFERENCE = re.compile(rf"\$(?:(?P<escaped>\$)|(?P<named>{_NAME})|\{{)")
_OPENING = re.compile(rf"\$\{{{_NAME}(?:\}}|:?[-+?])")
_BRACED = re.compile(rf"(?P<name>{_NAME})(?:(?P<operator>:?[-+?])(?P<word>.*))?", re.DOTALL)

_BRACE = re.compile(r"\{(?P<passed>.?)|\}|\n")

_MAX_DEPTH = 20
_MAX_REFERENCE = 20_000
_MAX_LENGTH = 1 << 20
"""A variable of a process has at most an eighth of it."""


class TemplateError(ValueError):
    """A string holds something that looks like a variable but is not one."""


class BoundError(ValueError):
    """A string goes beyond what is read of variables in one; the message says how."""


class RequiredError(ValueError):
    """A variable that must have a value has none.

    Args:
        name: the variable.
        message: what the file says about it; may be empty.
    """

    def __init__(self, name: str, message: str) -> None:
        super().__init__(name, message)
        self.name = name
        self.message = message


def substitute(
    text: str, variables: Mapping[str, str], on_unset: Callable[[str], None] = lambda _name: None
) -> str:
    """Return `text` with every variable replaced.

    Args:
        text: may hold ``$V``, ``${V}``, ``${V:-d}``, ``${V-d}``, ``${V:+r}``, ``${V+r}``,
            ``${V:?e}``, ``${V?e}`` (d, r and e may hold variables too) and ``$$`` for a dollar.
        variables: their values.
        on_unset: told the name of every plain reference that has no value and becomes empty.

    Raises:
        TemplateError: a ``${`` that is no valid reference.
        RequiredError: a ``?`` form whose variable has no value.
        BoundError: variables are nested too deep, or their values become too long.
    """
    return _substitute(text, variables, on_unset, 0)


def _substitute(
    text: str, variables: Mapping[str, str], on_unset: Callable[[str], None], depth: int
) -> str:
    if depth > _MAX_DEPTH:
        raise BoundError(f"nests variables more than {_MAX_DEPTH} deep")
    pieces: list[str] = []
    length = position = 0
    while match := _REFERENCE.search(text, position):
        if match["escaped"]:
            value, end = "$", match.end()
        elif match["named"]:
            value, end = _plain(match["named"], variables, on_unset), match.end()
        else:
            end = _end_of_reference(text, match.start())
            if end - match.start() > _MAX_REFERENCE:
                raise BoundError(f"refers to a variable in more than {_MAX_REFERENCE:,} characters")
            inside = _BRACED.fullmatch(text, match.end(), end - 1)
            if not inside:
                raise TemplateError(text)
            value = _braced(inside, variables, on_unset, depth)
        pieces += [text[position : match.start()], value]
        length += len(pieces[-1]) + len(pieces[-2])
        if length > _MAX_LENGTH:
            raise BoundError(f"becomes longer than {_MAX_LENGTH >> 10:,} KiB by its variables")
        position = end
    return "".join([*pieces, text[position:]]) if pieces else text


def _end_of_reference(text: str, start: int) -> int:
    """Return the index behind the brace that closes the first one, or the last one of its line.

    As Compose does it: what follows an opening brace is passed over.
    """
    if not _OPENING.match(text, start):
        raise TemplateError(text)
    depth = last = 0
    for match in _BRACE.finditer(text, start):
        if match[0] == "\n":
            break
        if match[0] == "}":
            depth, last = depth - 1, match.end()
            if not depth:
                break
        else:
            depth, last = depth + 1, match.end() if match["passed"] == "}" else last
    if not last:
        raise TemplateError(text)
    return last


def _plain(name: str, variables: Mapping[str, str], on_unset: Callable[[str], None]) -> str:
    if name not in variables:
        on_unset(name)
    return variables.get(name, "")


def _braced(
    inside: re.Match[str],
    variables: Mapping[str, str],
    on_unset: Callable[[str], None],
    depth: int,
) -> str:
    name, operator, word = inside["name"], inside["operator"], inside["word"]
    if not operator:
        return _plain(name, variables, on_unset)
    value = variables.get(name)
    present = bool(value) if operator.startswith(":") else value is not None
    # As in Compose, also where it is not used.
    word = _substitute(word, variables, on_unset, depth + 1)
    if operator.endswith("+"):
        return word if present else ""
    if present:
        return value or ""
    if operator.endswith("?"):
        raise RequiredError(name, word)
    return word
