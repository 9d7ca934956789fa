"""A way out of a world's network, made by ``slirp4netns``: a process outside passes packets on.

What it reaches is what the machine reaches, except for the machine's own loopback.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from dockwright.isolate.inside import kernel

_INTERFACE = "tap0"
_NAME_SERVER = "10.0.2.3"
_NAMES = Path("/etc/resolv.conf")
_SEPARATED = _READY = b"1"


@dataclass
class WayOut:
    """Two processes that wait for each other: the world's first one, and the one outside.

    Attributes:
        program: the path of ``slirp4netns``.
        separated: a pipe: the network of the world exists.
        ready: a pipe: it has a way out.
    """

    program: str
    separated: tuple[int, int] = field(default_factory=os.pipe)
    ready: tuple[int, int] = field(default_factory=os.pipe)

    def open(self, first: int) -> None:
        """Start the process outside for the network of a process; it ends with this one."""
        if os.fork():
            for descriptor in (*self.separated, *self.ready):
                os.close(descriptor)
            return
        try:
            kernel.end_with_parent()
            kernel.restore_signals()
            os.close(self.separated[1])
            if os.read(self.separated[0], 1) != _SEPARATED:
                os._exit(1)
            nowhere = os.open(os.devnull, os.O_RDWR)
            for descriptor in range(3):
                os.dup2(nowhere, descriptor)
            os.set_inheritable(self.ready[1], True)  # noqa: FBT003 - Python's own
            os.execv(self.program, self._command(first))
        finally:
            os._exit(1)

    def wait(self, directory: int) -> None:
        """Wait inside until there is a way out, and ask its server for names.

        Args:
            directory: a descriptor of the directory for the file with the name server.

        Raises:
            OSError: there is none.
        """
        os.close(self.ready[1])
        os.write(self.separated[1], _SEPARATED)
        if os.read(self.ready[0], 1) != _READY:
            raise OSError(0, "slirp4netns did not connect the network")
        for descriptor in (*self.separated, self.ready[0]):
            os.close(descriptor)
        names = os.open(_NAMES.name, os.O_CREAT | os.O_RDWR, 0o644, dir_fd=directory)
        os.write(names, f"nameserver {_NAME_SERVER}\n".encode())
        place = _NAMES.resolve()
        if not place.exists():  # a link into /run, which is the world's own
            place.parent.mkdir(parents=True, exist_ok=True)
            place.touch()
        kernel.bind(f"/proc/self/fd/{names}", str(place))
        os.close(names)

    def _command(self, first: int) -> list[str]:
        return [
            self.program, "--configure", "--mtu=65520", "--disable-host-loopback",
            f"--ready-fd={self.ready[1]}", str(first), _INTERFACE,
        ]  # fmt: skip
