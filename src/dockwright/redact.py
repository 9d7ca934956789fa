"""Takes secrets out of texts before they are stored, shown or sent.

Known secrets (values of variables whose names sound like secrets, passwords in their URLs) are
taken out wherever they stand; beside that, what looks like one: passwords in URLs, authorization
headers, well-known tokens, private keys, and values behind names that sound like secrets.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from urllib.parse import quote, quote_plus, unquote

from dockwright.model import Json

MASK = "***"

_SHORTEST = 6
_LONG = 12
"""Known secrets shorter than the first, and plain words or numbers shorter than the second, would
take harmless texts apart: they go only where a name that sounds like a secret stands before them.
"""

_WORD = (
    r"password|passwd|passphrase|passcode|pwd|secret|token|credential|"
    r"(?:api|access|private|signing|encryption|session|auth)[_-]?key"
)
_KEY = rf"(?:{_WORD})s?(?:[_\-\d][A-Za-z0-9_\-]{{0,60}})?"
"""The end of a name that sounds like a secret, as it stands before a value in a text."""

_SECRET_NAME = re.compile(rf"{_WORD}|authorization|cookie|(?:^|[_-])(?:auth|dsn|keys?)$", re.I)
_HARMLESS_NAME = re.compile(
    r"^(?:OLD)?PWD$|[_-](?:file|path|dir|host|port|user|username|length|ttl|timeout|sock|id)$", re.I
)

_PASSWORD_IN_URL = re.compile(r"://[^\s/?#:@'\"]*:([^\s/?#'\"]+)@(?=[^\s/?#@'\"])")


@cache
def _patterns() -> tuple[tuple[re.Pattern[str], str], ...]:
    """Return what looks like a secret, and what replaces it; compiled when a text may have one."""
    return (
        (
            re.compile(
                r"-----BEGIN ([A-Z ]*PRIVATE KEY)-----.*?(?:-----END \1-----|\Z)", re.DOTALL
            ),
            MASK,
        ),
        (re.compile(r"(://[^\s/?#:@'\"]*):[^\s/?#'\"]+@(?=[^\s/?#@'\"])"), rf"\1:{MASK}@"),
        # ... with a slash in the password: no valid URL, but one that people write.
        (re.compile(r"(://[^\s/?#:@'\"\[]+):(?!\d+/)[^\s@'\"]+@(?=[\w\[])"), rf"\1:{MASK}@"),
        (re.compile(r"(://)[^\s/?#:@'\"]{16,}@"), rf"\1{MASK}@"),  # a token instead of a user
        (
            re.compile(
                r"\b(Bearer|Basic|Token|Digest|Negotiate)(\s+)[A-Za-z0-9+/_.~=\-]{8,}", re.I
            ),
            rf"\1\2{MASK}",
        ),
        # "name": "value" and name = 'value', then the same within a JSON text
        (
            re.compile(rf"""({_KEY}["']?\s*[=:]\s*(["']))(?:\\.|(?!\2).)*(\2|$)""", re.I),
            rf"\1{MASK}\3",
        ),
        (
            re.compile(rf"""({_KEY}\\["']\s*[=:]\s*\\(["']))(?:(?!\\\2).)*(\\\2|$)""", re.I),
            rf"\1{MASK}\3",
        ),
        # NAME=value, ?name=value&... and name: value
        (re.compile(rf"""({_KEY}\s*=\s*)(?![\\"'\s=])[^\s&;,"')\]}}]+""", re.I), rf"\1{MASK}"),
        (re.compile(rf"""({_KEY}:\s?)(?![\\"'\s:])[^\s&;,"')\]}}]+""", re.I), rf"\1{MASK}"),
        (re.compile(rf"(--[\w\-]{{0,40}}{_KEY}\s+)(?!-)\S+", re.I), rf"\1{MASK}"),
        (re.compile(r"\beyJ[\w\-]{8,}\.eyJ[\w\-]{8,}\.[\w\-]*"), MASK),  # a JSON web token
        (re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,})"), MASK),
        (re.compile(r"\b(?:glpat|xox[abeprs]|sk|pk|rk)[-_][A-Za-z0-9_\-]{16,}"), MASK),
        (re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"), MASK),
        (re.compile(r"\bAIza[\w\-]{35}"), MASK),
        (re.compile(r"\bpypi-[\w\-]{20,}"), MASK),
    )


_HINT = re.compile(
    rf"://|PRIVATE KEY|{_WORD}|bearer|basic|digest|negotiate|eyJ|"
    r"gh[pousr]_|github_pat|glpat|xox|[spr]k[-_]|AKIA|ASIA|AIza|pypi-",
    re.IGNORECASE,
)
"""What every text has that one of the patterns matches; most texts are done at one glance."""


def is_secret_name(name: str) -> bool:
    """Return whether the name of a variable suggests that its value is a secret."""
    return bool(_SECRET_NAME.search(name)) and not _HARMLESS_NAME.search(name)


class Redactor:
    """Replaces secrets by ``***``.

    Args:
        secrets: texts that are secrets wherever they stand.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        forms = {form for secret in secrets if _is_telling(secret) for form in _forms(secret)}
        longest_first = sorted(forms, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, longest_first))) if forms else None

    @classmethod
    def of(cls, *environments: Mapping[str, str]) -> Redactor:
        """Return one that knows the secrets among the variables of these environments."""
        return cls(
            secret
            for environment in environments
            for name, value in environment.items()
            for secret in _secrets_in(name, value)
        )

    def __call__(self, text: str) -> str:
        """Return the text without its secrets."""
        if self._known is not None:
            text = self._known.sub(MASK, text)
        if _HINT.search(text):
            for pattern, replacement in _patterns():
                text = pattern.sub(replacement, text)
        return text

    def document(self, value: Json) -> Json:
        """Return a JSON document whose texts have no secrets, nor its secret-sounding fields."""
        if isinstance(value, str):
            return self(value)
        if isinstance(value, Mapping):
            return {
                self(name): MASK
                if isinstance(each, str) and each and is_secret_name(name)
                else self.document(each)
                for name, each in value.items()
            }
        if isinstance(value, (list, tuple)):
            return [self.document(each) for each in value]
        return value


def _secrets_in(name: str, value: str) -> Iterator[str]:
    if is_secret_name(name):
        yield value
    for match in _PASSWORD_IN_URL.finditer(value):
        yield match.group(1)
        yield unquote(match.group(1))


def _is_telling(secret: str) -> bool:
    """Return whether a known secret is long enough to be replaced everywhere."""
    plain = secret.isalpha() or secret.isdigit()
    return len(secret) >= (_LONG if plain else _SHORTEST) and secret != MASK


def _forms(secret: str) -> Iterator[str]:
    """Return how a secret may be written: as it is, in a URL, in JSON, and line by line."""
    yield secret
    yield quote(secret, safe="")
    yield quote_plus(secret)
    yield json.dumps(secret)[1:-1]
    lines = secret.splitlines()
    if len(lines) > 1:
        yield from (line for line in lines if len(line) >= _LONG)
