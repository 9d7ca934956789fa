"""The rivals' tools: Docker Compose, and an environment with the rivals' packages from PyPI."""

from __future__ import annotations

import hashlib
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

REQUIREMENTS = Path(__file__).parent / "rivals" / "requirements.txt"


def compose_command(root: Path) -> tuple[str, ...]:
    """Return the command of a Docker Compose v2, as `scripts/ensure-compose` finds or gets it.

    Args:
        root: the repository's root.

    Returns:
        The command's words; none where there is no Compose.
    """
    script = root / "scripts" / "ensure-compose"
    found = subprocess.run([script], stdout=subprocess.PIPE, text=True, timeout=300, check=False)
    return () if found.returncode else tuple(shlex.split(found.stdout.strip()))


def ensure_environment(directory: Path, say: Callable[[str], None]) -> Path:
    """Make the rivals' virtual environment if need be, and return its interpreter.

    Args:
        directory: the environment's own directory, made anew when the pinned versions change.
        say: is told that it takes a while.
    """
    python = directory / "bin" / "python"
    stamp = directory / "requirements.sha256"
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
    if not (stamp.exists() and stamp.read_text() == wanted):
        say("installing the rivals into an environment of their own")
        shutil.rmtree(directory, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", directory], check=True, timeout=120)
        subprocess.run(
            [python, "-m", "pip", "install", "-qq", "-r", REQUIREMENTS],
            check=True,
            timeout=400,
            stdout=sys.stderr,
        )
        stamp.write_text(wanted)
    return python
