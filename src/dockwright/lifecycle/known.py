"""Which long-lived stacks there are, for who names one that there is not."""

from __future__ import annotations

from pathlib import Path

from dockwright.engine import PREFIX, Engine
from dockwright.lifecycle.home import SETTINGS
from dockwright.lifecycle.longlived import LONG_LIVED
from dockwright.lifecycle.origins import compose_files
from dockwright.stack import COMPOSE_PROJECT


def installed_stacks(base: Path) -> list[str]:
    """Return the names of the stacks that are installed in `base`; none where it is not there."""
    return sorted(file.parent.name for file in base.glob(f"*/{SETTINGS}"))


def started_stacks(engine: Engine) -> dict[str, tuple[Path, ...]]:
    """Return the Compose files of each long-lived stack that has containers, by its name."""
    found = {}
    for each in engine.list_containers({f"{PREFIX}session": LONG_LIVED}):
        labels = each["Labels"]
        found[str(labels[COMPOSE_PROJECT])] = compose_files(labels)
    return dict(sorted(found.items()))
