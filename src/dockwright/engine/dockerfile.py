"""What a Dockerfile says: the features that only BuildKit understands, and its base images."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from string import Template
from typing import NamedTuple

_FEATURES = (
    (re.compile(r"RUN\s+(?:--\S+\s+)*--(mount|network|security)\b", re.I), "RUN --{}"),
    (
        re.compile(
            r"(?:COPY|ADD)\s+(?:--\S+\s+)*--(link|chmod|parents|exclude|checksum|keep-git-dir)\b",
            re.I,
        ),
        "COPY or ADD --{}",
    ),
    (re.compile(r"(?:RUN|COPY|ADD)\s(?:.*\s)?\d*<<-?[\"']?[A-Za-z_]", re.I | re.S), "a heredoc"),
    (
        re.compile(r"FROM\s.*\$\{?((?:BUILD|TARGET)(?:PLATFORM|OS|ARCH|VARIANT))\b", re.I),
        "${} in FROM",
    ),
)
_FROM = re.compile(r"FROM\s+(?:--\S+\s+)*(\S+)(?:\s+AS\s+(\S+))?", re.I)
_ARG = re.compile(r"ARG\s+(\w+)(?:=(\S*))?", re.I)
_COPIED = re.compile(r"(?:COPY|ADD)\s+(?:--\S+\s+)*--from=(\S+)()", re.I)
_SYNTAX = re.compile(r"#\s*syntax\s*=\s*(\S+)", re.I)
_ESCAPE = re.compile(r"#\s*escape\s*=\s*(\S)", re.I)
_DIRECTIVE = re.compile(r"#\s*\w+\s*=")


class Feature(NamedTuple):
    """A use of a feature: its name, and the line (from 1) of the Dockerfile."""

    name: str
    line: int


def buildkit_feature(text: str) -> Feature | None:
    """Return the first thing in a Dockerfile that the classic builder cannot do, if any.

    A ``# syntax=docker/dockerfile...`` line alone is none: it is a comment for the classic builder,
    and what it stands for is looked for itself. Another front end is one.
    """
    escape = "\\"
    for number, line in enumerate(text.splitlines(), 1):
        if not _DIRECTIVE.match(line):
            break  # directives stand before everything else
        if (syntax := _SYNTAX.match(line)) and "docker/dockerfile" not in syntax[1]:
            return Feature(f"# syntax={syntax[1]}", number)
        if found := _ESCAPE.match(line):
            escape = found[1]
    for number, instruction in _instructions(text, escape):
        for pattern, name in _FEATURES:
            if found := pattern.match(instruction):
                return Feature(name.format(*found.groups()), number)
    return None


def base_images(text: str, arguments: Mapping[str, str]) -> list[str]:
    """Return the images that a Dockerfile's stages are made from, as far as it says their names.

    Args:
        text: the Dockerfile.
        arguments: the build's.
    """
    values: dict[str, str] = {}
    stages = {"scratch"}
    found: list[str] = []
    for _, instruction in _instructions(text, "\\"):
        if argument := _ARG.match(instruction):
            values[argument[1]] = arguments.get(argument[1], (argument[2] or "").strip("\"'"))
        elif source := _FROM.match(instruction) or _COPIED.match(instruction):
            name = Template(source[1]).safe_substitute(values)
            if name.lower() not in stages and not name.isdecimal():
                found.append(name)
            if source[2]:
                stages.add(source[2].lower())
    return list(dict.fromkeys(found))


def _instructions(text: str, escape: str) -> Iterator[tuple[int, str]]:
    """Yield each instruction as one line, with the number of its first."""
    parts: list[str] = []
    first = 0
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        if not parts:
            first = number
        parts.append(stripped.removesuffix(escape))
        if not stripped.endswith(escape):
            yield first, " ".join(parts)
            parts = []
    if parts:
        yield first, " ".join(parts)
