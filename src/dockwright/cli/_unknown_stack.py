"""What a command says where ``-p`` names a stack that nobody knows: which are known, what to do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from dockwright.cli._engine import current_engine
from dockwright.errors import DockwrightError, NoComposeFileError
from dockwright.lifecycle import file_options, installed_stacks, started_stacks


def unknown_stack(name: str, base: Path, here: NoComposeFileError) -> NoComposeFileError:
    """Return the error of a stack that is not installed, and whose project is not here either.

    Args:
        name: what ``-p`` says.
        base: the config directories of the installed stacks.
        here: why it cannot be a project of this place.
    """
    installed, started = installed_stacks(base), _started()
    return NoComposeFileError(
        f"no stack {name!r} is known: it is not installed in {base}, and there is {here.message}",
        hint=_started_elsewhere(name, started.get(name, ())) or _what_there_is(installed, started),
    )


def _started() -> Mapping[str, tuple[Path, ...]]:
    with suppress(DockwrightError):  # what is installed can be told without an engine too
        return started_stacks(current_engine())
    return {}


def _started_elsewhere(name: str, files: Iterable[Path]) -> str:
    options = file_options(files)
    return f"{name} has containers, and comes from elsewhere: add {options}" if options else ""


def _what_there_is(installed: Iterable[str], started: Iterable[str]) -> str:
    known = [*installed, *(f"{name} (not installed)" for name in started if name not in installed)]
    return (
        f"the known stacks are: {', '.join(known) or 'none'}; name the file of another with -f, or "
        "install it, so that -p finds it from anywhere: `dockwright stack install -f FILE`"
    )
