"""Describes the machine, without which no number means anything."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import psutil

from dockwright.engine import Engine


def describe(engine: Engine) -> dict[str, str]:
    """Return what a reader needs to judge the numbers by."""
    version, info = engine.version(), engine.info()
    return {
        "cpu": f"{_processor()}, {os.cpu_count()} cores",
        "memory": f"{psutil.virtual_memory().total / 1e9:.0f} GB",
        "kernel": f"{platform.system()} {platform.release()}",
        "engine": f"{version.kind} {version.server} ({info.get('Driver', 'unknown')})",
        "python": platform.python_version(),
        "load": f"{os.getloadavg()[0]:.1f} at the start",
    }


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            name, _, text = line.partition(":")
            if name.strip() == "model name":
                return text.strip()
    return platform.processor() or platform.machine()
