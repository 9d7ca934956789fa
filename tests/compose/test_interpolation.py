"""Variables in strings: every operator, and properties that hold for all strings."""

from __future__ import annotations

import string
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockwright.compose.interpolate import RequiredError, TemplateError, substitute

NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)
PLAIN = st.text(st.characters(exclude_characters="$"))
WORDS = st.text(string.ascii_letters + string.digits + " /:.-?+", max_size=12)
VALUES = {"SET": "value", "EMPTY": ""}


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("$SET", "value"),
        ("${SET}x", "valuex"),
        ("${NONE:-d}", "d"),
        ("${NONE-d}", "d"),
        ("${EMPTY:-d}", "d"),
        ("${EMPTY-d}", ""),
        ("${SET:+r}", "r"),
        ("${EMPTY:+r}", ""),
        ("${EMPTY+r}", "r"),
        ("${NONE+r}", ""),
        ("${SET:?e}", "value"),
        ("${EMPTY?e}", ""),
        ("$$SET", "$SET"),
        ("$$$SET", "$value"),
        ("$5 $ a$", "$5 $ a$"),
        ("${NONE:-${ALSO:-${SET}}}-$SET", "value-value"),
        ("${NONE:-{{.Name}}}", "{{.Name}}"),
        ("${NONE:-a}b}", "ab}"),
        ("${NONE:-a:?b}", "a:?b"),
        ("${SET:-{}", "value"),
        ("${NONE:-{}}", "{}"),
        ("${NONE:-{a}}$SET", "{a}value"),
    ],
)
def test_every_form_of_a_reference(text: str, result: str) -> None:
    assert substitute(text, VALUES) == result


@pytest.mark.parametrize(
    "text", ["${}", "${1}", "${SET", "${SET!x}", "${ SET}", "${SET x}", "${N:-{}}${M}"]
)
def test_invalid_references(text: str) -> None:
    with pytest.raises(TemplateError):
        substitute(text, VALUES)


@pytest.mark.parametrize("text", ["${NONE:?say $SET}", "${NONE?say $SET}", "${EMPTY:?say $SET}"])
def test_the_error_for_a_required_variable_has_the_message_of_the_file(text: str) -> None:
    with pytest.raises(RequiredError) as caught:
        substitute(text, VALUES)

    name = text[2:].partition(":")[0].partition("?")[0]
    message = f"required variable {name} is missing a value: say value"
    assert str(caught.value) == message


def test_an_unused_default_must_be_valid() -> None:
    with pytest.raises(RequiredError):
        substitute("${SET:-${NONE:?no}}", VALUES)


def test_only_plain_references_are_reported_as_unset() -> None:
    unset: list[str] = []

    substitute("$A ${B} ${C:-c} ${D:-$E}", {}, unset.append)

    assert unset == ["A", "B", "E"]


@given(PLAIN)
def test_text_without_a_dollar_stays(text: str) -> None:
    assert substitute(text, {}) == text


@given(st.text())
def test_doubling_dollars_preserves_the_text(text: str) -> None:
    assert substitute(text.replace("$", "$$"), {"a": "x"}) == text


@given(NAMES, st.text(), PLAIN)
def test_a_value_is_not_interpolated_again(name: str, value: str, before: str) -> None:
    assert substitute(f"{before}${{{name}}}.", {name: value}) == f"{before}{value}."


@given(NAMES, WORDS, WORDS)
def test_default_and_alternative_are_opposites(name: str, value: str, word: str) -> None:
    variables = {name: value} if value else {}

    default = substitute(f"${{{name}:-{word}}}", variables)
    alternative = substitute(f"${{{name}:+{word}}}", variables)

    assert default == (value or word)
    assert alternative == (word if value else "")


@given(st.text("${}:-?+AB$ ", max_size=30))
def test_any_text_is_substituted_or_refused(text: str) -> None:
    with suppress(TemplateError, RequiredError):
        assert "$A" not in substitute(text.replace("$$", ""), {"A": "1"})
