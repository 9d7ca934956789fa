"""Splits a command line into words as Compose does: quoting, but no shell behind it.

As in Compose, the line ends at the first unquoted ``;``, ``&``, ``|``, ``<`` or ``>``. ``$(...)``
and backquotes group without being run.
"""

from __future__ import annotations

_ENDS = ";&|<>"
_SPACE = " \t\r\n"
_CLOSING = {"'": "'", '"': '"', "`": "`", "(": ")"}


def split(text: str) -> list[str]:
    """Return the words of `text`.

    Raises:
        ValueError: a quote or bracket is not closed, or one is opened where it means nothing.
    """
    words: list[str] = []
    word: str | None = None
    closing = ""
    escaped = False
    for char in text:
        if escaped:
            word, escaped = (word or "") + char, False
        elif char == "\\" and closing != "'":
            escaped = True
        elif closing:
            if char == closing:
                closing = ""
            if char not in "'\"" or closing:
                word = (word or "") + char
        elif char in _SPACE:
            words += [word] if word is not None else []
            word = None
        elif char in _ENDS:
            word = None if char == ">" and word and word[0].isdigit() else word
            break
        elif char in "()" and not (char == "(" and (word or "").endswith("$")):
            raise ValueError(f"{char!r} must be quoted")
        else:
            closing = _CLOSING.get(char, "")
            word = (word or "") + ("" if char in "'\"" else char)
    if closing or escaped:
        raise ValueError(f"{'a backslash' if escaped else repr(closing)} is missing its other half")
    return words + ([word] if word is not None else [])
