"""A pytest plugin that sends xdist's workers into worlds of their own.

pytest loads it in the process that distributes the tests, perhaps in another virtual environment
and an older Python than dockwright's: it needs nothing but pytest and the standard library.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest

_LISTENING = "0A"
_PLAN_FILE = Path(__file__).resolve().parents[1] / "plan.py"


def _load_plan_module() -> Any:
    name = "_dockwright_isolate_plan"
    spec = importlib.util.spec_from_file_location(name, _PLAN_FILE)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


plan = sys.modules.get("dockwright.isolate.inside.plan") or _load_plan_module()


def _applies(config: Any) -> bool:
    """Return whether this process distributes tests, or runs them itself, outside of a worker."""
    in_worker = hasattr(config, "workerinput") or os.environ.get(plan.LEVEL) in plan.FOR_TESTS
    return plan.PLAN in os.environ and not in_worker


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: Any) -> None:
    """Choose workers and their distribution before xdist does; without xdist, enter a world."""
    option = config.option
    shows = ("collectonly", "showfixtures", "show_fixtures_per_test", "help", "version", "markers")
    if not _applies(config) or any(getattr(option, name, False) for name in shows):
        return
    workers = getattr(option, "numprocesses", 0)
    if workers is None and not option.usepdb and not option.tx:
        option.numprocesses = workers = 1  # the reports of the run are written outside
    if not workers and not getattr(option, "tx", None):
        _enter_world(config)
    if option.dist == "no" and not option.distload:
        # Tests of one file may build on each other. The second place is for dockwright's planner.
        option.dist = config.known_args_namespace.dist = "loadfile"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(config: Any, specs: Any) -> None:
    """Have each worker start in a world; fires before the first one does."""
    if not _applies(config):
        return
    own = plan.Plan.from_json(os.environ[plan.PLAN]).also(**_visible(config))
    os.environ[plan.PLAN] = own.to_json()
    for spec in specs:
        if spec.popen:
            spec.python = shlex.join(own.command(plan.WORKER, spec.python or sys.executable))


def pytest_report_header(config: Any) -> str | None:
    """Say what the tests of this run have for themselves."""
    return f"dockwright: {os.environ.get(plan.SUMMARY)}" if _applies(config) else None


def _visible(config: Any) -> dict[str, list[Any]]:
    """Return what workers need: directories below home, and servers of plugins in this process."""
    shown = [str(config.rootpath), str(config.invocation_params.dir)]
    base = getattr(config, "_tmp_path_factory", None)
    if base is not None:
        shown.append(str(base.getbasetemp()))
    tools = [sys.prefix, sys.base_prefix, *filter(None, sys.path)]
    return {"shown": shown, "tools": tools, "reached": _own_ports()}


def _own_ports() -> list[int]:
    """Return the ports that this process listens on, such as pytest-rerunfailures' server."""
    sockets = set()
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # the descriptor with which the list is read
            sockets.add(str(entry.readlink()))
    ports = []
    for line in Path("/proc/self/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] == _LISTENING and f"socket:[{fields[9]}]" in sockets:
            ports.append(int(fields[1].rpartition(":")[2], 16))
    return ports


def _enter_world(config: Any) -> None:
    """Run the same command in a world, instead of this process."""
    own = plan.Plan.from_json(os.environ[plan.PLAN]).also(**{**_visible(config), "reached": []})
    os.environ[plan.PLAN] = own.to_json()
    capture = config.pluginmanager.getplugin("capturemanager")
    if capture is not None:
        capture.suspend_global_capture(in_=True)  # gives the standard streams back
    sys.stdout.flush()
    words = own.command(plan.ALONE, *sys.orig_argv)
    os.execv(words[0], words)
