"""Compose command lines: what they ask for, and the real Compose for what is not ours to do."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dockwright.errors import StackError, UsageError

STARTING = frozenset({"up", "down", "build", "pull", "rm"})
"""What docker_setup does with them is done when a stack is leased."""

REMOVING = frozenset({"down", "rm", "stop", "kill"})
"""What docker_cleanup does with them is done when the lease has ended."""

_MAKING = frozenset({"run", "create", "scale", "watch", "up"})
_FLAGS_WITH_VALUE = frozenset(
    {
        "--ansi",
        "--env-file",
        "--file",
        "--parallel",
        "--profile",
        "--progress",
        "--project-directory",
        "--project-name",
        "-f",
        "-p",
    }
)


@dataclass(frozen=True, slots=True)
class Parsed:
    """A Compose command line: what it does, and the global flags that say which project."""

    verb: str
    profiles: tuple[str, ...]
    env_files: tuple[str, ...]


def parse(subcommand: str) -> Parsed:
    """Read what follows ``docker compose``, as far as we need to understand it."""
    found: dict[str, list[str]] = {"--profile": [], "--env-file": []}
    words = iter(shlex.split(subcommand))
    verb = ""
    for word in words:
        if not word.startswith("-"):
            verb = word
            break
        flag, equals, value = word.partition("=")
        if flag in _FLAGS_WITH_VALUE:
            found.setdefault(flag, []).append(value if equals else next(words, ""))
    return Parsed(verb, tuple(found["--profile"]), tuple(found["--env-file"]))


def flags_of(command: str) -> str:
    """Return what follows ``docker compose`` in `docker_compose_command`."""
    words = shlex.split(command)
    first = next((index for index, word in enumerate(words) if word.startswith("-")), len(words))
    return shlex.join(words[first:])


class Compose:
    """Runs the commands that dockwright does not do itself through the real Compose.

    Args:
        command: how Compose is called, e.g. ``docker compose``.
        files: the Compose files.
        project: the project name of the stack.
        environ: for the command; says which engine.
    """

    def __init__(
        self, command: str, files: Sequence[Path], project: str, environ: Mapping[str, str]
    ) -> None:
        self._command = command
        self._files = files
        self._project = project
        self._environ = environ

    def execute(
        self, subcommand: str, success_codes: Iterable[int] = (0,), *, ignore_stderr: bool = False
    ) -> bytes:
        """Run ``docker compose ... SUBCOMMAND`` in a shell; return what it printed.

        Raises:
            StackError: it failed; with pytest-docker's text.
            UsageError: it would make containers beside the stack, or Compose is not there.
        """
        verb = parse(subcommand).verb
        if verb in _MAKING:
            raise UsageError(
                f"`{subcommand}`: `{verb}` would make containers that no pool knows of",
                hint="dockwright starts and removes the whole stack itself: make it a service of "
                "the Compose file, with depends_on (condition: service_completed_successfully)",
            )
        files = " ".join(f"-f {shlex.quote(str(file))}" for file in self._files)
        line = f"{self._command} {files} -p {shlex.quote(self._project)} {subcommand}"
        done = self._run(line, subprocess.DEVNULL if ignore_stderr else subprocess.STDOUT)
        if done.returncode in success_codes:
            return done.stdout
        if self._run(f"{self._command} version", subprocess.STDOUT).returncode:
            raise UsageError(
                f"`{subcommand}` needs Docker Compose, but `{self._command}` does not run here",
                hint="dockwright does up, down, build and pull itself; for other commands of "
                "docker_setup and docker_cleanup install Compose, or do without them",
            )
        text = done.stdout.decode(errors="replace")
        raise StackError(f'Command {line} returned {done.returncode}: """{text}""".')

    def _run(self, line: str, stderr: int) -> subprocess.CompletedProcess[bytes]:
        # By a shell and without a limit of time, as pytest-docker does: suites redirect output.
        return subprocess.run(  # noqa: S602
            line, shell=True, check=False, stdout=subprocess.PIPE, stderr=stderr, env=self._environ
        )
