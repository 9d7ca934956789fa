"""Compose files with mistakes and malice in them: projects of the corpus, changed by a seed."""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from dockwright.compose import LoadOptions, load, to_json, to_yaml
from tests._support.compose.reference import cases
from tests._support.hostile import main

_VALUES = (
    *("1e400", "-1", "1e300", "9" * 5000, "0x" + "f" * 400, ".nan", "-.inf", "1_0", "''", "~"),
    *("[]", "{}", "[null]", "{a: }", "[[[]]]", "*a", "&a", "<<", "!!int x", "!reset", "!!binary ="),
    *("'1-65535:1-65535'", "'9-1'", "':'", "'::'", "a:b:c:d", "'[::1]:80:80'", "1d", "9" * 400),
    *("'${A:-'", "'${A:-${A:-${A}}}'", "'$'", "'$$$'", "'${A?'", "'" + "${A:-" * 3000 + "'"),
    *("/dev/zero", "/dev/null", "..", "./compose.yaml", "'" + "n" * 300 + "'", '"a\\0b"', "~/x"),
    *("\x00", "\x1b[31m", "\u202e", "\ufeff", "\u0085", "\u00b2", "'" + "x" * 200_000 + "'"),
)
_CHARACTERS = "{}[]:,-&*!|>'\"%@`#$\\\n\t\r\0~?=\u202e"
_KEYS = (
    *("extends", "include", "env_file", "label_file", "depends_on", "ports", "cpus", "mem_limit"),
    *("services", "x-dockwright", "deploy", "healthcheck", "networks", "secrets", "<<", "name"),
)


def _value(text: str, rng: random.Random) -> str:
    """Give one key or entry another value."""
    lines = text.split("\n")
    index = rng.randrange(len(lines))
    head, colon, _ = lines[index].partition(rng.choice((": ", "- ")))
    lines[index] = f"{head}{colon or ': '}{rng.choice(_VALUES)}"
    return "\n".join(lines)


def _key(text: str, rng: random.Random) -> str:
    """Put another key beside one."""
    lines = text.split("\n")
    index = rng.randrange(len(lines))
    indent = lines[index][: len(lines[index]) - len(lines[index].lstrip())]
    lines.insert(index, f"{indent}{rng.choice(_KEYS)}: {rng.choice(_VALUES)}")
    return "\n".join(lines)


def _line(text: str, rng: random.Random) -> str:
    """Leave a line out, write it twice, or move it further in."""
    lines = text.split("\n")
    index = rng.randrange(len(lines))
    lines[index : index + 1] = rng.choice(
        ([], [lines[index]] * 2, [f"  {lines[index]}"], [lines[index].lstrip()])
    )
    return "\n".join(lines)


def _characters(text: str, rng: random.Random) -> str:
    """Change some characters."""
    for _ in range(rng.randint(1, 5)):
        index = rng.randrange(len(text) + 1)
        text = (
            text[:index] + rng.choice("{}[]:,-&*!|>'\"%@`#$\\\n\t\r\0~?=\u202e") + text[index + 1 :]
        )
    return text


def _cut(text: str, rng: random.Random) -> str:
    """Cut it off, or append a part of it again."""
    index = rng.randrange(len(text) + 1)
    return rng.choice((text[:index], text + text[index:], text[index:]))


def _bomb(text: str, rng: random.Random) -> str:
    """Add values that grow when they are read."""
    levels = rng.randint(5, 40)
    kind = rng.choice(("[*a{0}, *a{0}]", "{{<<: [*a{0}, *a{0}]}}", "{{k: *a{0}, l: *a{0}}}"))
    lines = ["x-a0: &a0 {k: v}"]
    lines += [f"x-a{n}: &a{n} {kind.format(n - 1)}" for n in range(1, levels)]
    nested = "x-b: " + rng.choice("[{") * rng.choice((10, 90, 5000))
    return rng.choice(("\n".join([*lines, text]), f"{text}\n{nested}"))


_CHANGES: tuple[Callable[[str, random.Random], str], ...] = (
    *(_value, _value, _value, _key, _key, _line, _line, _characters, _cut, _bomb),
)


def attempt(seed: int) -> None:
    """Load one changed project, and print it as ``stack config`` does."""
    rng = random.Random(seed)
    case = rng.choice(cases())
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name, "project")
        shutil.copytree(case.directory, directory, symlinks=True)
        files = [
            file
            for file in directory.rglob("*")
            if file.is_file() and file.suffix in (".yaml", ".yml", ".env", "")
        ]
        for _ in range(rng.randint(1, 3)):
            file = rng.choice(sorted(files))
            text = rng.choice(_CHANGES)(file.read_text(errors="surrogateescape"), rng)
            file.write_text(text, errors="replace")
            if rng.random() < 0.03:
                file.write_bytes(
                    text.encode("utf-16" if rng.random() < 0.5 else "latin-1", "replace")
                )
        spec = load(LoadOptions(start=directory, environ=dict(case.environment), profiles=("*",)))
        to_json(spec)
        to_yaml(spec)


if __name__ == "__main__":
    main(attempt)
