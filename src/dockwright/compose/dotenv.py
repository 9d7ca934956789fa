"""Read ``.env`` and ``env_file`` files as Compose does."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from dockwright.compose.interpolate import BoundError, RequiredError, TemplateError, substitute
from dockwright.compose.read_yaml import read_text
from dockwright.compose.short_forms import Listed
from dockwright.compose.source import DocPath, Origins, Tree
from dockwright.errors import ComposeError
from dockwright.untrusted import exists, is_file

_BLANK = " \t\v\f\r\x85\xa0"
_KEY = re.compile(rf"[\w.\-\[\]{_BLANK}]*")
_STATEMENT_NAME = re.compile(r"[^=:\n]*")
_MAX_LENGTH = 8 << 20
_ESCAPE = re.compile(r"\\(?:([abcfnrtv\"$\\])|0(\d{0,3}))")
_ESCAPED = {"a": "\a", "b": "\b", "c": "\\c", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


def read_env_file(
    file: Path, variables: Mapping[str, str], *, raw: bool = False
) -> dict[str, str | None]:
    """Return the variables of one file.

    Args:
        file: the file.
        variables: the values of references; they take precedence over earlier lines of the file.
        raw: use every value as written: no quotes, no comments, no variables.

    Returns:
        Values by name. A name that stands alone has its value in `variables`, if there is one;
        in a raw file it has None. As in Compose, a last line without ``=`` and line break is the
        value of the empty name.

    Raises:
        ComposeError: the file is missing or a line in it cannot be read.
    """
    text = read_text(file)
    if raw:
        return _read_raw(text)
    return dict(_Parser(text, file, variables).read())


def with_env_files(variables: dict[str, str], files: tuple[Path, ...]) -> dict[str, str]:
    """Add the variables of files; given variables take precedence, then those of later files."""
    found: dict[str, str] = {}
    for file in files:
        found |= set_variables(read_env_file(file, found | variables))
    return found | variables


def set_variables(values: Mapping[str, str | None]) -> dict[str, str]:
    """Return the variables that have a value."""
    return {name: value for name, value in values.items() if value is not None}


def _read_raw(text: str) -> dict[str, str | None]:
    result: dict[str, str | None] = {}
    for line in text.splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            name, equals, value = line.partition("=")
            result[name.strip()] = value if equals else None
    return result


class _Parser:
    def __init__(self, text: str, file: Path, variables: Mapping[str, str]) -> None:
        self.text = text.removeprefix("\ufeff")
        self.file = file
        self.position = 0
        self.length = 0
        self.result: dict[str, str] = {}
        self.variables = variables

    def read(self) -> dict[str, str]:
        while self._skip_to_statement():
            name, alone = self._name()
            if not alone:
                self._set(name, self._value())
            elif name in self.variables:
                self.result[name] = self.variables[name]
        return self.result

    def _set(self, name: str, value: str) -> None:
        self.length += len(value)
        if self.length > _MAX_LENGTH:
            message = f"the values are longer than {_MAX_LENGTH >> 20} MiB with their variables"
            raise self._error(message, self.position)
        self.result[name] = value

    def _error(self, message: str, position: int) -> ComposeError:
        line = self.text.count("\n", 0, position) + 1
        return ComposeError(message, file=self.file, line=line)

    def _skip_to_statement(self) -> bool:
        text = self.text
        while self.position < len(text):
            if text[self.position].isspace():
                self.position += 1
            elif text[self.position] == "#":
                self._end_of_line()
            else:
                return True
        return False

    def _end_of_line(self) -> str:
        end = self.text.find("\n", self.position)
        end = len(self.text) if end < 0 else end
        rest, self.position = self.text[self.position : end], end
        return rest

    def _name(self) -> tuple[str, bool]:
        start = self.position
        stop = _STATEMENT_NAME.match(self.text, start).end()  # type: ignore[union-attr]  # matches ""
        name = re.sub(r"^export\s+", "", self.text[start:stop]).rstrip()
        if not _KEY.fullmatch(name):
            raise self._error(f"{name!r} is not a valid variable name", start)
        if stop == len(self.text):
            return "", False
        if " " in name:
            raise self._error(f"the variable name {name!r} contains a space", start)
        alone = self.text[stop] == "\n"
        self.position = stop + 1
        while self.text[self.position : self.position + 1] in tuple(_BLANK) and not alone:
            self.position += 1
        return name, alone

    def _value(self) -> str:
        start = self.position
        quote = self.text[start : start + 1]
        if not quote or quote not in "'\"":
            return self._expand(self._unquoted(), start)
        end = self._closing(quote, start)
        inside, self.position = self.text[start + 1 : end], end + 1
        if quote == "'":
            return inside.replace("\\'", "'")
        return self._expand(_unescape(inside), start)

    def _unquoted(self) -> str:
        line = self._end_of_line()
        return line.partition(" #")[0].strip()

    def _closing(self, quote: str, start: int) -> int:
        escaped = False
        for index in range(start + 1, len(self.text)):
            char = self.text[index]
            if char == quote and not escaped:
                return index
            escaped = char == "\\" and not escaped
        raise self._error(f"the quote {quote} is not closed", start)

    def _expand(self, value: str, position: int) -> str:
        try:
            return substitute(value, {**self.result, **self.variables}) if "$" in value else value
        except TemplateError as exc:
            raise self._error(
                f"{value!r} contains an invalid variable reference", position
            ) from exc
        except BoundError as exc:
            raise self._error(f"the value {exc}", position) from exc
        except RequiredError as exc:
            raise self._error(str(exc), position) from exc


def _unescape(text: str) -> str:
    r"""Replace ``\n``, ``\0101`` and the like; ``\$`` becomes ``$$``, a dollar when substituted."""

    def replace(match: re.Match[str]) -> str:
        char, octal = match[1], match[2]
        if char:
            return "$$" if char == "$" else _ESCAPED.get(char, char)
        return _octal(octal) or f"\\{octal}"

    return _ESCAPE.sub(replace, text)


def _octal(digits: str) -> str:
    return chr(int(digits, 8)) if re.fullmatch("[0-3][0-7]{2}", digits) else ""


def fill_variables(tree: Tree, variables: Mapping[str, str], *, listed: bool = False) -> None:
    """Fill in ``environment`` entries that have no value from the caller's environment.

    Args:
        tree: a project, or an included one.
        variables: the caller's environment, and what the project's env files add to it.
        listed: only where they stand in a list: Compose reads no others in an included project.
    """
    for service in (tree.get("services") or {}).values():
        environment = (service or {}).get("environment") or {}
        if listed and not isinstance(environment, Listed):
            continue
        for name, value in environment.items():
            if value is None and name in variables:
                environment[name] = variables[name]


def read_env_files(
    service: Tree, name: str, variables: Mapping[str, str], origins: Origins
) -> None:
    """Move the variables of a service's ``env_file`` to its ``environment``, in place.

    Raises:
        ComposeError: a required file is missing, or one cannot be read.
    """
    found: dict[str, str | None] = {}
    for index, entry in enumerate(service.pop("env_file", ())):
        file = Path(entry["path"])
        path = ("services", name, "env_file", index)
        style = entry.get("format") or ""
        if style not in ("", "raw"):
            raise origins.error(path, f"unknown format {style!r}; the only format is 'raw'")
        if exists(file):
            known = {**variables, **set_variables(found)}
            found |= _counted(read_env_file(file, known, raw=style == "raw"), path, origins)
        elif entry["required"]:
            raise origins.error(
                path,
                f"file not found: {file}",
                hint="if it may be missing, write 'required: false' beside its path",
            )
    if found or "environment" in service:
        service["environment"] = found | (service.get("environment") or {})


def read_label_files(service: Tree, name: str, origins: Origins) -> None:
    """Move the labels of a service's ``label_file`` to its ``labels``, in place.

    Raises:
        ComposeError: a file is missing or cannot be read.
    """
    found: dict[str, str | None] = {}
    for index, text in enumerate(service.pop("label_file", ())):
        path = ("services", name, "label_file", index)
        if not is_file(Path(text)):
            raise origins.error(path, f"file not found: {text}")
        found |= _counted(read_env_file(Path(text), set_variables(found)), path, origins)
    if found:
        service["labels"] = found | (service.get("labels") or {})


def _counted(
    found: dict[str, str | None], path: DocPath, origins: Origins
) -> dict[str, str | None]:
    for name, value in found.items():
        origins.spend(path, len(name) + len(value or ""))
    return found
