"""One frozen Settings, resolved once: command line > environment > pyproject/ini > default."""

from dockwright.settings.options import OPTIONS, Option
from dockwright.settings.resolved import Settings
from dockwright.settings.sources import (
    DEFAULT_STACK,
    Source,
    environment_values,
    misspelt_variables,
    resolve,
)
from dockwright.settings.values import COMPATIBLE, RECORD, REPORTS, parse_duration

__all__ = [
    "COMPATIBLE",
    "DEFAULT_STACK",
    "OPTIONS",
    "RECORD",
    "REPORTS",
    "Option",
    "Settings",
    "Source",
    "environment_values",
    "misspelt_variables",
    "parse_duration",
    "resolve",
]
