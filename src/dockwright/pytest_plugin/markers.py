"""The markers as decorators, and the requirement that a test's markers express."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import pytest

from dockwright.errors import MarkerError
from dockwright.settings import DEFAULT_STACK, selected, selection

if TYPE_CHECKING:
    from dockwright.model import Requirement

stateless = pytest.mark.stateless
stateful = pytest.mark.stateful
module_cleanup = pytest.mark.module_cleanup

HELP: Mapping[str, str] = {
    "stateless": "only reads: shares one stack with any number of tests",
    "stateful": "changes state: has a stack to itself, which is reset afterwards (the default)",
    "module_cleanup": "the tests of the module share one stack to themselves, reset at its end",
    "reset_leases": "before the test, the stacks that docker_services and stack_factory hold are "
    "reset",
    "stack(name, services)": "which of the declared stacks the test uses, and which services of it "
    "(with what they depend on)",
    "results(inputs)": "the files that the test depends on, besides those that dockwright detects; "
    "its result may be reused even if it starts processes or uses docker_client",
    "dependency(name, depends, scope)": "runs after the tests in `depends`, as pytest-dependency "
    "names them",
    "order(index, before, after)": "runs in this order, as pytest-order names it",
}
"""The registered markers, each with one line for ``pytest --markers``."""

LEASING = ("docker_services", "stack_factory")
"""The fixtures through which those of a wider scope lease stacks."""

MODES = ("stateless", "stateful", "module_cleanup")


def requirement_of(item: pytest.Item) -> Requirement:
    """Return the requirement of a test; if it has several markers, the closest one counts.

    Raises:
        MarkerError: its markers contradict each other or are misused; names the test.
    """
    from dockwright.model import Requirement  # not before a test uses a stack: it takes 10 ms

    mode = _mode(item)
    module = item.getparent(pytest.Module)
    per_module = mode == "module_cleanup" and module is not None
    return Requirement(
        stack=_stack_name(item),
        exclusive=mode != "stateless",
        scope="module" if per_module else "function",
        holder=module.nodeid if per_module and module is not None else item.nodeid,
    )


def _mode(item: pytest.Item) -> str:
    found: dict[object, list[str]] = {}
    for node, mark in item.iter_markers_with_node():
        if mark.name in MODES:
            _check_bare(item, mark)
            found.setdefault(node, []).append(mark.name)
    if not found:
        return "stateful"
    closest = set(next(iter(found.values())))
    if len(closest) > 1:
        names = " and ".join(name for name in MODES if name in closest)
        raise MarkerError(
            f"{item.nodeid}: is marked {names} at once",
            hint="keep the one that is true: stateless only reads, stateful changes state, "
            "module_cleanup shares one stack among the tests of a module",
        )
    return closest.pop()


def _check_bare(item: pytest.Item, mark: pytest.Mark) -> None:
    if mark.args or mark.kwargs:
        raise MarkerError(
            f"{item.nodeid}: the {mark.name} marker takes no arguments",
            hint="choose a stack with @pytest.mark.stack('mail'), and how a service is reset with "
            "`x-dockwright: {reset: ...}` in the Compose file",
        )


def _stack_name(item: pytest.Item) -> str:
    """Return the name of the stack: the closest marker counts, and for a name the closest of it."""
    marks = list(item.iter_markers("stack"))
    for mark in marks:
        _check_stack(item, mark)
    name = next((mark.args[0] for mark in marks if mark.args), DEFAULT_STACK)
    services = marks[0].kwargs.get("services") if marks else None
    return selection(name, services) if services else name


def _check_stack(item: pytest.Item, mark: pytest.Mark) -> None:
    named = len(mark.args) == 1 and isinstance(mark.args[0], str)
    if mark.kwargs.keys() - {"services"} or not (named or (not mark.args and mark.kwargs)):
        raise MarkerError(
            f"{item.nodeid}: the stack marker takes one name, and services",
            hint="write @pytest.mark.stack('mail'), with a name from dockwright_stacks, or "
            "@pytest.mark.stack(services=['web'])",
        )
    if mark.kwargs:
        wrong = wrong_services(mark.kwargs["services"])
        if wrong:
            raise MarkerError(f"{item.nodeid}: the stack marker: {wrong[0]}", hint=wrong[1])


def wrong_services(services: object) -> tuple[str, str] | None:
    """Return what is wrong with a selection of services, and what to do; None: nothing is."""
    hint = "write services=['db', 'web']"
    if isinstance(services, str) or not isinstance(services, list | tuple | set | frozenset):
        return f"services must be a list of names, not {services!r}", hint
    if not services:
        return "services is empty", f"{hint}, or leave it out to start all services"
    for name in services:
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9._-]+", name):
            return f"{name!r} in services is not the name of a service", hint
    return None


def gets_ours(item: pytest.Item, name: str) -> bool:
    """Return whether the test gets dockwright's own fixture of that name, itself or through others.

    A suite may have a fixture, or a parameter, of the same name, which then replaces ours; ours
    still counts if that fixture requests it.
    """
    if name not in getattr(item, "fixturenames", ()):
        return False
    known = getattr(getattr(item, "_fixtureinfo", None), "name2fixturedefs", {})
    for definition in reversed(known.get(name, ())):  # the closest one first
        if definition.func.__module__.startswith(__package__):
            return True
        if name not in definition.argnames:
            return False
    return False


def uses_stack(item: pytest.Item) -> bool:
    """Return whether the test uses a stack through our ``stack`` fixture."""
    return gets_ours(item, "stack")


def needs_order(item: pytest.Item) -> bool:
    """Return whether the test has to wait for something: a stack, or other tests."""
    return uses_stack(item) or any(map(item.get_closest_marker, ("dependency", "order")))


def leases_by_fixture(item: pytest.Item) -> bool:
    """Return whether the test uses a stack that a fixture of a wider scope leases."""
    return any(gets_ours(item, name) for name in LEASING)


def demand(
    items: Iterable[pytest.Item], *, workers: int = 1, audited: bool = False
) -> dict[str, int]:
    """Return how many exclusive leases the tests will request, for each stack that they use.

    Args:
        items: the tests.
        workers: how many processes share the tests, of which each has collected them all.
        audited: whether tests do not share a stack either.
    """
    leases: dict[str, set[str]] = {}
    for item in items:
        if uses_stack(item):
            requirement = requirement_of(item)
            holders = leases.setdefault(requirement.stack, set())
            if requirement.exclusive or audited:
                holders.add(requirement.holder)
    return {stack: -(-len(holders) // workers) for stack, holders in leases.items()}


def check(item: pytest.Item, stacks: list[str]) -> Requirement:
    """Return the requirement of a test, after checking that its stack is declared.

    Raises:
        MarkerError: see `requirement_of`, or no such stack; lists those that are declared.
    """
    requirement = requirement_of(item)
    name, _ = selected(requirement.stack)
    if name not in stacks:
        raise MarkerError(
            f"{item.nodeid}: no stack {name!r} is declared",
            hint=f"the stacks are: {', '.join(stacks)}; "
            "declare more with dockwright_stacks = ['NAME=FILE']",
        )
    return requirement
