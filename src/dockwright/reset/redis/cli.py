"""A conversation with the client of the image itself, which stays in the container meanwhile."""

from __future__ import annotations

import ast
import re
import secrets
from collections.abc import Iterator, Sequence
from typing import Any

from dockwright.errors import EngineError
from dockwright.reset.redis.session import (
    Access,
    Command,
    CommandError,
    ConnectionLostError,
    Reply,
    checked,
    executed,
    greet,
)

_CLIENT = (
    "for client in redis-cli valkey-cli keydb-cli; do"
    ' command -v $client >/dev/null && exec $client "$@"; done; exit 127'
)
_ESCAPED = [b"\\x%02x" % byte for byte in range(256)]
_REFUSED = "Could not connect to "
_INDEX = re.compile(r"^(?: *\d+[)~] )+")


class CliSession:
    """Speaks to redis-cli in its format for people, which quotes what the raw one does not."""

    def __init__(self, access: Access) -> None:
        self._mark = f"dockwright-{secrets.token_hex(8)}"
        user = ["--user", access.user] if access.user else []
        command = ["sh", "-c", _CLIENT, "sh", "--no-raw", "-p", str(access.port), *user]
        environment = {"REDISCLI_AUTH": access.password} if access.password else {}
        service = access.service
        try:
            self._exec = service.engine.exec_session(service.container(), command, env=environment)
        except EngineError as exc:
            raise ConnectionLostError(exc.message) from exc
        self._lines = self._read_lines(self._exec.output())
        greet(self)

    def call(self, *commands: Command) -> list[Reply]:
        """Send commands; see `Session`."""
        mark = _line(("ECHO", self._mark))
        self._write(b"".join(_line(command) + mark for command in commands))
        return checked(commands, [_reply(self._until_mark()) for _ in commands])

    def transaction(self, *commands: Command) -> list[Reply]:
        """Send commands as one transaction; see `Session`."""
        everything = [("MULTI",), *commands, ("EXEC",)]
        self._write(b"".join(map(_line, [*everything, ("ECHO", self._mark)])))
        lines: list[str] = []
        for line in self._until_mark():
            while line.startswith("QUEUED"):  # after INFO the client leaves out the line's end
                lines.append("QUEUED")
                line = line.removeprefix("QUEUED")
            if line:
                lines.append(line)
        queued = len(everything) - 1
        return executed(
            commands, [*(_reply([line]) for line in lines[:queued]), _reply(lines[queued:])]
        )

    def close(self) -> None:
        """End the connection."""
        self._exec.close()

    def _write(self, data: bytes) -> None:
        try:
            self._exec.write(data)
        except EngineError as exc:
            raise ConnectionLostError(exc.message) from exc

    def _until_mark(self) -> list[str]:
        lines: list[str] = []
        mark = f'"{self._mark}"'
        try:
            for line in self._lines:
                if line == mark:
                    break
                if line.startswith("(error) NOAUTH"):  # to the mark as well, so it never comes
                    raise CommandError(line.removeprefix("(error) "))
                if line.startswith(_REFUSED):  # it stays, and says so again at each command
                    raise ConnectionLostError(line)
                lines.append(line)
            else:
                raise ConnectionLostError(f"redis-cli in the container ended: {' '.join(lines)}")
        except EngineError as exc:
            raise ConnectionLostError(exc.message) from exc
        if not lines:
            raise ConnectionLostError("redis-cli in the container lost its server")
        return lines

    @staticmethod
    def _read_lines(output: Iterator[tuple[str, bytes]]) -> Iterator[str]:
        rest = b""
        for _, data in output:
            *lines, rest = (rest + data).split(b"\n")
            yield from (line.decode().removesuffix("\r") for line in lines)


def _line(command: Command) -> bytes:
    return b" ".join(_word(word) for word in command) + b"\n"


def _word(word: str | bytes | int) -> bytes:
    data = word if isinstance(word, bytes) else str(word).encode()
    if data and data.isalnum():
        return data
    return b'"' + b"".join(map(_ESCAPED.__getitem__, data)) + b'"'


def _reply(lines: Sequence[str]) -> Any:
    if lines[0].startswith(("(empty array)", "(empty list or set)")):
        return []
    if _INDEX.match(lines[0]):
        return [_scalar(_INDEX.sub("", line)) for line in lines]
    if len(lines) > 1:  # what the client never quotes: INFO
        return "\n".join(lines).encode()
    return _scalar(lines[0])


def _scalar(text: str) -> Any:
    if text.startswith('"'):
        return ast.literal_eval(f"b{text}")
    kind, _, value = text.partition(") ")
    if kind == "(integer":
        return int(value)
    if kind == "(error":
        return CommandError(value)
    return None if text == "(nil)" else text.encode()
