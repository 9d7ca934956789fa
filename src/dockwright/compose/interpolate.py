"""Substitutes variables throughout a document; casts strings to numbers where Compose does."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping

from dockwright.compose.source import DocPath, Origins, Patterns, Tree, Warnings

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


_TRUE = ("true", "y", "yes", "on")
_FALSE = ("false", "n", "no", "off")
_INTEGER = re.compile(r"[-+]?[0-9]+")
_MOST_DIGITS = 1000  # beyond, Python reads none; leading zeros count


def to_bool(text: str) -> bool:
    """Return the truth value that a string spells."""
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise ValueError(f"{text!r} is neither true nor false")


def to_int(text: str) -> int:
    """Return the decimal integer that a string spells."""
    if not _INTEGER.fullmatch(text):
        raise ValueError(f"{text!r} is not an integer")
    if len(text) > _MOST_DIGITS or not -(2**63) <= int(text) < 2**63:
        raise ValueError(f"{text!r} is too large for an integer")
    return int(text)


def to_float(text: str) -> float:
    """Return the number that a string spells."""
    try:
        number = float(text)
    except ValueError as exc:
        raise ValueError(f"{text!r} is not a number") from exc
    if not math.isfinite(number):
        raise ValueError(f"{text!r} is not a finite number")
    return number


Cast = Callable[[str], bool | int | float]


_CASTS: Patterns[Cast] = Patterns(
    [
        ("services.*.configs.*.mode", to_int),
        ("services.*.cpu_count", to_int),
        ("services.*.cpu_period", to_int),
        ("services.*.cpu_quota", to_int),
        ("services.*.cpu_rt_period", to_int),
        ("services.*.cpu_rt_runtime", to_int),
        ("services.*.cpu_shares", to_int),
        ("services.*.deploy.placement.max_replicas_per_node", to_int),
        ("services.*.deploy.replicas", to_int),
        ("services.*.deploy.restart_policy.max_attempts", to_int),
        ("services.*.deploy.rollback_config.parallelism", to_int),
        ("services.*.deploy.update_config.parallelism", to_int),
        ("services.*.healthcheck.retries", to_int),
        ("services.*.oom_score_adj", to_int),
        ("services.*.pids_limit", to_int),
        ("services.*.ports.*.target", to_int),
        ("services.*.scale", to_int),
        ("services.*.secrets.*.mode", to_int),
        ("services.*.ulimits.*", to_int),
        ("services.*.ulimits.*.hard", to_int),
        ("services.*.ulimits.*.soft", to_int),
        ("services.*.cpu_percent", to_float),
        ("services.*.cpus", to_float),
        ("services.*.deploy.rollback_config.max_failure_ratio", to_float),
        ("services.*.deploy.update_config.max_failure_ratio", to_float),
        ("services.*.build.no_cache", to_bool),
        ("services.*.build.privileged", to_bool),
        ("services.*.build.pull", to_bool),
        ("services.*.depends_on.*.restart", to_bool),
        ("services.*.env_file.*.required", to_bool),
        ("services.*.healthcheck.disable", to_bool),
        ("services.*.init", to_bool),
        ("services.*.oom_kill_disable", to_bool),
        ("services.*.privileged", to_bool),
        ("services.*.read_only", to_bool),
        ("services.*.stdin_open", to_bool),
        ("services.*.tty", to_bool),
        ("services.*.volumes.*.bind.create_host_path", to_bool),
        ("services.*.volumes.*.read_only", to_bool),
        ("services.*.volumes.*.volume.nocopy", to_bool),
        ("networks.*.attachable", to_bool),
        ("networks.*.enable_ipv4", to_bool),
        ("networks.*.enable_ipv6", to_bool),
        ("networks.*.external", to_bool),
        ("networks.*.internal", to_bool),
        ("volumes.*.external", to_bool),
        ("secrets.*.external", to_bool),
        ("configs.*.external", to_bool),
    ]
)


def cast_for(path: DocPath) -> Cast | None:
    """Return how a string at `path` becomes what Compose wants there, or None."""
    return _CASTS.find(path)


def interpolate(
    tree: Tree,
    variables: Mapping[str, str],
    origins: Origins,
    warnings: Warnings,
    path: DocPath = (),
) -> Tree:
    """Return `tree` with every string substituted; keys are left alone.

    Raises:
        ComposeError: a wrong reference, a required variable without a value, or a string that
            cannot become the number or truth value that its key wants.
    """
    if isinstance(tree, dict):
        return {
            key: interpolate(value, variables, origins, warnings, (*path, key))
            for key, value in tree.items()
        }
    if isinstance(tree, list):
        return [
            interpolate(value, variables, origins, warnings, (*path, index))
            for index, value in enumerate(tree)
        ]
    return _scalar(tree, variables, origins, warnings, path) if isinstance(tree, str) else tree


def _scalar(
    text: str, variables: Mapping[str, str], origins: Origins, warnings: Warnings, path: DocPath
) -> Tree:
    def unset(name: str) -> None:
        warnings.add(path, f"the variable {name} is not set; it becomes an empty string", origins)

    try:
        value = substitute(text, variables, unset) if "$" in text else text
        if value is not text:
            origins.spend(path, len(value))
        cast = cast_for(path)
        return cast(value) if cast else value
    except TemplateError as exc:
        raise origins.error(
            path,
            f"{text!r} holds a wrong variable reference",
            hint="write a literal dollar as $$",
        ) from exc
    except RequiredError as exc:
        reason = f": {exc.message}" if exc.message else ""
        raise origins.error(
            path, f"required variable {exc.name} is missing a value{reason}"
        ) from exc
    except ValueError as exc:
        raise origins.error(path, str(exc)) from exc
