"""The hooks that dockwright calls in a suite's conftest files and plugins, and who implements them.

pytest itself takes only names that begin with ``pytest_`` for hooks; these have a manager of their
own, which finds them in everything that pytest has loaded.
"""

from __future__ import annotations

import hashlib
import inspect
import os
import sys
import traceback
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pluggy

from dockwright.errors import SettingsError, StackError, UsageError
from dockwright.pool import Seed, SeedKey

if TYPE_CHECKING:
    from dockwright.pool import LeasedStack

_hookspec = pluggy.HookspecMarker("dockwright")


@_hookspec
def dockwright_seed(stack: LeasedStack, name: str) -> None:
    """Put the suite's own data into a stack; fires once for each copy of a stack.

    It fires in the pytest process (or xdist worker) that first needs the copy, when all services
    are ready and before the baseline is captured: every reset comes back to what it left. Of
    several implementations those of outer conftest files come first. If one raises, the stack
    cannot be had and the tests that need it fail.

    Args:
        stack: the copy, leased to this process alone.
        name: which declared stack it is, e.g. ``default``.
    """


@_hookspec
def dockwright_reset(
    stack: LeasedStack, services: Sequence[str], connections_lost: Sequence[str]
) -> None:
    """React to a reset of a stack that this process goes on using; for pools and caches.

    It fires in the process that uses the stack, before the next test: after ``lease.reset()``,
    ``docker_services.reset()``, a reset between tests, and where a sticky lease gets its copy back.

    Args:
        stack: the stack, at its baseline.
        services: its services and native processes.
        connections_lost: those whose open connections have ended: pools have to be emptied.
    """


_NAMES = (dockwright_seed.__name__, dockwright_reset.__name__)


class _Manager(pluggy.PluginManager):
    """Takes functions for hooks by their names, as pytest does."""

    def parse_hookimpl_opts(
        self,
        plugin: object,  # noqa: ARG002
        name: str,
    ) -> pluggy.HookimplOpts | None:
        """Return options for a function that has the name of a hook, None for all else."""
        return cast("pluggy.HookimplOpts", {}) if name in _NAMES else None


def find_seed(plugins: Iterable[object], inputs: Sequence[Path], run_id: str) -> Seed | None:
    """Return what the suite's ``dockwright_seed`` hooks do; None where there is none.

    Args:
        plugins: everything that pytest has loaded, conftest files included, in that order.
        inputs: the files (or patterns of files) that decide, with the hooks' own source, what they
            do; none: unknown.
        run_id: stands for this run in all its processes.

    Raises:
        UsageError: a hook takes arguments that there are not; names its file.
        SettingsError: an input does not exist.
    """
    hook = _found(plugins, "dockwright_seed(stack, name)").dockwright_seed
    sources = [inspect.getsourcefile(each.function) for each in hook.get_hookimpls()]
    if not sources:
        return None
    digest = hashlib.sha256()
    hooks = sorted({Path(source).absolute() for source in sources if source})
    files = [*hooks, *(file.absolute() for file in _files(inputs))]
    place = os.path.commonpath([file.parent for file in files])  # checkouts may be anywhere
    for file in files:
        name = os.path.relpath(file, place)
        digest.update(f"{name}\n".encode() + hashlib.sha256(file.read_bytes()).digest())
    if not inputs:  # what else the hooks read is unknown: nothing may outlive the run
        digest.update(run_id.encode())

    def run(stack: LeasedStack, name: str) -> None:
        try:
            hook(stack=stack, name=name)
        except Exception as exc:  # the hook's own: anything
            raise _failure(name, exc, {str(source) for source in sources}) from exc

    return Seed(SeedKey(digest.hexdigest()[:16], lasting=bool(inputs)), run)


def announce_reset(plugins: Iterable[object], stack: LeasedStack, lost: Sequence[str]) -> None:
    """Call the suite's ``dockwright_reset`` hooks.

    Args:
        plugins: everything that pytest has loaded.
        stack: the stack that was reset.
        lost: the services whose clients lost their connections.

    Raises:
        UsageError: a hook takes arguments that do not exist; names its file.
    """
    hooks = _found(plugins, "dockwright_reset(stack, services, connections_lost)")
    hooks.dockwright_reset(stack=stack, services=stack.services, connections_lost=tuple(lost))


def _found(plugins: Iterable[object], signature: str) -> Any:
    """Return the hooks of the plugins that have the one with this signature."""
    name = signature.partition("(")[0]
    manager = _Manager("dockwright")
    manager.add_hookspecs(sys.modules[__name__])
    # pluggy calls the last one first.
    for plugin in reversed([each for each in plugins if hasattr(each, name)]):
        try:
            manager.register(plugin)
        except pluggy.PluginValidationError as failure:
            raise UsageError(str(failure), hint=f"write def {signature}") from None
    return manager.hook


def _failure(name: str, exc: Exception, sources: set[str]) -> StackError:
    """Return an error with the traceback from the hook on: what is above it is not the suite's."""
    trace = exc.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename not in sources:
        trace = trace.tb_next
    text = "".join(traceback.format_exception(type(exc), exc, trace)).rstrip()
    return StackError(
        f"dockwright_seed failed on stack {name!r}:\n{text}",
        hint="a stack is leased only after its seed; correct the hook and run again",
    )


def _files(inputs: Sequence[Path]) -> list[Path]:
    found: set[Path] = set()
    for pattern in inputs:
        matches = list(Path(pattern.anchor).glob(str(pattern.relative_to(pattern.anchor))))
        if not matches:
            raise SettingsError(f"seed_inputs: no file {pattern}")
        for match in matches:
            found.update(match.rglob("*") if match.is_dir() else [match])
    return sorted(file for file in found if file.is_file())
