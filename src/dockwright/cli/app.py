"""The ``dockwright`` command itself: global options, and the module of each command."""

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
    """A command that is imported only when it is run.

    Attributes:
        place: ``module:attribute`` of the command.
        help: its line in the list of commands.
    """

    place: str
    help: str


class LazyGroup(click.Group):
    """A group whose ``--help`` does not import its commands.

    Args:
        lazy: its commands by name, in the order of the list.
    """

    def __init__(self, *arguments: Any, lazy: Mapping[str, Lazy], **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Return the names of the commands."""
        return list(self.lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import and return the command with this name, or None if there is no such command."""
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
            UsageError: there is no such command; lists the existing ones.
        """
        if args[0] not in self.lazy and not args[0].startswith("-"):
            raise UsageError(
                f"{ctx.command_path} has no command {args[0]!r}",
                hint=f"available commands: {', '.join(self.lazy)}",
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
    """The options before the name of the command.

    Attributes:
        engine: the URL of the engine; empty: the engine that the docker command uses.
    """

    engine: str


COMMANDS: Mapping[str, Lazy] = {
    "init": Lazy("dockwright.cli.init:init", "Set up a project: settings, and the next steps."),
    "stack": Lazy("dockwright.cli.stack:stack", "Manage a long-lived stack."),
    "pool": Lazy("dockwright.cli.pool:pool", "Manage the pool of stacks that test runs share."),
    "cache": Lazy("dockwright.cli.cache:cache", "List and remove cached baselines."),
    "runs": Lazy("dockwright.cli.runs:runs", "Show, compare and export recorded test runs."),
    "markers": Lazy(
        "dockwright.cli.markers:markers", "Find tests with the wrong marker, and correct them."
    ),
    "plan": Lazy("dockwright.cli.plan:plan", "Predict how long the suite takes elsewhere."),
    "profile": Lazy(
        "dockwright.cli.profile:profile",
        "Find out where any test suite spends its time.",
    ),
    "isolate": Lazy(
        "dockwright.cli.isolate:isolate",
        "Run a suite with an engine and a home directory for each worker.",
    ),
    "doctor": Lazy("dockwright.cli.doctor:doctor", "Check that stacks can run on this machine."),
    "clean": Lazy("dockwright.cli.clean:clean", "Remove what killed test runs left behind."),
}


@click.group(
    cls=LazyGroup,
    lazy=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="For help on a command: dockwright COMMAND --help",
)
@click.version_option(package_name="dockwright", message="dockwright %(version)s")
@click.option(
    "--engine",
    metavar="URL",
    default="",
    envvar="DOCKWRIGHT_ENGINE",
    help="URL of the engine, such as unix:///run/user/1000/docker.sock or ssh://me@host.  "
    "[default: DOCKER_HOST, the docker CLI's context, or one of the usual sockets]",
)
@click.option("-v", "--verbose", count=True, help="Log to standard error (-vv: debug messages).")
@click.pass_context
def dockwright(ctx: click.Context, engine: str, verbose: int) -> None:
    """Run stacks from Compose files: fast, isolated, and with nothing left behind."""
    level = (logging.WARNING, logging.INFO, logging.DEBUG)[min(verbose, 2)]
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("dockwright").setLevel(level)
    ctx.obj = GlobalOptions(engine)
