"""Loads Compose projects: discovery, merging, interpolation, validation and the canonical form.

Pure: it reads files, and neither an engine nor a compose plugin is needed.
"""

from dockwright.compose.discover import discover
from dockwright.compose.hashes import service_hashes
from dockwright.compose.load import load
from dockwright.compose.options import LoadOptions
from dockwright.compose.output import to_json, to_yaml

__all__ = ["LoadOptions", "discover", "load", "service_hashes", "to_json", "to_yaml"]
