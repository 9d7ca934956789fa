"""Which stacks fixtures of a wider scope will lease, so that they start before a fixture asks.

The closure of a test's fixtures says that it uses ``docker_services`` or ``stack_factory``, but not
which stack they lease. The last run says that; before there was one, the defaults do.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dockwright.pytest_plugin.markers import LEASING, gets_ours, leases_by_fixture
from dockwright.settings import DEFAULT_STACK, Settings, selected

if TYPE_CHECKING:
    import pytest

    from dockwright.pytest_plugin.run import Run

DOCKER_SERVICES, STACK_FACTORY = LEASING
_LEASED = "dockwright/leased"
"""The key in pytest's cache of what fixtures leased in the last runs."""

_LISTS = ("files", "profiles", "env_files")
_DEFAULTS = ("docker_compose_file", "docker_setup", "docker_compose_command")


@dataclass(frozen=True, slots=True)
class Announcement:
    """A stack that a fixture leases.

    Attributes:
        fixture: dockwright's fixture through which it is leased.
        function: the suite's own fixture that leases it; empty: unknown.
        stack: its declared name.
        files: its Compose files, if no setting declares it.
        profiles: its profiles.
        env_files: its files with variables.
    """

    fixture: str
    function: str
    stack: str
    files: tuple[str, ...] = ()
    profiles: tuple[str, ...] = ()
    env_files: tuple[str, ...] = ()

    def concerns(self, item: pytest.Item) -> bool:
        """Return whether a test uses it."""
        if self.fixture == DOCKER_SERVICES and not gets_ours(item, "docker_setup"):
            return False  # it may start nothing
        known = getattr(item, "fixturenames", ())
        return gets_ours(item, self.fixture) and (not self.function or self.function in known)


def expected(
    items: Iterable[pytest.Item], settings: Settings, cache: pytest.Cache | None
) -> list[Announcement]:
    """Return what the fixtures of these tests will lease, as far as that is known."""
    users = [item for item in items if leases_by_fixture(item)]
    if not users:
        return []
    declared = {DEFAULT_STACK, *settings.stacks}
    known = [
        each for each in _read(cache) if selected(each.stack)[0] in declared or _is_there(each)
    ]
    found = {each for each in known for item in users if each.concerns(item)}
    fixtures = {each.fixture for each in known}
    for item in users:
        found.update(each for each in _by_default(item, settings) if each.fixture not in fixtures)
    return sorted(found, key=str)


def declare(run: Run, announced: Announcement, workers: int) -> None:
    """Declare a stack of ``docker_services``; an unchanged suite may know its host ports.

    Args:
        run: of this process.
        announced: the stack.
        workers: how many processes run tests: more of them need more copies.
    """
    from dockwright.compose import LoadOptions

    options = LoadOptions(
        files=tuple(map(Path, announced.files)),
        profiles=announced.profiles,
        env_files=tuple(map(Path, announced.env_files)),
        environ={key: text for key, text in os.environ.items() if key != "PYTEST_CURRENT_TEST"},
        start=run.settings.root,
    )
    run.session.declare(announced.stack, options, ports="preferred" if workers == 1 else "free")


def keep(
    seen: Iterable[Announcement],
    announced: Iterable[Announcement],
    cache: pytest.Cache | None,
) -> None:
    """Keep for the next run what was leased; forget what was announced and not leased."""
    before = set(_read(cache))
    now = (before - set(announced)) | set(seen)
    if cache is not None and now != before:
        cache.set(_LEASED, [asdict(each) for each in sorted(now, key=str)])


def _by_default(item: pytest.Item, settings: Settings) -> Iterator[Announcement]:
    if gets_ours(item, STACK_FACTORY) and not settings.stacks:
        yield Announcement(STACK_FACTORY, "", DEFAULT_STACK)
    if gets_ours(item, DOCKER_SERVICES) and all(gets_ours(item, name) for name in _DEFAULTS):
        files = settings.compose or (settings.root / "tests" / "docker-compose.yml",)
        yield Announcement(
            DOCKER_SERVICES,
            "",
            name_of(files, settings.root),
            tuple(map(str, files)),
            settings.profiles,
            tuple(map(str, settings.env_files)),
        )


def name_of(files: Iterable[Path], root: Path) -> str:
    """Return the name of a stack that its files name: one for the leases of all modules."""
    return ", ".join(os.path.relpath(file, root) for file in files)


def _is_there(announced: Announcement) -> bool:
    return bool(announced.files) and all(Path(file).exists() for file in announced.files)


def _read(cache: pytest.Cache | None) -> list[Announcement]:
    try:
        return [
            Announcement(
                str(row["fixture"]),
                str(row["function"]),
                str(row["stack"]),
                *(tuple(map(str, row[name])) for name in _LISTS),
            )
            for row in (cache.get(_LEASED, []) if cache is not None else [])
        ]
    except (TypeError, KeyError):  # damaged
        return []
