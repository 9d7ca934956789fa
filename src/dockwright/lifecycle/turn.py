"""One command's turn to change a long-lived stack, after what a killed one left is put right."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from dockwright.engine import Engine
from dockwright.lifecycle.kept_names import KeptNames
from dockwright.lifecycle.lock import exclusive
from dockwright.lifecycle.longlived import long_lived_stack
from dockwright.model import StackSpec
from dockwright.stack import Stack, engine_warnings, restore_set_aside

Tell = Callable[[str], None]


@contextmanager
def changing(
    spec: StackSpec, engine: Engine, *, what: str, tell: Tell, timeout_s: float = 120.0
) -> Iterator[Stack]:
    """Hold the right to change the long-lived stack of `spec`; yield the stack.

    Args:
        spec: what it consists of.
        engine: where it runs.
        what: the command, for others that want to change it.
        tell: is told what an earlier, killed command had left half done.
        timeout_s: how long one service may take to become ready, in seconds.

    Raises:
        StackBusyError: another command changes it.
        StackError: containers of the same project name are somebody else's.
    """
    with exclusive(spec.name, what=what):
        for warning in engine_warnings(spec, engine.version()):
            tell(f"warning: {warning}")
        stack = long_lived_stack(spec, engine, timeout_s=timeout_s)
        services = restore_set_aside(stack)
        names = KeptNames(spec.name).put_back(engine)
        if names or services:
            tell(f"an earlier command was killed: put back {', '.join([*services, *names])}")
        yield stack
