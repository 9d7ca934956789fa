"""The ``dockwright`` command itself: global options, and which module each command lives in."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import click

from dockwright.errors import UsageError


@dataclass(frozen=True, slots=True)
class Lazy:
    """A command that is imported when it is run.

    Attributes:
        place: ``module:attribute`` of the command.
        help: the line for the list of commands.
    """

    place: str
    help: str


class LazyGroup(click.Group):
    """A group whose ``--help`` imports none of its commands.

    Args:
        lazy: its commands by name, in the order in which they are listed.
    """

    def __init__(self, *arguments: Any, lazy: Mapping[str, Lazy], **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Return the names of the commands."""
        return list(self.lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import and return the command of this name; None where there is none."""
        if cmd_name not in self.lazy:
            return None
        module, _, attribute = self.lazy[cmd_name].place.partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that the command line names.

        Raises:
            UsageError: there is none; lists those that there are.
        """
        if args[0] not in self.lazy and not args[0].startswith("-"):
            raise UsageError(
                f"{ctx.command_path} has no command {args[0]!r}",
                hint=f"the commands are: {', '.join(self.lazy)}",
            )
        return super().resolve_command(ctx, args)

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002
        formatter: click.HelpFormatter,
    ) -> None:
        """Write the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, lazy.help) for name, lazy in self.lazy.items()])


@dataclass(frozen=True, slots=True)
class GlobalOptions:
    """What stands before the command.

    Attributes:
        engine: the URL of the engine, or an empty text for the one that the docker command uses.
    """

    engine: str


COMMANDS: Mapping[str, Lazy] = {
    "stack": Lazy("dockwright.cli.stack:stack", "Manage a long-lived stack."),
    "pool": Lazy("dockwright.cli.pool:pool", "Manage the pool of stacks of the test runs."),
    "cache": Lazy("dockwright.cli.cache:cache", "Manage the kept baselines."),
    "runs": Lazy("dockwright.cli.runs:runs", "Look at recorded test runs."),
    "profile": Lazy(
        "dockwright.cli.profile:profile",
        "Say where the time of any suite goes, and what to change.",
    ),
    "doctor": Lazy("dockwright.cli.doctor:doctor", "Check that stacks can run here."),
    "clean": Lazy("dockwright.cli.clean:clean", "Remove what dead test runs left behind."),
}


@click.group(
    cls=LazyGroup,
    lazy=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Each command explains itself: dockwright COMMAND --help",
)
@click.version_option(package_name="dockwright", message="dockwright %(version)s")
@click.option(
    "--engine",
    metavar="URL",
    default="",
    envvar="DOCKWRIGHT_ENGINE",
    help="The engine, e.g. unix:///run/user/1000/docker.sock or ssh://me@host. "
    "Default: DOCKER_HOST, the docker CLI's context, the usual sockets.",
)
@click.option("-v", "--verbose", count=True, help="Tell on standard error what is done; -vv: all.")
@click.pass_context
def dockwright(ctx: click.Context, engine: str, verbose: int) -> None:
    """Run stacks from Compose files: fast, isolated, nothing left behind."""
    level = (logging.WARNING, logging.INFO, logging.DEBUG)[min(verbose, 2)]
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("dockwright").setLevel(level)
    ctx.obj = GlobalOptions(engine)
