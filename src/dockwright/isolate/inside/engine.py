"""The engine of a world: ``dockerd`` at the usual socket, started when it is needed."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from dockwright.isolate.inside import kernel, watch
from dockwright.isolate.inside.plan import Plan

SOCKET = "/run/docker.sock"
_CONFIG = "/run/dockwright/daemon.json"
_SYSTEM = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_FIRST_PASSED = 3
_BACKLOG = 128
_SHOWN_BYTES = 1500


class WorldEngine:
    """An engine that listens before it runs: who connects early waits, and nobody has to poll.

    Args:
        plan: of the world: which daemon, and its settings.
        log: the descriptor of the file that its messages go to.
        notes: the descriptor of the file for the images that are used; None: there is none.

    Attributes:
        pid: its process; 0: it was not started yet.
        listening: the socket that its clients connect to.
    """

    def __init__(self, plan: Plan, log: int, notes: int | None) -> None:
        self.pid = 0
        self._dockerd = plan.dockerd
        self._rootless = plan.rootless
        self._log = log
        self._notes = notes
        self.listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listening.bind(SOCKET)
        Path(SOCKET).chmod(0o660)
        self.listening.listen(_BACKLOG)
        Path(_CONFIG).write_text(plan.settings)

    def start(self) -> None:
        """Start the daemon, in a session of its own: Ctrl-C is not for it."""
        self.pid = os.fork()
        if self.pid:
            if self._notes is not None:
                watch.start(SOCKET, self._notes)
            return
        try:
            os.setsid()
            kernel.restore_signals()
            nowhere = os.open(os.devnull, os.O_RDONLY)
            listening = os.dup(self.listening.fileno())
            for source, target in ((nowhere, 0), (self._log, 1), (self._log, 2)):
                os.dup2(source, target)
            os.dup2(listening, _FIRST_PASSED)
            os.set_inheritable(_FIRST_PASSED, True)  # noqa: FBT003 - the protocol of systemd's socket activation
            os.execve(self._dockerd, self._arguments(), self._environment())
        finally:
            os._exit(127)

    def why_ended(self, code: int) -> str:
        """Return why the world ends with its engine, with the end of the engine's log."""
        size = os.fstat(self._log).st_size
        text = os.pread(self._log, _SHOWN_BYTES, max(0, size - _SHOWN_BYTES))
        tail = text.decode(errors="replace").strip()
        said = f"; the end of its log:\n{tail}" if tail else ""
        return f"the engine of a world exited with code {code}, so the world ends{said}"

    def _arguments(self) -> list[str]:
        from dockwright.isolate.inside.view import data_root

        return [
            self._dockerd,
            "--config-file", _CONFIG,
            "--host", "fd://",
            "--data-root", str(data_root()),
            "--storage-driver", "overlay2",
            "--log-level", "warn",
            *(["--rootless"] if self._rootless else []),
        ]  # fmt: skip

    def _environment(self) -> dict[str, str]:
        beside = str(Path(self._dockerd).parent)
        path = os.pathsep.join((beside, os.environ.get("PATH", ""), _SYSTEM))
        kept = {name: text for name, text in os.environ.items() if "proxy" in name.lower()}
        passed = {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}
        if self._rootless:  # where it keeps what it otherwise keeps in /run and /etc
            passed |= {"XDG_RUNTIME_DIR": "/run", "XDG_CONFIG_HOME": "/run/dockwright"}
        return {**kept, **passed, "PATH": path, "HOME": "/root"}
