"""``--help`` and ``--version``: complete, and cheap."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import click
import pytest

from dockwright import __version__
from dockwright.cli.app import LazyGroup, dockwright
from dockwright.cli.errors import run


def commands(
    command: click.Command = dockwright, *path: str
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Yield every command with its words."""
    yield path, command
    if isinstance(command, LazyGroup):
        context = click.Context(command)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from commands(inner, *path, name)


@pytest.mark.parametrize(("path", "command"), list(commands()))
def test_every_command_has_help(
    path: tuple[str, ...], command: click.Command, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*path, "--help"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith(f"Usage: {' '.join(['dockwright', *path])} ")
    assert err == ""
    assert isinstance(command, click.Group) or "  Examples:\n    dockwright " in out


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out == f"dockwright {__version__}\n"


def test_without_a_command_help_is_shown_with_exit_code_2(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run([]) == 2
    out, err = capsys.readouterr()
    assert "Usage: dockwright " in out + err


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["stack", "--help"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    script = (
        "import sys\nfrom dockwright.cli.errors import run\n"
        f"assert run({arguments!r}) == 0\n"
        "heavy = {'docker', 'yaml', 'rich', 'requests', 'psutil', 'pytest'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run(
        [sys.executable, "-c", script], check=True, timeout=30, stdout=subprocess.DEVNULL
    )
