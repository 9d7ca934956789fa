"""One frozen Settings, resolved once: command line > environment > pyproject/ini > default."""

from dockwright.settings.options import (
    COMPATIBLE,
    OPTIONS,
    POLL_CEILING_S,
    POLL_FIRST_S,
    PORT_MODES,
    RECORD,
    RECORD_DAYS,
    RECORD_RUNS,
    REPORTS,
    RESULTS,
    START_TIMEOUT_S,
    Option,
)
from dockwright.settings.sources import (
    DEFAULT_STACK,
    Settings,
    Source,
    environment_values,
    misspelt_variables,
    resolve,
    selected,
    selection,
)

__all__ = [
    "COMPATIBLE",
    "DEFAULT_STACK",
    "OPTIONS",
    "POLL_CEILING_S",
    "POLL_FIRST_S",
    "PORT_MODES",
    "RECORD",
    "RECORD_DAYS",
    "RECORD_RUNS",
    "REPORTS",
    "RESULTS",
    "START_TIMEOUT_S",
    "Option",
    "Settings",
    "Source",
    "environment_values",
    "misspelt_variables",
    "resolve",
    "selected",
    "selection",
]
