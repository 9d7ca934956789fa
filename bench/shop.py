"""Stacks for the measures that use dockwright without pytest, and their images."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from dockwright import __version__
from dockwright.compose import LoadOptions, load
from dockwright.engine import Engine, current_owner
from dockwright.model import Ownership, StackSpec
from dockwright.stack import Identity, Images, ImageWatch, Stack, StackOptions


def build_shop_image(engine: Engine, file: Path) -> str:
    """Return the name of the example's own image, once it is on the engine."""
    spec = load(LoadOptions(files=(file,)))
    return Images(engine).ensure(spec, spec.services["web"], ImageWatch()).reference


def load_stack(files: Sequence[Path], variables: Mapping[str, str]) -> StackSpec:
    """Load a Compose project with variables beside those of this process."""
    return load(LoadOptions(files=tuple(files), environ={**os.environ, **variables}))


def new_stack(spec: StackSpec, engine: Engine, project: str, directory: Path) -> Stack:
    """Return a copy that does not run yet, owned by this process.

    Args:
        spec: what it consists of.
        engine: where it will run.
        project: its project name.
        directory: where native processes would write.
    """
    ownership = Ownership(
        session=project,
        project="bench",
        stack=spec.name,
        owner=current_owner(),
        created=time.time(),
        version=__version__,
    )
    return Stack(spec, engine, Identity(project, ownership), StackOptions(log_directory=directory))
