"""Substitute variables throughout a document, and cast strings to numbers as Compose does."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from dockwright.compose.shapes import Shape
from dockwright.compose.source import DocPath, Origins, Tree, Warnings

_NAME = r"[_a-zA-Z][_a-zA-Z0-9]*"
_REFERENCE = re.compile(rf"\$(?:(?P<escaped>\$)|(?P<named>{_NAME})|\{{)")
_OPENING = re.compile(rf"\$\{{{_NAME}(?:\}}|:?[-+?])")
_BRACED = re.compile(rf"(?P<name>{_NAME})(?:(?P<operator>:?[-+?])(?P<word>.*))?", re.DOTALL)

_BRACE = re.compile(r"\{(?P<passed>.?)|\}|\n")

_MAX_DEPTH = 20
_MAX_REFERENCE = 20_000
_MAX_LENGTH = 1 << 20
"""Linux limits a variable of a process to an eighth of this."""


class TemplateError(ValueError):
    """A string contains something that looks like a variable reference but is not one."""


class BoundError(ValueError):
    """The variables in a string exceed a limit; the message says which."""


class RequiredError(ValueError):
    """A variable that must have a value has none.

    Args:
        name: the variable.
        message: what the file says about it; may be empty.
    """

    def __init__(self, name: str, message: str) -> None:
        reason = f": {message}" if message else ""
        super().__init__(f"required variable {name} is missing a value{reason}")


def substitute(
    text: str, variables: Mapping[str, str], on_unset: Callable[[str], None] = lambda _name: None
) -> str:
    """Return `text` with every variable replaced.

    Args:
        text: may hold ``$V``, ``${V}``, ``${V:-d}``, ``${V-d}``, ``${V:+r}``, ``${V+r}``,
            ``${V:?e}``, ``${V?e}`` (d, r and e may hold variables too) and ``$$`` for a dollar.
        variables: their values.
        on_unset: called with the name of every variable that has no value and becomes empty.

    Raises:
        TemplateError: a ``${`` that does not begin a valid reference.
        RequiredError: a ``?`` form whose variable has no value.
        BoundError: variables are nested too deeply, or their values are too long.
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
                raise BoundError(
                    f"contains a variable reference of more than {_MAX_REFERENCE:,} characters"
                )
            inside = _BRACED.fullmatch(text, match.end(), end - 1)
            if not inside:
                raise TemplateError(text)
            value = _braced(inside, variables, on_unset, depth)
        pieces += [text[position : match.start()], value]
        length += len(pieces[-1]) + len(pieces[-2])
        if length > _MAX_LENGTH:
            raise BoundError(f"is longer than {_MAX_LENGTH >> 10:,} KiB with its variables")
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


@dataclass(frozen=True, slots=True)
class Interpolation:
    """Substitutes the variables of one document.

    Attributes:
        variables: their values.
        origins: where the values of the document stand.
        warnings: where warnings go.
    """

    variables: Mapping[str, str]
    origins: Origins
    warnings: Warnings

    def apply(self, tree: Tree, shape: Shape | None, path: DocPath = ()) -> Tree:
        """Return `tree` with every string substituted, and cast where its shape has a cast.

        Keys are left alone.

        Raises:
            ComposeError: a wrong reference, a required variable without a value, or a string that
                cannot become the number or truth value that its key wants.
        """
        if isinstance(tree, dict):
            return {
                key: self.apply(value, shape and shape.child(key), (*path, key))
                for key, value in tree.items()
            }
        if isinstance(tree, list):
            return [
                self.apply(value, shape and shape.child(index), (*path, index))
                for index, value in enumerate(tree)
            ]
        return self._text(tree, shape, path) if isinstance(tree, str) else tree

    def _text(self, text: str, shape: Shape | None, path: DocPath) -> Tree:
        def unset(name: str) -> None:
            message = f"the variable {name} is not set; it becomes an empty string"
            self.warnings.add(path, message, self.origins)

        try:
            value = substitute(text, self.variables, unset) if "$" in text else text
            if value is not text:
                self.origins.spend(path, len(value))
            return shape.cast(value) if shape and shape.cast else value
        except TemplateError as exc:
            message = f"{text!r} contains an invalid variable reference"
            hint = "write a literal dollar as $$"
            raise self.origins.error(path, message, hint=hint) from exc
        except ValueError as exc:
            raise self.origins.error(path, str(exc)) from exc
