"""PostgreSQL in a disposable copy: it need not wait for the disk, and a crash empties tables.

What a process has written stays written when the process is killed: the kernel has it. A server
that waits for the disk guards against the end of the machine, which no disposable copy outlives.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from dockwright.reset.base import Resettable
from dockwright.reset.recognise import server_of

_SERVER = "postgres"
_INITDB = "POSTGRES_INITDB_ARGS"
_UNLOGGED = re.compile(r"/base/\d+/\d+_init$")
"""The file that PostgreSQL keeps for each unlogged table or index, to empty it after a crash."""

_SPARE_THE_DISK = """
[ -f postgresql.auto.conf ] || exit 0
for name in fsync autovacuum; do
  grep -qsE "^[[:space:]]*$name[[:space:]]*=" postgresql.conf postgresql.auto.conf ||
    echo "$name = 'off'" >>postgresql.auto.conf
done
"""


class DisposablePostgres:
    """The PostgreSQL of the official image and of images that are built from it."""

    def without_fsync(self, body: Mapping[str, Any], image: Mapping[str, Any]) -> dict[str, Any]:
        """Return the container's body with a server that does not wait for the disk.

        Nor does it tidy up by itself: what it would write meanwhile, a reset would have to undo.
        A command that sets ``fsync`` itself stays as it is; so does ``autovacuum``.
        """
        command = _command(body, image)
        if command is None or any("fsync" in word for word in command):
            return dict(body)
        settings = ["-c", "fsync=off"]
        if not any("autovacuum" in word for word in command):
            settings += ["-c", "autovacuum=off"]
        return {**body, "Cmd": [*command, *settings], "Env": _environment(body, image)}

    def spare_the_disk(self, service: Resettable) -> None:
        """Write into the data directory of a running server what its command line does not say.

        It holds from the server's next start on: one that starts from a copy of this directory
        would first wait until each file in it is on the disk.
        """
        config = service.engine.inspect_container(service.container())["Config"]
        words = [*(config.get("Entrypoint") or ()), *(config.get("Cmd") or ())]
        server = None if any("fsync" in word for word in words) else server_of(service, "postgres")
        if server is not None and server.program.directory:
            service.engine.exec(
                service.container(),
                ["sh", "-c", _SPARE_THE_DISK],
                user="0",
                workdir=server.program.directory,
            )

    def lost_in_a_crash(self, paths: Iterable[str]) -> str:
        """Return what the server would lose from a volume with these paths; empty: nothing."""
        unlogged = any(map(_UNLOGGED.search, paths))
        return "PostgreSQL would empty its unlogged tables" if unlogged else ""


def _command(body: Mapping[str, Any], image: Mapping[str, Any]) -> list[str] | None:
    """Return the command line of the image's own server; None if it runs something else."""
    entrypoint = [] if "Entrypoint" in body else image.get("Entrypoint") or []
    if not entrypoint or PurePosixPath(entrypoint[-1]).name != "docker-entrypoint.sh":
        return None
    own: Sequence[str] = image.get("Cmd") or []
    command = list(body.get("Cmd") or own)
    if command and command[0].startswith("-") and list(own) == [_SERVER]:
        return [_SERVER, *command]
    return command if command and command[0] == _SERVER else None


def _environment(body: Mapping[str, Any], image: Mapping[str, Any]) -> list[str]:
    declared = list(body.get("Env") or ())
    given = dict(entry.partition("=")[::2] for entry in (*(image.get("Env") or ()), *declared))
    if f"{_INITDB}_FILE" in given:  # the image refuses both
        return declared
    others = [entry for entry in declared if entry.partition("=")[0] != _INITDB]
    return [*others, f"{_INITDB}={given.get(_INITDB, '')} -N".replace("= ", "=")]
