"""Projects made to use up time or memory are refused; the message names file and line."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path

import pytest

from dockwright.compose import LoadOptions, load
from dockwright.errors import ComposeError
from tests._support.hostile import failures

_SERVICE = "services:\n  web:\n    image: x\n"


def web(line: str) -> str:
    return f"{_SERVICE}    {line}\n"


def levels(first: str, other: str, count: int) -> str:
    """Anchors a0, a1, ... in which each uses the one before."""
    return "\n".join(
        [f"x-0: &a0 {first}"]
        + [f"x-{n}: &a{n} {other.replace('@', f'*a{n - 1}')}" for n in range(1, count)]
    )


@dataclass(frozen=True)
class Hostile:
    """One project, and the error for it."""

    name: str
    text: str
    message: str


GROWS = "the file becomes too large here: variables, port ranges, env files and 'extends' add more"
MANY = "aliases and merge keys add more than 50,000 values"
DEEP = "values are nested more than 100 deep"

HOSTILE = [
    Hostile("merge-bomb", levels("{a: b}", "{<<: [@, @]}", 20), f":2: {MANY}"),
    Hostile("empty-merge-bomb", levels("{}", "{<<: [@, @]}", 30), f":2: {MANY}"),
    Hostile("list-bomb", levels("[a, b]", "[@, @, @, @]", 12), f": {MANY}"),
    Hostile("map-bomb", levels("{a: b}", "{a: @, b: @}", 25), f": {MANY}"),
    Hostile("text-bomb", f"x-0: &a0 {'a' * 100_000}\nx-1: [{'*a0, ' * 100}]", f":1: {MANY}"),
    Hostile("deep-aliases", levels("[a]", "[@]", 3000), f":1: {DEEP}"),
    Hostile("deep-merges", levels("{a: b}", "{<<: @}", 3000), "are chained more than 100"),
    Hostile("deep-lists", "x-a: " + "[" * 500, f":1: {DEEP}"),
    Hostile("deep-maps", "x-a: " + "{a: " * 500, f":1: {DEEP}"),
    Hostile("deep-entries", "x-a:\n  " + "- " * 5000, f":2: {DEEP}"),
    Hostile("many-values", f"x-a: [{'a,' * 60_000}]", ":1: contains more than 50,000 values"),
    Hostile("large-file", web("user: " + "a" * (5 << 20)), "compose.yaml: is larger than 4 MiB"),
    Hostile("cpus", web("cpus: 1e400"), ":4: services.web.cpus: '1e400' is not a finite number"),
    Hostile("cpus-nan", web("cpus: 'nan'"), ":4: services.web.cpus: 'nan' is not a finite number"),
    Hostile("size", web(f"mem_limit: {'9' * 5000}"), "is larger than the maximum of 8 EiB"),
    Hostile("hex-size", web(f"mem_limit: 0x{'f' * 5000}"), "is not a size; write for example"),
    Hostile("pids", web(f"pids_limit: '{'9' * 5000}'"), "is too large for an integer"),
    Hostile(
        "duration",
        web(f"stop_grace_period: {'9' * 5000}s"),
        ":4: services.web.stop_grace_period: a duration of 5,001 characters is too long",
    ),
    Hostile("ports", web("ports: ['1-65535:1-65535']"), f":4: services.web.ports[0]: {GROWS}"),
    Hostile("port", web(f"ports: ['{'9' * 5000}']"), ":4: services.web.ports[0]: '999"),
    Hostile(
        "many-ports",
        "x-a: &a {image: x, ports: ['1-9000:1-9000']}\nservices: {a: *a, b: *a}\n",
        f":1: services.b.ports[0]: {GROWS}",
    ),
    Hostile(
        "nested-variables",
        web("user: '" + "${A:-" * 3000 + "}" * 3000 + "'"),
        ":4: services.web.user: nests variables more than 20 deep",
    ),
    Hostile(
        "long-variable",
        web("user: '" + "${A:-{{}" * 10_000 + "'"),
        ":4: services.web.user: contains a variable reference of more than 20,000 characters",
    ),
    Hostile(
        "long-values",
        "services:\n  web:\n    image: x\n    command: [" + "'$BIG', " * 1000 + "]\n",
        f":4: services.web.command[49]: {GROWS}",
    ),
    Hostile(
        "growing-env-file", web("env_file: growing.env"), "growing.env:18: the value is longer"
    ),
    Hostile(
        "env-files",
        "x-a: &a {image: x, env_file: many.env}\nservices:\n"
        + "".join(f"  s{n}: *a\n" for n in range(100)),
        f"env_file[0]: {GROWS}",
    ),
    Hostile(
        "extends-copies",
        "services:\n  a:\n    image: x\n    environment: {"
        + ", ".join(f"A{n}: b" for n in range(5000))
        + "}\n"
        + "".join(f"  s{n}: {{extends: a}}\n" for n in range(50)),
        f":14: services.s9: {GROWS}",
    ),
    Hostile(
        "extends-chain",
        "services:\n" + "".join(f"  s{n}: {{extends: s{n + 1}}}\n" for n in range(3000)),
        ":53: services.s51.extends: the chain of 'extends' is longer than 50",
    ),
    Hostile("include-bomb", "include: [i0.yaml]\n", "files are included more than 200 times"),
    Hostile(
        "depends-cycle",
        "services:\n"
        + "".join(f"  s{n}: {{image: x, depends_on: [s{n + 1}]}}\n" for n in range(2000))
        + "  s2000: {image: x, depends_on: [s0]}\n",
        "circular dependency: s0 -> s1 -> s2",
    ),
]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A directory with files that are not plain files."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "directory").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(os.path.relpath(tmp_path / "socket"))
    (tmp_path / "large").write_bytes(b"A=b\n" * (2 << 20))
    (tmp_path / "growing.env").write_text(
        "A0=xxxxxxxxxx\n" + "".join(f"A{n + 1}=${{A{n}}}$A{n}\n" for n in range(40))
    )
    (tmp_path / "many.env").write_text("".join(f"A{n}=b\n" for n in range(2000)))
    for number in range(12):
        again = [f"i{number + 1}.yaml", f"directory/../i{number + 1}.yaml"]
        (tmp_path / f"i{number}.yaml").write_text(f"include: {again}\n".replace("'", ""))
    (tmp_path / "i12.yaml").write_text("services: {a: {image: b}}\n")
    return tmp_path


def refusal(project: Path, text: str) -> str:
    (project / "compose.yaml").write_text(text)
    with pytest.raises(ComposeError) as caught:
        load(LoadOptions(start=project, environ={"BIG": "b" * 100_000}))
    assert len(str(caught.value)) < 1500
    return str(caught.value)


@pytest.mark.parametrize("hostile", HOSTILE, ids=lambda hostile: hostile.name)
def test_a_hostile_project_is_refused(hostile: Hostile, project: Path) -> None:
    assert hostile.message in refusal(project, hostile.text)


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("/dev/zero", "is a device, not a file"),
        ("pipe", "is a named pipe, not a file"),
        ("socket", "is a socket, not a file"),
        ("directory", "is a directory, not a file"),
        ("large", "is larger than 4 MiB"),
        ("loop", "file not found:"),
        ("n" * 300, "file not found:"),
    ],
)
def test_an_env_file_is_a_plain_file(file: str, message: str, project: Path) -> None:
    assert message in refusal(project, web(f"env_file: {file}"))


@pytest.mark.parametrize("key", ["label_file: {}", "extends: {{file: {}, service: a}}"])
@pytest.mark.parametrize("file", ["/dev/zero", "pipe", "socket", "directory", "loop", "large"])
def test_other_files_are_plain_files(key: str, file: str, project: Path) -> None:
    assert file.lstrip("/") in refusal(project, web(key.format(file)))


@pytest.mark.parametrize("file", ["/dev/zero", "pipe", "socket", "directory", "loop", "large"])
def test_included_files_are_plain_files(file: str, project: Path) -> None:
    assert file.lstrip("/") in refusal(project, f"include: [{file}]\n")


def test_the_null_device_is_an_empty_env_file(project: Path) -> None:
    (project / "compose.yaml").write_text(web("env_file: /dev/null"))

    spec = load(LoadOptions(start=project, environ={}))

    assert not spec.services["web"].config.get("environment")


@pytest.mark.parametrize("section", ["secrets", "configs"])
@pytest.mark.parametrize("file", ["/dev/zero", "pipe"])
def test_an_endless_file_behind_a_secret_is_not_read(
    section: str, file: str, project: Path
) -> None:
    text = f"{_SERVICE}    {section}: [a]\n{section}: {{a: {{file: {file}}}}}\n"
    (project / "compose.yaml").write_text(text)

    assert load(LoadOptions(start=project, environ={})).content_hash


def test_a_range_of_16384_ports_is_read(project: Path) -> None:
    (project / "compose.yaml").write_text(web("ports: ['49152-65535:49152-65535/udp']"))

    spec = load(LoadOptions(start=project, environ={}))

    ports = spec.services["web"].config["ports"]
    assert isinstance(ports, list)
    assert len(ports) == 16_384


def test_a_message_quotes_only_some_of_a_long_value(project: Path) -> None:
    message = refusal(project, web(f"mem_limit: {'a' * 100_000}"))

    assert "'aaa" in message
    assert " ... " in message
    assert message.endswith("is not a size; write for example '64m' or '1.5gb'")


def test_changed_projects_are_read_or_refused() -> None:
    assert not failures("tests._support.compose.mutations", range(100))
