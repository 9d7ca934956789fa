"""The probe: records what each Python process of a profiled run waited for.

It stands alone: standard library only, any Python from 3.8 on, nothing of dockwright. It changes no
result: every wrapper calls what it wraps with the same arguments and hands on what comes of it;
``__tracebackhide__`` keeps it out of the tracebacks that pytest shows.
"""

from __future__ import annotations

import os

DIRECTORY_VARIABLE = "DOCKWRIGHT_PROFILE_DIR"
"""The environment variable that holds the directory for the records; unset: nothing is done."""


def start() -> None:
    """Begin to record in this process, if it belongs to a profiled run."""
    directory = os.environ.get(DIRECTORY_VARIABLE)
    if not directory or not os.path.isdir(directory):  # noqa: PTH112 - no pathlib at start
        return
    from . import engine_calls, imports, log, waits

    log.LOG.begin(directory)
    waits.patch_now()
    imports.after_import({**waits.PATCHES, **engine_calls.PATCHES, **imports.PATCHES})
