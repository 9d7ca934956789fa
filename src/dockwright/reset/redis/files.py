"""The files that a Redis server writes by itself: its dump, and its append-only files."""

from __future__ import annotations

import re
from collections.abc import Mapping

from dockwright.errors import EngineError, StackError
from dockwright.reset.base import Resettable

_LIST = 'cd "$1" && ls -A'
_REMOVE = 'cd "$1" && shift && rm -rf -- "$@"'
_WRITTEN = re.compile(r".*\.rdb|temp-.*\.aof")  # `CONFIG SET dbfilename` names the dump


class Files:
    """The files in the server's directory at the baseline.

    Args:
        service: the service; its image has to have a shell.
        config: the values of ``CONFIG GET``.

    Raises:
        StackError: the directory cannot be listed.
    """

    def __init__(self, service: Resettable, config: Mapping[bytes, bytes]) -> None:
        self._service = service
        self._directory = _text(config, b"dir")
        self._dump = _text(config, b"dbfilename")
        self._append_only = (_text(config, b"appendfilename"), _text(config, b"appenddirname"))
        # Where append-only files are switched on, they are the server's memory.
        self._own = set(self._append_only) if config.get(b"appendonly") == b"no" else set()
        self._baseline = self._names()

    @property
    def written(self) -> re.Pattern[str]:
        """The names that the server itself writes into its directory, while its settings are so."""
        single, directory = self._append_only
        names = (self._dump, single, f"{directory}/")
        return re.compile("|".join((*map(re.escape, filter(None, names)), r"temp-.*\.(rdb|aof)")))

    @property
    def has_dump(self) -> bool:
        """Whether there was a dump that a restart would load."""
        return self._dump in self._baseline

    def remove_new(self) -> None:
        """Remove what the server has written since the baseline.

        Raises:
            StackError: it cannot be removed.
        """
        new = [
            name
            for name in self._names() - self._baseline
            if name in self._own or _WRITTEN.fullmatch(name)
        ]
        if new:
            self._run(_REMOVE, *new)

    def _names(self) -> frozenset[str]:
        return frozenset(self._run(_LIST).splitlines())

    def _run(self, script: str, *arguments: str) -> str:
        command = ["sh", "-c", script, "sh", self._directory, *arguments]
        try:
            result = self._service.engine.exec(self._service.container(), command, user="0")
        except EngineError as failure:
            raise StackError(f"its files cannot be accessed: {failure.message}") from failure
        if result.exit_code:
            said = result.stderr.decode(errors="replace").strip()
            raise StackError(f"its files cannot be accessed: {said}")
        return result.stdout.decode(errors="surrogateescape")


def _text(config: Mapping[bytes, bytes], name: bytes) -> str:
    return config.get(name, b"").decode(errors="surrogateescape")
