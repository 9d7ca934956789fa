"""What comes from outside is shown without the codes that a terminal obeys."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from dockwright._text import parse_duration
from dockwright.cli.app import dockwright
from dockwright.cli.errors import run
from dockwright.cli.output import plain_table
from dockwright.errors import ComposeError, StackError
from dockwright.untrusted import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("größer 猫 🧑‍🔧", "größer 猫 🧑‍🔧"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("a\rb\x08c\x07\0", r"a\rb\x08c\x07\x00"),
        ("\x9b31m\x85", r"\x9b31m\x85"),
        ("abc\u202ecba", r"abc\u202ecba"),
        ("\u2066\u2069\u200e\ufeff\u2028", r"\u2066\u2069\u200e\ufeff\u2028"),
        ("bytes \udcff", r"bytes \udcff"),
    ],
)
def test_control_codes_are_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_an_error_is_shown_without_control_codes_and_keeps_its_message() -> None:
    error = StackError("service \x1b[2J\u202egpj", hint="look at \x07")

    assert str(error) == "service \\x1b[2J\\u202egpj\n  hint: look at \\x07"
    assert error.message == "service \x1b[2J\u202egpj"
    assert "\x1b" not in str(ComposeError("x", file=Path("\x1b"), path="services.\x1b"))


def test_a_cell_of_a_table_is_one_line() -> None:
    assert plain_table(("NAME",), [("a\nb\x1b",)]).splitlines() == ["NAME", "a\\nb\\x1b"]


@pytest.mark.parametrize("code", ["\x1b[2J", "\u202e", "\x9b2J", "\r", "\udcff"])
@pytest.mark.parametrize(
    "argv", [["{}"], ["stack", "{}"], ["stack", "status", "-f", "{}"], ["stack", "config", "--{}"]]
)
def test_arguments_are_not_echoed_raw(
    argv: list[str], code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([part.format(code) for part in argv]) != 0

    shown = capsys.readouterr()
    assert "error: " in shown.err
    assert code not in shown.err + shown.out


def test_names_in_a_file_are_not_echoed_raw(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "compose.yaml").write_text('services: {web: {image: x, "k\\u202E": "\\e[2J"}}\n')
    monkeypatch.chdir(tmp_path)

    assert run(["stack", "config"]) == 2
    assert "\u202e" not in capsys.readouterr().err


def test_warnings_are_not_echoed_raw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = 'services: {web: {image: x, user: "$A", "x-\\e[2J": "${B}"}}\n'
    (tmp_path / "compose.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)

    result = CliRunner().invoke(dockwright, ["stack", "config"])

    assert "is not set" in result.stderr
    assert "\x1b" not in result.stderr


@pytest.mark.parametrize("text", ["9" * 400, "1e999d", "nan", "inf", "-1", "9" * 400 + "h", ""])
def test_a_duration_is_a_finite_number(text: str) -> None:
    with pytest.raises(ValueError, match="expected a duration, such as 250ms"):
        parse_duration(text)
