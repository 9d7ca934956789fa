"""Substitutes variables in one string: ``$V``, ``${V:-default}`` and the other forms of Compose."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

_NAME = r"[_a-zA-Z][_a-zA-Z0-9]*"
_REFERENCE = re.compile(
    rf"\$(?:(?P<escaped>\$)|(?P<named>{_NAME})"
    rf"|\{{(?:(?P<braced>{_NAME}(?::?[-+?].*)?)\}}|(?P<invalid>)))"
)
_BRACED = re.compile(rf"(?P<name>{_NAME})(?:(?P<operator>:?[-+?])(?P<word>.*))?", re.DOTALL)


class TemplateError(ValueError):
    """A string holds something that looks like a variable but is not one."""


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
    """
    if "$" not in text:
        return text

    def replace(match: re.Match[str]) -> str:
        if match["escaped"]:
            return "$"
        if match["named"]:
            return _plain(match["named"], variables, on_unset)
        if match["braced"] is None:
            raise TemplateError(text)
        end = _closing_brace(match[0])
        inside = _BRACED.fullmatch(match[0][2:end])
        if not inside:
            raise TemplateError(text)
        rest = substitute(match[0][end + 1 :], variables, on_unset)
        return _braced(inside, variables, on_unset) + rest

    return _REFERENCE.sub(replace, text)


def _closing_brace(reference: str) -> int:
    """Return the index of the brace that closes the first one, or of the last character.

    As Compose does it: what follows an opening brace is passed over.
    """
    depth = index = 0
    while index < len(reference):
        depth += (reference[index] == "{") - (reference[index] == "}")
        if reference[index] == "}" and depth == 0:
            return index
        index += 2 if reference[index] == "{" else 1
    return len(reference) - 1


def _plain(name: str, variables: Mapping[str, str], on_unset: Callable[[str], None]) -> str:
    if name not in variables:
        on_unset(name)
    return variables.get(name, "")


def _braced(
    inside: re.Match[str], variables: Mapping[str, str], on_unset: Callable[[str], None]
) -> str:
    name, operator, word = inside["name"], inside["operator"], inside["word"]
    if not operator:
        return _plain(name, variables, on_unset)
    value = variables.get(name)
    present = bool(value) if operator.startswith(":") else value is not None
    word = substitute(word, variables, on_unset)  # as in Compose, also where it is not used
    if operator.endswith("+"):
        return word if present else ""
    if present:
        return value or ""
    if operator.endswith("?"):
        raise RequiredError(name, word)
    return word
