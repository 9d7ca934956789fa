"""What a command line is: docker, compose, a sleep; and how it is shown without its secrets."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath

_SHELLS = frozenset({"sh", "bash", "dash", "zsh", "ksh", "ash"})
_ENGINES = frozenset({"docker", "podman", "nerdctl"})
_COMPOSES = frozenset({"docker-compose", "podman-compose", "compose"})
_PREFIXES = frozenset({"sudo", "env", "timeout", "nice", "time", "exec", "xargs"})
_VALUED = frozenset(
    {"-f", "--file", "-p", "--project-name", "--profile", "--env-file", "--project-directory"}
    | {"-H", "--host", "-c", "--context", "--config", "-l", "--log-level"}
    | {"--ansi", "--parallel", "--progress"}
)
"""Options before an action that have a value."""

_SEPARATORS = frozenset({"&&", "||", ";", "|", "&", "\n"})
_IN_TURN = frozenset({"&&", ";", "\n"})
_REDIRECTION = re.compile(r"\d?>&\d|&>>?")
_WORDLESS = "a command without words"
_REMOVING = frozenset({"down", "rm", "remove", "rmi", "kill", "stop", "prune"})
_SHOWN_WORDS = 6
_SLEEP = re.compile(r"sleep (\d+\.?\d*|\.\d+)([smh]?)")


@dataclass(frozen=True, slots=True)
class Command:
    """One command line.

    Attributes:
        cause: ``sleep``, ``compose``, ``docker``, ``pull``, ``statistics`` or ``subprocess``.
        action: what a docker or compose command does: ``up``, ``rm``, ``volume rm``.
        shown: the line for people: program, action and flags, no values.
        arguments: what follows the action; for looking for names in them.
        removes: whether it takes something away.
        project: what ``-p`` says.
        in_turn: whether its line waits for it, if all goes well.
        asleep_s: how long the line sleeps beside this command, as it says itself.
        asleep_first: whether it does so before the command.
    """

    cause: str
    action: str
    shown: str
    arguments: tuple[str, ...] = ()
    removes: bool = False
    project: str = ""
    in_turn: bool = True
    asleep_s: float = 0.0
    asleep_first: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """What may be a name among its arguments; none where the shell was to find them."""
        words = tuple(word for word in self.arguments if not word.startswith("-"))
        return () if any("$" in word or "`" in word for word in words) else words


def read_command(argv: Sequence[str], *, shell: bool = False) -> Command:
    """Return what a command line does.

    Args:
        argv: its words.
        shell: whether the only word is a line for the shell.
    """
    line = [
        replace(_simple(words), in_turn=in_turn)
        for words, in_turn in _commands(list(argv), shell=shell)
        if words
    ]
    for wanted in ("compose", "docker", "pull", "statistics", "sleep"):
        found = [command for command in line if command.cause == wanted]
        if found:
            chosen = max(found, key=lambda command: command.removes)  # `ps -q | xargs rm` removes
            return _with_sleeps(chosen, line)
    return _with_sleeps(line[0], line) if line else Command("subprocess", "", _WORDLESS)


def _with_sleeps(chosen: Command, line: Sequence[Command]) -> Command:
    """Add the sleeps of a command line to its main command."""
    sleeps_s = [_seconds(each) for each in line if each is not chosen]
    return replace(chosen, asleep_s=sum(sleeps_s), asleep_first=_seconds(line[0]) > 0)


def _seconds(command: Command) -> float:
    """Return how long a ``sleep`` takes; 0 where it is none, or does not say so."""
    said = _SLEEP.fullmatch(command.shown)
    if said is None or not command.in_turn:
        return 0.0
    return float(said[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[said[2]]


def _commands(argv: list[str], *, shell: bool) -> Iterator[tuple[list[str], bool]]:
    """Yield the commands of a line, and whether each is waited for and not left out."""
    line = argv[0] if shell or (len(argv) == 1 and " " in argv[0]) else _shell_line(argv)
    if line is None:
        yield argv, True
        return
    line = _REDIRECTION.sub(" ", line)
    try:
        lexer = shlex.shlex(line, posix=True, punctuation_chars=";&|\n")
        lexer.whitespace = " \t\r"
        words = list(lexer)
    except ValueError:
        words = line.split()  # not a line that we can read: an open quote, a here document
    one: list[str] = []
    in_turn = True
    for word in (*words, ";"):
        if word in _SEPARATORS:
            yield one, in_turn and word in _IN_TURN
            one, in_turn = [], word in _IN_TURN
        else:
            one.append(word)


def _shell_line(argv: Sequence[str]) -> str | None:
    if PurePath(argv[0]).name not in _SHELLS if argv else True:
        return None
    flags = [at for at, word in enumerate(argv[:4]) if re.fullmatch(r"-\w*c", word)]
    return argv[flags[0] + 1] if flags and len(argv) > flags[0] + 1 else None


def _simple(words: list[str]) -> Command:
    while len(words) > 1 and (words[0] in _PREFIXES or re.match(r"\w+=|-|\d+[smh]?$", words[0])):
        words = words[1:]
    program = PurePath(words[0]).name
    if program == "sleep":
        return Command("sleep", "", f"sleep {words[1]}" if len(words) > 1 else "sleep")
    if program in _COMPOSES:
        return _compose(program, words[1:])
    if program in _ENGINES:
        rest = _after_options(words[1:])
        if rest[:1] == ["compose"]:
            return _compose(f"{program} compose", rest[1:])
        return _docker(program, rest)
    return Command("subprocess", "", _shown(program, [], words[1:]))


def _compose(program: str, words: list[str]) -> Command:
    project = next(
        (words[at + 1] for at, word in enumerate(words[:-1]) if word in ("-p", "--project-name")),
        next((word.split("=", 1)[1] for word in words if word.startswith("--project-name=")), ""),
    )
    rest = _after_options(words)
    action = rest[0] if rest else ""
    return Command(
        cause="pull" if action == "pull" else "compose",
        action=action,
        shown=_shown(program, rest[:1], rest[1:]),
        arguments=tuple(rest[1:]),
        removes=action in ("down", "rm", "kill", "stop"),
        project=project,
    )


def _docker(program: str, words: list[str]) -> Command:
    grouped = words[:1] and words[0] in ("container", "image", "network", "volume", "system")
    action = words[: 2 if grouped else 1]
    cause = "docker"
    if action[-1:] == ["pull"]:
        cause = "pull"
    elif action[-1:] == ["stats"]:
        cause = "statistics"
    return Command(
        cause=cause,
        action=" ".join(action),
        shown=_shown(program, action, words[len(action) :]),
        arguments=tuple(words[len(action) :]),
        removes=bool(action) and action[-1] in _REMOVING,
    )


def _after_options(words: list[str]) -> list[str]:
    """Skip options that stand before an action, with their values."""
    rest = list(words)
    while rest and rest[0].startswith("-"):
        valued = rest[0] in _VALUED
        rest = rest[2 if valued else 1 :]
    return rest


def _shown(program: str, action: Sequence[str], arguments: Sequence[str]) -> str:
    """A value may be a secret: only what begins with a dash is shown, up to its equals sign."""
    flags = [word.partition("=")[0] for word in arguments if re.match(r"--?[a-zA-Z]", word)]
    words = [program, *action, *flags]
    return " ".join(words[:_SHOWN_WORDS]) + (" ..." if len(words) > _SHOWN_WORDS else "")
