"""``dockwright pool``: show, fill and empty the pool of a project."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from dockwright._text import age, counted
from dockwright.cli.options import duration, engine_url, json_option, root_option
from dockwright.cli.output import note, print_json, print_table
from dockwright.cli.pytest_settings import project_settings
from dockwright.compose.loading import discover
from dockwright.errors import ComposeError, UnknownServiceError
from dockwright.model import Requirement
from dockwright.pool import NoBrokerError, PoolClient
from dockwright.pool.declared import load_options
from dockwright.pool.session import RunSession

Document = Mapping[str, Any]

_COUNTS = ("started", "resets", "replaced", "leases", "engine_calls")


@click.group(
    epilog="""\b
Examples:
  dockwright pool warm --for 30m    start stacks before the first test run
  dockwright pool ls                list the running stacks and their users
  dockwright pool drain             remove unused stacks
"""
)
def pool() -> None:
    """Manage the pool of stacks that test runs of a project share."""


@pool.command("ls")
@root_option
@json_option
def ls(root: Path, as_json: bool) -> None:
    """List the stacks of the pool: states, users, and how each service comes back."""
    stacks = _statistics(root).get("stacks", [])
    if as_json:
        print_json(stacks)
    elif stacks:
        print_table(("STACK", "PROJECT", "STATE", "FOR", "AGE", "USED BY"), _rows(stacks))
        if resets := list(dict.fromkeys(reset_rows(stacks))):
            print_table(("STACK", "SERVICE", "RECOGNISED", "RESET"), resets)


@pool.command("stats")
@root_option
@json_option
def stats(root: Path, as_json: bool) -> None:
    """Show how many stacks the pool has started, reset, replaced and leased."""
    found = _statistics(root)
    if as_json:
        print_json({name: found[name] for name in _COUNTS if name in found})
    elif found:
        rows = [(name.replace("_", " "), str(found[name])) for name in _COUNTS]
        print_table(("EVENT", "COUNT"), [*rows, ("stacks", str(len(found["stacks"])))])


@pool.command("warm")
@click.argument("stacks", nargs=-1, metavar="[STACK]...")
@click.option(
    "--for",
    "for_s",
    type=duration,
    default="10m",
    show_default=True,
    metavar="DURATION",
    help="How long to keep the stacks while no test run uses them.",
)
@root_option
@json_option
def warm(stacks: Sequence[str], for_s: float, root: Path, as_json: bool) -> None:
    """Start stacks (by default all declared ones) and keep them for the next test run."""
    session = _session(root)
    names = chosen(stacks, session)
    found = started(session, names, for_s=for_s)
    if as_json:
        print_json(found)
    else:
        note(f"{counted(len(names), 'stack')} ready, kept for {age(for_s)}: {', '.join(names)}")


def started(session: RunSession, names: Sequence[str], *, for_s: float = 0.0) -> Sequence[Document]:
    """Start stacks in the project's pool and wait until they can be used.

    Args:
        session: of the project.
        names: the declared stacks.
        for_s: how long to keep them, in seconds.

    Returns:
        All stacks of the pool, as `pool ls` shows them.
    """
    client = PoolClient(session.pool_options())
    try:
        for name in names:
            options = load_options(session.settings, name, os.environ)
            client.declare(name, options, session.ports_of(name))
            client.prepare(name, exclusive=0)
        for name in names:
            requirement = Requirement(name, exclusive=False, scope="session", holder="pool warm")
            timeout_s = session.settings.start_timeout * 2
            client.release(client.acquire(requirement, timeout_s=timeout_s))
        if for_s:
            client.keep_for(for_s)
        found: Sequence[Document] = (client.statistics() or {})["stacks"]
        return found
    finally:
        client.close()


@pool.command("drain")
@root_option
@json_option
def drain(root: Path, as_json: bool) -> None:
    """Remove the stacks that no test run uses; the pool ends when the last run does."""
    client = _client(root)
    before: Sequence[Document] = []
    if client is not None:
        before = (client.statistics() or {}).get("stacks", [])
        client.drain()
        for problem in client.close().problems:
            note(f"problem: {problem}")
    used = [stack for stack in before if stack["holders"]]
    if as_json:
        print_json({"removed": len(before) - len(used), "in_use": len(used)})
    elif client is not None:
        kept = f"; {counted(len(used), 'stack')} still in use" if used else ""
        note(f"removed {counted(len(before) - len(used), 'stack')}{kept}")


def _session(root: Path) -> RunSession:
    return RunSession(project_settings(root, engine_url()), os.environ)


def _client(root: Path) -> PoolClient | None:
    """Return a connection to the broker; if none is running, print that and return None."""
    try:
        return PoolClient(_session(root).pool_options(), start=False)
    except NoBrokerError:
        note("no pool: no test run of this project is running, and no stacks are kept warm")
        return None


def _statistics(root: Path) -> Document:
    client = _client(root)
    if client is None:
        return {}
    try:
        return client.statistics() or {}
    finally:
        client.close()


def chosen(names: Sequence[str], session: RunSession) -> list[str]:
    """Return the stacks to start: those named, else all that are declared.

    Raises:
        UnknownServiceError: a stack is not declared; lists the declared ones.
        ComposeError: no stack is declared.
    """
    settings = session.settings
    for name in names:
        if name not in session.stack_names:
            raise UnknownServiceError(
                f"unknown stack {name!r}",
                hint=f"the declared stacks are: {', '.join(session.stack_names)}",
            )
    if names:
        return list(names)
    try:
        _ = settings.compose or discover(settings.root, os.environ)
    except ComposeError:
        if not settings.stacks:
            raise
        return list(settings.stacks)
    return session.stack_names


_MANNERS = {"recreate": "new container", "nothing": "stays as it is"}


def reset_rows(stacks: Sequence[Document]) -> Iterator[tuple[str, ...]]:
    """Return for each service its stack, its name, what was recognised and how it comes back."""
    for stack in stacks:
        for name, each in stack.get("services", {}).items():
            manner = _MANNERS.get(each["reset"], each["reset"])
            manner = "kept unless it changed" if each.get("may_stay") else manner
            why = f" ({each['why']})" if each["why"] else ""
            yield (stack["stack"], name, each["recognised"] or "-", manner + why)


def _rows(stacks: Sequence[Document]) -> list[tuple[str, ...]]:
    return [
        (
            stack["stack"],
            stack["project"],
            stack["state"],
            age(stack["for_s"]),
            age(stack["age_s"]),
            ", ".join(stack["holders"]) or "-",
        )
        for stack in stacks
    ]
