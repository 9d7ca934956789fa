"""A pytest plugin that sends xdist's workers into worlds of their own.

pytest loads it in the process that distributes the tests, perhaps in another virtual environment
and an older Python than dockwright's: it needs nothing but pytest and the standard library.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import os
import re
import shlex
import sys
import time
from pathlib import Path
from typing import Any

import pytest

_LISTENING = "0A"
_MANY = 1_000
_PROFILE = "DOCKWRIGHT_PROFILE_DIR"  # where `dockwright profile` collects what workers did
_MISSED = re.compile(
    r"""Unable to find image '([^'\s]+)' locally|No such image: ([^\s"',)\\]+)"""
    r"""|pull access denied for ([^\s,"']+)|failed to resolve reference "([^"\s]+)\""""
)
"""What the docker command, SDKs, engines and Compose say about an image that is missing."""

_HUB = ("docker.io/library/", "docker.io/")
_REPORTS = "_dockwright_reports"
_LONG_FILES, _UNKNOWN_S = 200, 1e9


def _load(name: str) -> Any:
    """Return a module beside this one's package, which may not be installed here."""
    known = sys.modules.get(f"dockwright.isolate.inside.{name}")
    if known is not None:
        return known
    unique = f"_dockwright_isolate_{name}"
    file = Path(__file__).resolve().parents[1] / f"{name}.py"
    spec = importlib.util.spec_from_file_location(unique, file)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[unique] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


plan, busy = _load("plan"), _load("busy")


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
    """Print what is separated for the tests of this run."""
    return f"dockwright: {os.environ.get(plan.SUMMARY)}" if _applies(config) else None


@pytest.hookimpl(optionalhook=True, tryfirst=True)
def pytest_xdist_auto_num_workers(config: Any) -> Any:
    """Return how many workers ``-n auto`` means: what the last run proposes, if it is known."""
    if not _applies(config) or os.environ.get("PYTEST_XDIST_AUTO_NUM_WORKERS"):
        return None
    return plan.Plan.from_json(os.environ[plan.PLAN]).workers or None


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: Any, log: Any) -> Any:
    """Distribute files, the longest ones of the last run first; fires before xdist's own does."""
    if not _applies(config) or config.getvalue("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling  # type: ignore[import-untyped]

    files_s = plan.Plan.from_json(os.environ[plan.PLAN]).files_s
    if not files_s or not hasattr(LoadFileScheduling, "_assign_work_unit"):
        return None

    other_s = _UNKNOWN_S if len(files_s) < _LONG_FILES else 0.0

    class LongestFirst(LoadFileScheduling):  # type: ignore[misc]  # not typed
        """A worker gets the file that will take longest; new files could take any time."""

        def _assign_work_unit(self, node: Any) -> None:
            longest = max(self.workqueue, key=lambda file: files_s.get(file, other_s))
            self.workqueue.move_to_end(longest, last=False)
            super()._assign_work_unit(node)

    return LongestFirst(config, log)


class Reports:
    """What the reports of tests say beside their outcomes.

    Attributes:
        missing: the images that the engines of failed tests did not have.
        files_s: how long the tests of each file took, in seconds.
    """

    def __init__(self) -> None:
        self.missing: dict[str, None] = {}
        self.files_s: dict[str, float] = {}

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Add up durations, and look at what a failed test printed and raised."""
        file = report.nodeid.partition("::")[0]
        self.files_s[file] = self.files_s.get(file, 0.0) + report.duration
        if report.failed:
            texts = [str(report.longrepr), *(text for _, text in report.sections)]
            self.missing.update(dict.fromkeys(missed("\n".join(texts))))

    def long_files(self) -> dict[str, float]:
        """Return the longest files, for the next run; the others fit in anywhere."""
        rounded = {file: round(took_s, 1) for file, took_s in self.files_s.items()}
        longest = sorted(rounded.items(), key=lambda each: -each[1])
        return dict(longest[:_LONG_FILES])


def missed(text: str) -> list[str]:
    """Return the names of the images that a text says are missing."""
    names = ["".join(filter(None, found.groups())) for found in _MISSED.finditer(text)]
    for hub in _HUB:
        names = [name[len(hub) :] if name.startswith(hub) else name for name in names]
    names = [name if re.search(r"[:@][^/]*$", name) else f"{name}:latest" for name in names]
    return list(dict.fromkeys(names))


def pytest_configure(config: Any) -> None:
    """Listen to the reports of tests."""
    if _applies(config):
        config.pluginmanager.register(Reports(), _REPORTS)


def pytest_terminal_summary(terminalreporter: Any, config: Any) -> None:
    """Say which images were missing, and whether more workers would help."""
    if not _applies(config):
        return
    own = plan.Plan.from_json(os.environ[plan.PLAN])
    reports = config.pluginmanager.getplugin(_REPORTS)
    if reports and (files_s := reports.long_files()):
        plan.note(own.notes, files_s=files_s)
    names = list(reports.missing) if reports and own.engine else []
    for name in names:
        plan.note(own.notes, image=name)
    if names:
        terminalreporter.write_line(
            f"dockwright: the engines of workers did not have {', '.join(names)}: the next run "
            "starts with them if your engine has them"
        )
    _say_how_busy(terminalreporter, config, own.notes)


def _say_how_busy(terminalreporter: Any, config: Any, notes: str) -> None:
    """Say whether more workers would help: a suite that waits leaves the processor idle."""
    usage = _usage_file(config)
    if usage is None or not usage.exists():
        return
    workers, began, *used = usage.read_text().split()
    wall_s = time.monotonic() - float(began)
    cores = len(os.sched_getaffinity(0))
    reports = (each for kind in terminalreporter.stats.values() for each in kind)
    files = {each.nodeid.partition("::")[0] for each in reports if hasattr(each, "nodeid")}
    most = len(files) if config.option.dist == "loadfile" else _MANY
    run = busy.Busy(int(workers), wall_s, sum(map(float, used)), cores, most)
    if run.used_s:  # without control groups, nobody counts
        plan.note(notes, busy=run.to_facts())
        terminalreporter.write_line(f"dockwright: {run}")


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
