"""Loads Compose projects: discovery, merging, interpolation, validation and the canonical form.

Pure: it reads files, and neither an engine nor a compose plugin is needed.
"""

from typing import TYPE_CHECKING

from dockwright._lazy import lazily

if TYPE_CHECKING:
    from dockwright.compose.discovery import discover
    from dockwright.compose.dotenv import read_env_file
    from dockwright.compose.hashes import service_hashes
    from dockwright.compose.loading import load, locate
    from dockwright.compose.options import LoadOptions
    from dockwright.compose.output import to_json, to_yaml
    from dockwright.compose.project_name import check_name
    from dockwright.compose.secret_variables import ProjectPlace

__all__ = [
    "LoadOptions",
    "ProjectPlace",
    "check_name",
    "discover",
    "load",
    "locate",
    "read_env_file",
    "service_hashes",
    "to_json",
    "to_yaml",
]

__getattr__ = lazily(
    __name__,
    {
        "discovery": ("discover",),
        "dotenv": ("read_env_file",),
        "hashes": ("service_hashes",),
        "loading": (
            "load",
            "locate",
        ),
        "options": ("LoadOptions",),
        "output": (
            "to_json",
            "to_yaml",
        ),
        "project_name": ("check_name",),
        "secret_variables": ("ProjectPlace",),
    },
)
