"""The templates in a native process's command and environment."""

from __future__ import annotations

import pytest

from dockwright.errors import UnknownServiceError
from dockwright.model import Address
from dockwright.stack.native import fill


def lookup(name: str, port: int | None) -> Address:
    return Address(f"{name}.test", (port or 0) + 40_000)


def filled(text: str) -> str:
    return fill(text, "x-dockwright.processes.worker.command", lookup)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{cache.host}", "cache.test"),
        ("{cache.port:6379}", "46379"),
        ("{cache.address:6379}", "cache.test:46379"),
        ("{web.url:8000}/health", "http://web.test:48000/health"),
        ("redis://{cache.host}:{cache.port:6379}/0", "redis://cache.test:46379/0"),
        ("{{cache.host}}", "{cache.host}"),
        ('{"key": "value"}', '{"key": "value"}'),
        ("${HOME} {} {name}", "${HOME} {} {name}"),
        ("plain", "plain"),
    ],
)
def test_templates_are_filled_and_other_braces_stay(text: str, expected: str) -> None:
    assert filled(text) == expected


@pytest.mark.parametrize("text", ["{cache.prot:6379}", "{cache.port}", "{cache.host:1}"])
def test_a_misspelt_template_is_refused_with_its_place(text: str) -> None:
    with pytest.raises(UnknownServiceError) as caught:
        filled(text)
    assert f"x-dockwright.processes.worker.command: {text} is not a template" in str(caught.value)
    assert "{NAME.port:8000}" in str(caught.value)
