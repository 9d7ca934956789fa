"""pytest hooks; each a few lines that delegate."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

import pytest

from dockwright import markers
from dockwright.errors import UsageError
from dockwright.run import RUN, WORKER_OUTPUT, WORKER_RECORD, Run, add_options, settings_of
from dockwright.settings import DEFAULT_STACK, Settings, misspelt_variables

if TYPE_CHECKING:
    from dockwright.pool import Seed

_COLOURS: Mapping[str, Mapping[str, bool]] = {
    "": {},
    "heading": {"bold": True},
    "bad": {"red": True},
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declare the settings; fires in every process."""
    add_options(parser)


def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Load another plugin's fixtures, if asked for; fires while options can be declared."""
    try:
        settings = settings_of(early_config, early_config.known_args_namespace)
    except UsageError as error:
        raise pytest.UsageError(str(error)) from None
    if settings.compat:
        early_config.pluginmanager.import_plugin("dockwright.compat.plugin")


def pytest_configure(config: pytest.Config) -> None:
    """Resolve the settings and register markers and fixtures; fires in every process."""
    for name, text in markers.HELP.items():
        config.addinivalue_line("markers", f"{name}: {text}")
    try:
        settings = settings_of(config)
        if settings.otlp:
            from dockwright.report import require

            require()
    except UsageError as error:
        raise pytest.UsageError(str(error)) from None
    config.stash[RUN] = Run(
        settings,
        find_seed=partial(_find_seed, config, settings),
        on_first_use=partial(_load_for_stacks, config, settings),
    )
    config.pluginmanager.import_plugin("dockwright.fixtures")
    if config.pluginmanager.hasplugin("xdist"):
        config.pluginmanager.import_plugin("dockwright.xdist")


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Show the settings that are not default, and misspelt ones; fires in the main process."""
    settings = config.stash[RUN].settings
    lines = [
        f"dockwright: {wrong} is no setting: is {meant} meant?"
        for wrong, meant in misspelt_variables(os.environ).items()
    ]
    changed = [
        f"{name}={value} ({settings.origins[name]})" for name, value in settings.changed().items()
    ]
    if changed:
        from dockwright.redact import Redactor  # an engine's address may have a password

        lines.append(Redactor.of(os.environ)(f"dockwright: {', '.join(changed)}"))
    return lines


def pytest_sessionstart(session: pytest.Session) -> None:
    """Record from the begin where every run is recorded; fires in every process."""
    config = session.config
    settings = config.stash[RUN].settings
    if (settings.record == "on" or settings.reported) and not _only_distributes(config):
        config.pluginmanager.import_plugin("dockwright.recording")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Check every test's markers before anything starts; fires where tests are collected."""
    run = config.stash[RUN]
    stacks = [DEFAULT_STACK, *run.settings.stacks]
    try:
        for item in items:
            if markers.concerns(item):
                markers.check(item, stacks)
    except UsageError as error:
        raise pytest.UsageError(str(error)) from None
    run.checked = True


def pytest_collection_finish(session: pytest.Session) -> None:
    """Start the stacks that the selected tests need, while pytest gets ready to run them."""
    config = session.config
    run = config.stash[RUN]
    if _only_shows(config) or _only_distributes(config):
        return
    workers = getattr(config, "workerinput", {}).get("workercount", 1)  # xdist's
    demand = markers.demand(session.items, workers=workers) if run.checked else {}
    try:
        if demand:
            run.session.prepare(demand)
    except UsageError as error:
        raise pytest.UsageError(str(error)) from None
    run.collected = time.monotonic()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Remove all stacks; fires in every process, also after Ctrl-C."""
    config = session.config
    run = config.stash[RUN]
    output = getattr(config, "workeroutput", None)
    git = run.ask_git() if output is None else None
    try:
        summary = run.close()
    except KeyboardInterrupt:  # once more, or late: whoever presses it does not want to wait
        session.exitstatus = pytest.ExitCode.INTERRUPTED
        summary = run.leave_removal_to_broker()
    if summary is not None and summary.problems:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    if output is None:
        run.conclude(int(session.exitstatus), git)
        return
    if summary is not None:
        output[WORKER_OUTPUT] = summary.to_json()
    if (told := run.farewell()) is not None:
        output[WORKER_RECORD] = told


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Tell where the time went; fires in the main process."""
    lines = config.stash[RUN].summary_lines()
    if lines:
        terminalreporter.ensure_newline()  # else the title's line is ended a second time
        terminalreporter.section("dockwright")
        for line in lines:  # pytest leaves the colours out where there is no terminal
            terminalreporter.write_line(line.text, **_COLOURS[line.style])


def _find_seed(config: pytest.Config, settings: Settings) -> Seed | None:
    from dockwright.hooks import find_seed

    worker = getattr(config, "workerinput", {})  # xdist's; the same id in all processes of a run
    run_id = worker.get("testrunuid") or uuid.uuid4().hex
    return find_seed(config.pluginmanager.get_plugins(), settings.seed_inputs, run_id)


def _load_for_stacks(config: pytest.Config, settings: Settings) -> None:
    """Register what only a run that uses stacks needs."""
    config.pluginmanager.import_plugin("dockwright.failures")
    if settings.recorded:
        config.pluginmanager.import_plugin("dockwright.recording")


def _only_shows(config: pytest.Config) -> bool:
    """Tell whether pytest only shows what there is, and runs no test."""
    asked = ("collectonly", "showfixtures", "show_fixtures_per_test", "setupplan")
    return any(config.getoption(name, default=False) for name in asked)


def _only_distributes(config: pytest.Config) -> bool:
    """Tell whether this is xdist's main process, which runs no test itself."""
    return config.pluginmanager.hasplugin("dsession")
