"""Public names of a package that are imported when they are first used.

A test process that only leases a stack would otherwise load all that starts and resets one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from sys import modules


def lazily(package: str, names: Mapping[str, Iterable[str]]) -> Callable[[str], object]:
    """Return the `__getattr__` of a package.

    Args:
        package: its name.
        names: its public names, by the module of the package that defines them.
    """
    homes = {name: home for home, defined in names.items() for name in defined}

    def attribute(name: str) -> object:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(f"{package}.{homes[name]}"), name)
        setattr(modules[package], name, value)
        return value

    return attribute
