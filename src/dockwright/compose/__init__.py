"""Loads Compose projects: discovery, merging, interpolation, validation and the canonical form.

Pure: it reads files, and neither an engine nor a compose plugin is needed.
"""

from typing import TYPE_CHECKING

from dockwright._lazy import lazily

if TYPE_CHECKING:
    from dockwright.compose.dotenv import read_env_file
    from dockwright.compose.loading import LoadOptions, check_name, discover, load, locate
    from dockwright.compose.output import service_hashes, to_json, to_yaml
    from dockwright.compose.spec import ProjectPlace, hash_below

__all__ = [
    "LoadOptions",
    "ProjectPlace",
    "check_name",
    "discover",
    "hash_below",
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
        "dotenv": ("read_env_file",),
        "loading": (
            "LoadOptions",
            "check_name",
            "discover",
            "load",
            "locate",
        ),
        "output": (
            "service_hashes",
            "to_json",
            "to_yaml",
        ),
        "spec": ("ProjectPlace", "hash_below"),
    },
)
