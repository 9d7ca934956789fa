"""The kinds of values that the keys of a Compose file have."""

from __future__ import annotations

import re

from dockwright.compose.shapes import AnyOf, Anything, ListOf, MapOf, Scalar, Shape, Struct

NEWER_POLICY = r"refresh|daily|weekly|every_([0-9]+[wdhms])+"
NEWER = Anything()
"""What Compose 2.26 does not know yet: any value, of which `support` says what is made of it."""

NAME = re.compile(r"[a-zA-Z0-9._-]+")
STR = Scalar(("string",))
INT = Scalar(("integer", "string"))
NUMBER = Scalar(("number", "string"))
BOOL = Scalar(("boolean", "string"))
NULL = Scalar(("null",))
LIST = ListOf(STR)
DISTINCT = ListOf(STR, unique=True)
ONE_OR_MORE = AnyOf((STR, LIST))
PAIRS = AnyOf((MapOf(Scalar(("string", "number", "boolean", "null"))), LIST))
DISTINCT_PAIRS = AnyOf((MapOf(Scalar(("string", "number", "boolean", "null"))), DISTINCT))
OPTIONS = MapOf(Scalar(("string", "number")))
COMMAND = AnyOf((NULL, STR, LIST))
HOSTS = AnyOf((MapOf(AnyOf((STR, LIST))), DISTINCT))
LIMIT = AnyOf((INT, Struct({"hard": INT, "soft": INT}, required=("soft", "hard"))))
LIMITS = MapOf(LIMIT, re.compile(r"[a-z]+"))
MOUNTS = ListOf(
    AnyOf((STR, Struct({"source": STR, "target": STR, "uid": STR, "gid": STR, "mode": NUMBER})))
)
HOOK = Struct(
    {
        "command": COMMAND,
        "user": STR,
        "privileged": BOOL,
        "working_dir": STR,
        "environment": DISTINCT_PAIRS,
        "per_replica": NEWER,
    }
)


def choice(*choices: str, pattern: str = "") -> Shape:
    """Return the shape of a word that is one of these, or matches the pattern."""
    return Scalar(("string",), choices, pattern=re.compile(pattern) if pattern else None)
