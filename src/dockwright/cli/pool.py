"""``dockwright pool``: look at the pool of stacks of a project, fill it, empty it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
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
from dockwright.pool.session import RunSession, load_options

Document = Mapping[str, Any]

_COUNTS = ("started", "resets", "replaced", "leases", "engine_calls")


@click.group(
    epilog="""\b
Examples:
  dockwright pool warm --for 30m    start the stacks before the first test run
  dockwright pool ls                what runs now, and who has it
  dockwright pool drain             remove what nobody uses
"""
)
def pool() -> None:
    """Manage the pool of stacks that the test runs of a project share."""


@pool.command("ls")
@root_option
@json_option
def ls(root: Path, as_json: bool) -> None:
    """Show the stacks of the pool: what they do, for how long, and who has them."""
    stacks = _statistics(root).get("stacks", [])
    if as_json:
        print_json(stacks)
    elif stacks:
        print_table(("STACK", "PROJECT", "STATE", "FOR", "AGE", "HELD BY"), _rows(stacks))


@pool.command("stats")
@root_option
@json_option
def stats(root: Path, as_json: bool) -> None:
    """Show what the pool did so far, as counts."""
    found = _statistics(root)
    if as_json:
        print_json({name: found[name] for name in _COUNTS if name in found})
    elif found:
        rows = [(name.replace("_", " "), str(found[name])) for name in _COUNTS]
        print_table(("COUNT", "SO FAR"), [*rows, ("stacks", str(len(found["stacks"])))])


@pool.command("warm")
@click.argument("stacks", nargs=-1, metavar="[STACK]...")
@click.option(
    "--for",
    "for_s",
    type=duration,
    default="10m",
    show_default=True,
    metavar="DURATION",
    help="How long they stay when no run uses them.",
)
@root_option
@json_option
def warm(stacks: Sequence[str], for_s: float, root: Path, as_json: bool) -> None:
    """Start stacks and have them wait for the next test run; default: all declared ones."""
    session = _session(root)
    client = PoolClient(session.pool_options())
    try:
        for name in (names := _chosen(stacks, session)):
            client.declare(name, load_options(session.settings, name, os.environ))
            client.prepare(name, exclusive=0)
        for name in names:
            requirement = Requirement(name, exclusive=False, scope="session", holder="pool warm")
            timeout_s = session.settings.start_timeout * 2
            client.release(client.acquire(requirement, timeout_s=timeout_s))
        client.keep_for(for_s)
        found = client.statistics() or {}
    finally:
        client.close()
    if as_json:
        print_json(found["stacks"])
    else:
        note(f"{counted(len(names), 'stack')} ready, kept for {age(for_s)}: {', '.join(names)}")


@pool.command("drain")
@root_option
@json_option
def drain(root: Path, as_json: bool) -> None:
    """Remove the stacks that nobody uses; with the last user the pool ends."""
    client = _client(root)
    before: Sequence[Document] = []
    if client is not None:
        before = (client.statistics() or {}).get("stacks", [])
        client.drain()
        for problem in client.close().problems:
            note(f"problem: {problem}")
    used = [each for each in before if each["holders"]]
    if as_json:
        print_json({"removed": len(before) - len(used), "in_use": len(used)})
    elif client is not None:
        rest = f"; {counted(len(used), 'stack')} in use" if used else ""
        note(f"removed {counted(len(before) - len(used), 'stack')}{rest}")


def _session(root: Path) -> RunSession:
    return RunSession(project_settings(root, engine_url()), os.environ)


def _client(root: Path) -> PoolClient | None:
    """Return a connection to the broker; None, and a word about it, where none runs."""
    try:
        return PoolClient(_session(root).pool_options(), start=False)
    except NoBrokerError:
        note("no pool: no test run of this project is under way, and none keeps its stacks warm")
        return None


def _statistics(root: Path) -> Document:
    client = _client(root)
    if client is None:
        return {}
    try:
        return client.statistics() or {}
    finally:
        client.close()


def _chosen(names: Sequence[str], session: RunSession) -> list[str]:
    """Return the stacks to start: those named, else all, the default one where it has a file.

    Raises:
        UnknownServiceError: one is not declared; lists those that are.
        ComposeError: none is declared.
    """
    settings = session.settings
    for name in names:
        if name not in session.stack_names:
            raise UnknownServiceError(
                f"no stack {name!r} is declared",
                hint=f"the stacks are: {', '.join(session.stack_names)}",
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


def _rows(stacks: Sequence[Document]) -> list[tuple[str, ...]]:
    return [
        (
            each["stack"],
            each["project"],
            each["state"],
            age(each["for_s"]),
            age(each["age_s"]),
            ", ".join(each["holders"]) or "-",
        )
        for each in stacks
    ]
