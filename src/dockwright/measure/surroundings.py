"""Which source is tested, and on which machine."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

from dockwright.measure.record import Git, Machine

_GIT_TIMEOUT_S = 2.0
"""A dirty flag is not worth more; in a huge work tree it stays unknown."""


class GitQuestion:
    """Asks git about a work tree in the background: it is asked at the begin of a run.

    Args:
        root: a directory in the work tree.
    """

    def __init__(self, root: Path) -> None:
        command = ["git", "--no-optional-locks", "status", "--porcelain=v2", "--branch"]
        self._process: subprocess.Popen[str] | None = None
        try:
            self._process = subprocess.Popen(
                [*command, "--untracked-files=no"],
                cwd=root,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                errors="replace",
            )
        except OSError:
            return  # no git here

    def answer(self) -> Git:
        """Return what git says; nothing where there is no work tree, or git takes too long."""
        if self._process is None:
            return Git()
        try:
            output, _ = self._process.communicate(timeout=_GIT_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
            return Git()
        lines = output.splitlines()
        heads = dict(line[2:].split(" ", 1) for line in lines if line.startswith("# branch."))
        if self._process.returncode or not heads:
            return Git()
        return Git(
            revision=heads.get("branch.oid", ""),
            branch=heads.get("branch.head", ""),
            dirty=any(not line.startswith("#") for line in lines),
        )


def this_machine() -> Machine:
    """Return where this process runs."""
    return Machine(
        cpu=_cpu(),
        cores=os.cpu_count() or 0,
        memory_bytes=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        kernel=platform.release(),
        os=platform.system(),
        python=platform.python_version(),
    )


def _cpu() -> str:
    """Return the processor's name; `platform.processor` does not know it on Linux."""
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
