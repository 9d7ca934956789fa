"""The shape of a Compose file: which keys exist, and of which type their values are."""

from __future__ import annotations

from dockwright.compose.schema_service import SERVICE
from dockwright.compose.schema_values import (
    BOOL,
    DISTINCT_PAIRS,
    NAME,
    NEWER,
    NULL,
    ONE_OR_MORE,
    OPTIONS,
    PAIRS,
    STR,
)
from dockwright.compose.shapes import AnyOf, ListOf, MapOf, Struct

_EXTERNAL = AnyOf((BOOL, Struct({"name": STR})))
_NETWORK = Struct(
    {
        "name": STR,
        "driver": STR,
        "driver_opts": OPTIONS,
        "ipam": Struct(
            {
                "driver": STR,
                "config": ListOf(
                    Struct(
                        {
                            "subnet": STR,
                            "ip_range": STR,
                            "gateway": STR,
                            "aux_addresses": MapOf(STR),
                        }
                    )
                ),
                "options": MapOf(STR),
            }
        ),
        "external": _EXTERNAL,
        "internal": BOOL,
        "enable_ipv4": BOOL,
        "enable_ipv6": BOOL,
        "attachable": BOOL,
        "labels": PAIRS,
    }
)
_VOLUME = Struct(
    {
        "name": STR,
        "driver": STR,
        "driver_opts": OPTIONS,
        "external": _EXTERNAL,
        "labels": DISTINCT_PAIRS,
    }
)
_SECRET = Struct(
    {
        "name": STR,
        "environment": STR,
        "file": STR,
        "external": AnyOf((BOOL, Struct({"name": STR}))),
        "labels": DISTINCT_PAIRS,
        "driver": STR,
        "driver_opts": OPTIONS,
        "template_driver": STR,
    }
)
_CONFIG = Struct(
    {
        "name": STR,
        "content": STR,
        "environment": STR,
        "file": STR,
        "external": AnyOf((BOOL, Struct({"name": STR}))),
        "labels": DISTINCT_PAIRS,
        "template_driver": STR,
    }
)
_INCLUDE = Struct(
    {"path": ONE_OR_MORE, "env_file": ONE_OR_MORE, "project_directory": STR}, extensions=False
)
PROJECT = Struct(
    {
        "version": STR,
        "name": STR,
        "include": ListOf(AnyOf((STR, _INCLUDE))),
        "services": MapOf(SERVICE, NAME),
        "networks": MapOf(AnyOf((_NETWORK, NULL)), NAME),
        "volumes": MapOf(AnyOf((_VOLUME, NULL)), NAME),
        "secrets": MapOf(_SECRET, NAME),
        "configs": MapOf(_CONFIG, NAME),
        "models": NEWER,
    }
)
