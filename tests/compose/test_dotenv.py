"""The dialect of ``.env`` files, and which of several sources of a variable wins."""

from __future__ import annotations

from pathlib import Path

import pytest

from dockwright.compose import LoadOptions, load
from dockwright.compose.dotenv import read_env_file, with_env_files
from dockwright.errors import ComposeError

CASES = {
    "plain": ("A=1", {"A": "1"}),
    "spaces": ("  A = 1  ", {"A": "1"}),
    "export": ("export A=1", {"A": "1"}),
    "colon": ("A: 1", {"A": "1"}),
    "comments": ("# x\n\nA=1 # y\nB=a#b\nC=#c", {"A": "1", "B": "a#b", "C": "#c"}),
    "empty": ("A=\nB=''", {"A": "", "B": ""}),
    "double": ('A="x\\ty \\"z\\" \\\\n"', {"A": 'x\ty "z" \\n'}),
    "escapes": ('A="\\0101 \\012 \\0400 \\x41 it\\\'s"', {"A": "A \\12 \\400 \\x41 it\\'s"}),
    "single": ("A='$B\\n it\\'s'", {"A": "$B\\n it's"}),
    "several-lines": ('A="x\ny"\nB=1', {"A": "x\ny", "B": "1"}),
    "windows": ("A=1\r\nB=2\r\n", {"A": "1", "B": "2"}),
    "windows-in-quotes": ('A="x\r\ny"\r\n', {"A": "x\r\ny"}),
    "no-name": ("=1\nA=2\nLAST", {"": "LAST", "A": "2"}),
    "tab-in-name": ("A\tB=1", {"A\tB": "1"}),
    "bom": ("\ufeffA=1", {"A": "1"}),
    "references": ("A=1\nB=$A-${A}\nC=${NONE:-d}", {"A": "1", "B": "1-1", "C": "d"}),
    "dollars": ('A="\\$x $$y"', {"A": "$x $y"}),
    "known": ("HOST\nOTHER\nB=$HOST", {"HOST": "h", "B": "h"}),
    "later-wins": ("A=1\nA=2", {"A": "2"}),
    "names": ("a.b-c[0]=1\né=2", {"a.b-c[0]": "1", "é": "2"}),
}


@pytest.mark.parametrize(("text", "values"), CASES.values(), ids=CASES)
def test_syntax(text: str, values: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_bytes(text.encode())

    assert read_env_file(file, {"HOST": "h"}) == values


def test_values_of_raw_files_are_not_interpreted(tmp_path: Path) -> None:
    file = tmp_path / "raw.env"
    file.write_text('A="x" # $B\n# no\n\nB\n')

    assert read_env_file(file, {}, raw=True) == {"A": '"x" # $B', "B": None}


def test_given_variables_take_precedence_over_files_and_later_files_over_earlier(
    tmp_path: Path,
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_text("A=1\nB=1\nC=1")
    two.write_text("B=2-$A\nC=2")

    assert with_env_files({"C": "given"}, (one, two)) == {"A": "1", "B": "2-1", "C": "given"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("A=1\nB C=2", ":2: the variable name 'B C' contains a space"),
        ("A+=1", ":1: 'A+' is not a valid variable name"),
        ("A='x", ":1: the quote ' is not closed"),
        ("A=1\n\nB=${C:?no C}", ":3: required variable C is missing a value: no C"),
        ("A=${", ":1: '${' contains an invalid variable reference"),
    ],
)
def test_an_error_names_the_line(text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text(text)

    with pytest.raises(ComposeError) as caught:
        read_env_file(file, {})

    assert f"{file}{message}" in str(caught.value)


def test_a_raw_env_file_of_a_service(tmp_path: Path) -> None:
    (tmp_path / "raw.env").write_text("A='$x'\n")
    (tmp_path / "compose.yaml").write_text(
        "services: {a: {image: x, env_file: [{path: raw.env, format: raw}]}}"
    )

    spec = load(LoadOptions(start=tmp_path, environ={}))

    assert spec.services["a"].config["environment"] == {"A": "'$x'"}
