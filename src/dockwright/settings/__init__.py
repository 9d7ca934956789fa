"""One frozen Settings, resolved once: command line > environment > pyproject/ini > default."""

from dockwright.settings.options import COMPATIBLE, OPTIONS, RECORD, REPORTS, Option
from dockwright.settings.sources import (
    DEFAULT_STACK,
    Settings,
    Source,
    environment_values,
    misspelt_variables,
    resolve,
)

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
    "resolve",
]
