"""Names and passwords that may open a server: from its variables, and from what its clients get."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from dockwright.reset.base import Environment, Resettable

MOST = 8
"""How many are tried: each costs a connection."""

_URL = re.compile(r"[a-z][a-z0-9+.-]*://\S+", re.IGNORECASE)
_SECRET = re.compile(r"(.*?)(password|passwd|passphrase|pass|pwd|auth)(?:_file)?", re.IGNORECASE)
_USERS = ("USER", "USERNAME", "LOGIN", "ROLE")
_DATABASES = ("DB", "DATABASE", "NAME", "DBNAME", "DB_NAME")
_NO_SECRETS = ("PWD", "OLDPWD")


@dataclass(frozen=True, slots=True)
class Credential:
    """What a client may say to be let in; empty: nothing."""

    user: str = ""
    password: str = ""
    database: str = ""


def candidates(service: Resettable, environment: Environment, *schemes: str) -> list[Credential]:
    """Return what may open a service's server, the likeliest first.

    Args:
        service: the service.
        environment: its own.
        schemes: of the URLs that lead to such a server, e.g. ``postgresql``.
    """
    own = environment.variables
    others = service.environments()
    found = [*_from_urls([own], schemes), *_from_urls(others, schemes)]
    found += _from_pairs(own, environment)
    for each in others:
        found += _from_pairs(each, None)
    return list(dict.fromkeys(found))[:MOST]


def _from_urls(
    environments: Iterable[Mapping[str, str]], schemes: tuple[str, ...]
) -> Iterator[Credential]:
    for environment in environments:
        for value in environment.values():
            for text in _URL.findall(value):
                try:
                    url = urlsplit(text)
                    parts = (url.username, url.password, url.path.strip("/"))
                except ValueError:  # it only looks like one
                    continue
                if url.scheme.partition("+")[0].lower() in schemes and any(parts[:2]):
                    yield Credential(*(unquote(part or "") for part in parts))


def _from_pairs(
    variables: Mapping[str, str], environment: Environment | None
) -> Iterator[Credential]:
    """Yield passwords and the users whose variables begin alike, e.g. ``SHOP_USER``.

    Args:
        variables: the variables.
        environment: reads the file that a variable ``..._FILE`` names; None: it stays unread.
    """
    for name in variables:
        match = _SECRET.fullmatch(name)
        if match is None or name in _NO_SECRETS:
            continue
        if name.upper().endswith("_FILE"):
            password = environment.first(name[: -len("_FILE")]) if environment else None
        else:
            password = variables[name]
        if password:
            prefix = match[1]
            user = _first(variables, prefix, _USERS)
            yield Credential(user, password, _first(variables, prefix, _DATABASES))


def _first(variables: Mapping[str, str], prefix: str, endings: Iterable[str]) -> str:
    return next((value for each in endings if (value := variables.get(prefix + each))), "")
