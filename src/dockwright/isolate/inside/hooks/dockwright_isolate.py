"""A pytest plugin that sends xdist's workers into worlds of their own.

pytest loads it in the process that distributes the tests, perhaps in another virtual environment
and an older Python than dockwright's: it needs nothing but pytest and the standard library.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import os
import shlex
import sys
import time
from pathlib import Path
from typing import Any

import pytest

_LISTENING = "0A"
_ENOUGH = 0.8  # of the processor time; beyond that, workers wait for each other
_MOST_TIMES, _MANY = 4, 1_000
_SHORT_S = 5.0
_PROFILE = "DOCKWRIGHT_PROFILE_DIR"  # where `dockwright profile` collects what workers did
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
    usage = _usage_file(config)
    own = plan.Plan.from_json(os.environ[plan.PLAN]).also(**_visible(config))
    own = dataclasses.replace(own, usage=str(usage or ""))
    os.environ[plan.PLAN] = own.to_json()
    if usage is not None:
        usage.write_text(f"{len(specs)} {time.monotonic()}\n")
    for spec in specs:
        if spec.popen:
            spec.python = shlex.join(own.command(plan.WORKER, spec.python or sys.executable))


def pytest_report_header(config: Any) -> str | None:
    """Say what the tests of this run have for themselves."""
    return f"dockwright: {os.environ.get(plan.SUMMARY)}" if _applies(config) else None


def pytest_terminal_summary(terminalreporter: Any, config: Any) -> None:
    """Say whether more workers would help: a suite that waits leaves the processor idle."""
    usage = _usage_file(config)
    if not _applies(config) or usage is None or not usage.exists():
        return
    workers, began, *used = usage.read_text().split()
    wall_s = time.monotonic() - float(began)
    cores = len(os.sched_getaffinity(0))
    reports = (each for kind in terminalreporter.stats.values() for each in kind)
    files = {each.nodeid.partition("::")[0] for each in reports if hasattr(each, "nodeid")}
    most = len(files) if config.option.dist == "loadfile" else _MANY
    text = advice(int(workers), wall_s, sum(map(float, used)), cores, most)
    terminalreporter.write_line(f"dockwright: {text}")


def advice(workers: int, wall_s: float, used_s: float, cores: int, most: int) -> str:
    """Return how busy isolated workers kept the machine, and how many may be faster.

    Args:
        workers: how many there were.
        wall_s: how long they took, in seconds.
        used_s: the processor time of their worlds together, in seconds.
        cores: how many the machine has.
        most: how many workers the suite can be divided among.
    """
    busy = used_s / (wall_s * cores)
    text = (
        f"{workers} isolated worker{'s' * (workers > 1)} kept {cores} "
        f"core{'s' * (cores > 1)} busy for {busy:.0%} of {wall_s:.0f} s"
    )
    more = min(int(workers * _ENOUGH / max(busy, 0.01)), _MOST_TIMES * workers, most)
    if more <= workers or wall_s < _SHORT_S:
        return text
    return f"{text}; up to {more} workers may be faster"


def _usage_file(config: Any) -> Path | None:
    """Return where keepers note what worlds used; None: pytest has no temporary directory."""
    base = getattr(config, "_tmp_path_factory", None)
    return None if base is None else Path(base.getbasetemp(), "dockwright-worlds")


def _visible(config: Any) -> dict[str, list[Any]]:
    """Return what workers need: directories below home, and servers of plugins in this process."""
    shown = [str(config.rootpath), str(config.invocation_params.dir)]
    shown += filter(None, [os.environ.get(_PROFILE)])
    base = getattr(config, "_tmp_path_factory", None)
    if base is not None:
        shown.append(str(base.getbasetemp()))
    path = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    tools = [sys.prefix, sys.base_prefix, *filter(None, (*sys.path, *path))]
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
