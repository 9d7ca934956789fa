"""pytest hooks; each a few lines that delegate."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from dockwright.errors import UsageError
from dockwright.pytest_plugin import markers
from dockwright.pytest_plugin.ahead import LastNeeds
from dockwright.pytest_plugin.run import (
    RUN,
    TROUBLES,
    WORKER_OUTPUT,
    WORKER_RECORD,
    WORKER_TROUBLES,
    Run,
    add_options,
    only_distributes,
    only_shows,
    settings_of,
    surviving,
    troubles_of,
    usage_errors,
    workers_of,
)
from dockwright.settings import DEFAULT_STACK, Settings, misspelt_variables, selected
from dockwright.untrusted import printable

if TYPE_CHECKING:
    from dockwright.pool import Lease, Seed
    from dockwright.recording import Summary

_COLOURS: Mapping[str, Mapping[str, bool]] = {
    "": {},
    "heading": {"bold": True},
    "bad": {"red": True},
}

_IN_WORKER = "PYTEST_XDIST_WORKER"

_XDIST = ("xdist", "xdist.plugin")  # installed; named with -p
_SET_UP = "be set up, so that no test gets a stack"
_EARLY = pytest.StashKey[Settings]()


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Declare the settings, and a distribution for xdist; fires in every process."""
    add_options(parser)
    pluginmanager.register(_Distribution(parser))


class _Distribution:
    """Adds ``dockwright`` to the values of xdist's ``--dist``, once xdist is registered."""

    def __init__(self, parser: pytest.Parser) -> None:
        self._parser = parser

    def pytest_plugin_registered(self, plugin_name: str) -> None:
        """Fires for every plugin, also for those that are registered already."""
        if plugin_name in _XDIST:
            for option in self._parser.getgroup("xdist").options:
                if "--dist" in option.names():
                    option.attrs()["choices"].append("dockwright")


class _Order:
    """Orders the collected tests, and selects those of a shard."""

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        """Do so after all other plugins; most runs have no test that needs an order."""
        with surviving(config, "look for tests that need an order"):
            chosen = config.stash[RUN].settings.shard or hasattr(config, "workerinput")
            left = items if chosen else _left(config, items)
            if chosen or any(map(markers.needs_order, left)):
                from dockwright.pytest_plugin.ordering import arrange

                arrange(config, items, left)

    def pytest_report_header(self, config: pytest.Config) -> str | None:
        """Say which part of the suite runs."""
        with surviving(config, "show the shard"), usage_errors():
            if config.stash[RUN].settings.shard:
                from dockwright.pytest_plugin.ordering import shard_line

                return shard_line(config)
        return None


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> None:
    """Prepare for suites of other tools, if asked for; fires while options can be declared."""
    given = early_config.known_args_namespace
    with surviving(early_config, _SET_UP), usage_errors():
        settings = early_config.stash[_EARLY] = settings_of(early_config, given)
        if "pytest-docker" in settings.compat:
            early_config.pluginmanager.import_plugin("dockwright.pytest_plugin.pytest_docker")
        tools = [name for name in settings.compat if name != "pytest-docker"]
        if tools:  # before any conftest.py imports them
            from dockwright.pytest_plugin.containers import register

            early_config.stash[RUN] = _run(early_config, settings)
            register(early_config, tools)
    if _EARLY not in early_config.stash:  # tests with a stack say why
        return
    settings = early_config.stash[_EARLY]
    if settings.isolate and not (given.help or getattr(given, "collectonly", False)):
        from dockwright.pytest_plugin.isolated import isolate

        isolate(early_config, settings)
    with surviving(early_config, _SET_UP), usage_errors():
        if settings.results != "off":
            from dockwright.pytest_plugin.results import start

            distributes = getattr(given, "numprocesses", None) or getattr(given, "tx", None)
            runs_tests = _IN_WORKER in os.environ or not distributes
            start(early_config, given, settings, runs_tests=runs_tests)


def pytest_configure(config: pytest.Config) -> None:
    """Resolve the settings and register markers and fixtures; fires in every process."""
    for name, text in markers.HELP.items():
        config.addinivalue_line("markers", f"{name}: {text}")
    with surviving(config, _SET_UP), usage_errors():
        settings = settings_of(config)
        if RUN not in config.stash or not config.stash[RUN].in_use:
            config.stash[RUN] = _run(config, settings)
        _require_records(settings)
        _require_exporter(config, settings)
        _load_for_order(config, settings)
        _load_for_results(config, settings)
    with surviving(config, "offer its fixtures"):
        config.pluginmanager.import_plugin("dockwright.pytest_plugin.fixtures")
    if any(map(config.pluginmanager.hasplugin, _XDIST)):
        with surviving(config, "collect what xdist's workers did"):
            config.pluginmanager.import_plugin("dockwright.pytest_plugin.xdist")


def _require_records(settings: Settings) -> None:
    """Refuse to fail runs that are not recorded: they would pass whatever became slower."""
    if settings.fail_on_regression and settings.record == "off":
        raise UsageError(
            "dockwright_fail_on_regression compares recorded runs, but dockwright_record is off",
            hint="remove one of the two settings",
        )


def _run(config: pytest.Config, settings: Settings) -> Run:
    return Run(
        settings,
        # xdist gives all processes of a run the same one
        getattr(config, "workerinput", {}).get("testrunuid") or os.urandom(16).hex(),
        find_seed=partial(_find_seed, config, settings),
        announce_reset=partial(_announce_reset, config),
        on_first_use=partial(_load_for_stacks, config, settings),
    )


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Show the settings that are not default, and misspelt ones; fires in the main process."""
    lines: list[str] = []
    with surviving(config, "show its settings"):
        settings = config.stash[RUN].settings
        lines += (
            f"dockwright: unknown setting {wrong}; did you mean {meant}?"
            for wrong, meant in misspelt_variables(os.environ).items()
        )
        changed = [
            f"{name}={value} ({settings.origins[name]})"
            for name, value in settings.changed().items()
        ]
        if settings.results != "off" and config.stash[RUN].results is None:
            from dockwright.pytest_plugin.results import WHY_OFF

            why = config.stash.get(WHY_OFF, "")
            lines.append(f"dockwright: results are neither reused nor saved in this run: {why}")
        if changed:
            from dockwright.redact import Redactor  # an engine's address may have a password

            lines.append(Redactor.of(os.environ)(f"dockwright: {', '.join(changed)}"))
    return lines


def pytest_sessionstart(session: pytest.Session) -> None:
    """Record from the start if every run is recorded; fires in every process."""
    config = session.config
    with surviving(config, "record this run"):
        settings = config.stash[RUN].settings
        if settings.recorded_from_start and not only_distributes(config):
            config.pluginmanager.import_plugin("dockwright.pytest_plugin.recording")
    if not only_shows(config) and not only_distributes(config):
        with surviving(config, "start stacks before the tests are collected"):
            run = config.stash[RUN]
            # Nothing is started ahead for tests whose results may be reused.
            if run.results is None and (needed := LastNeeds(config).read()):
                run.start_ahead(needed)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Check every test's markers before anything starts; fires where tests are collected."""
    with surviving(config, "check the markers of the tests"), usage_errors():
        run = config.stash[RUN]
        stacks = [DEFAULT_STACK, *run.settings.stacks]
        for item in items:
            if markers.uses_stack(item):
                markers.check(item, stacks)
        run.checked = True


def pytest_collection_finish(session: pytest.Session) -> None:
    """Start the stacks that the selected tests need, while pytest gets ready to run them."""
    config = session.config
    if only_shows(config) or only_distributes(config):
        return
    with surviving(config, "start stacks before a test asks for one"), usage_errors():
        run = config.stash[RUN]
        items = _left(config, session.items, final=True)
        workers, audited = workers_of(config), run.settings.audited
        demand = markers.demand(items, workers=workers, audited=audited)
        demand = demand if run.checked else {}
        run.end_ahead()
        with surviving(config, "start what fixtures will lease"):
            _announce(config, items, demand)
        if run.checked and run.results is None:
            declared = {DEFAULT_STACK, *run.settings.stacks}
            LastNeeds(config).write({each for each in demand if selected(each)[0] in declared})
        if demand:
            run.session.prepare(demand)
    with surviving(config, "note when the tests were collected"):
        config.stash[RUN].collected = time.monotonic()


def _left(
    config: pytest.Config, items: list[pytest.Item], *, final: bool = False
) -> list[pytest.Item]:
    """Return the tests that have to run, because no saved result of theirs can be reused.

    Args:
        config: of this process.
        items: the tests.
        final: whether no other test runs.
    """
    left = items
    with surviving(config, "reuse the results of tests"):
        if config.stash[RUN].results is not None and config.stash[RUN].checked:
            from dockwright.pytest_plugin.results import decide

            left = decide(config, items, final=final)
    return left


def _announce(config: pytest.Config, items: list[pytest.Item], demand: dict[str, int]) -> None:
    """Add to the demand what fixtures of a wider scope will lease."""
    run = config.stash[RUN]
    if not any(markers.leases_by_fixture(item) for item in items):
        return
    from dockwright.pytest_plugin.announced import declare, expected

    run.announced = expected(items, run.settings, getattr(config, "cache", None))
    for each in run.announced:
        if each.files:
            declare(run, each, workers_of(config))
        demand[each.stack] = demand.get(each.stack, 0) + 1


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Remove all stacks; fires in every process, also after Ctrl-C."""
    config = session.config
    with surviving(config, "end its part of the run"):
        run = config.stash[RUN]
        output = getattr(config, "workeroutput", None)
        git = None
        with surviving(config, "ask git which source was tested"):
            git = run.ask_git() if output is None else None
        with surviving(config, "note which stacks fixtures leased"):
            if run.leased or run.announced:
                from dockwright.pytest_plugin.announced import keep

                done = run.leased or not session.testsfailed
                cache = getattr(config, "cache", None)
                keep(run.leased, run.announced if done else (), cache)
        summary = _leave(session, run)
        if run.problems and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
            run.failed_by = run.problems[0]
        if output is not None:
            _report_to_main(config, run, summary, output)
            return
        with surviving(config, "record and report this run"):
            run.conclude(int(session.exitstatus), git)
        if run.regressions and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
            run.failed_by = run.regressions[0]


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say where the time went; fires in the main process."""
    lines: list[tuple[str, str]] = []
    with surviving(config, "say where the time went"):
        found = config.stash[RUN].summary_lines(details=config.get_verbosity() > 0)
        lines += [(line.text, line.style) for line in found]
        if (results := config.stash[RUN].results) is not None:
            lines += results.lines()
    lines += [(text, "bad") for text in troubles_of(config)]
    if lines:
        terminalreporter.ensure_newline()  # else the title's line is ended a second time
        terminalreporter.section("dockwright")
        for text, style in lines:  # pytest leaves the colours out without a terminal
            terminalreporter.write_line(printable(text), **_COLOURS[style])


def pytest_unconfigure(config: pytest.Config) -> None:
    """Say last of all why a run fails whose tests all passed; fires in every process."""
    with surviving(config, "say why the run fails"):
        reporter = config.pluginmanager.getplugin("terminalreporter")
        reason = config.stash[RUN].failed_by
        if reason and reporter is not None and not hasattr(config, "workerinput"):
            reporter.write_line(
                "dockwright: no test failed, but the exit status is 1: "
                f"{reason.splitlines()[0]} (see the problems above)",
                **_COLOURS["bad"],
            )


def _leave(session: pytest.Session, run: Run) -> Summary | None:
    """Leave the pool, whose last client waits until everything is removed."""
    summary: Summary | None = None
    with surviving(session.config, "wait until its stacks are removed: the broker does it alone"):
        try:
            summary = run.close()
        except KeyboardInterrupt:  # once more, or late: whoever presses it does not want to wait
            session.exitstatus = pytest.ExitCode.INTERRUPTED
            summary = run.leave_removal_to_broker()
    return summary


def _report_to_main(
    config: pytest.Config, run: Run, summary: Summary | None, output: dict[str, Any]
) -> None:
    """Hand over to xdist's main process what a worker has to say at its end."""
    with surviving(config, "hand over what a worker did"):
        if summary is not None:
            output[WORKER_OUTPUT] = summary.added(run.summaries).to_json()
        if (record := run.worker_end()) is not None:
            output[WORKER_RECORD] = record
    output[WORKER_TROUBLES] = config.stash.get(TROUBLES, [])


def _require_exporter(config: pytest.Config, settings: Settings) -> None:
    """Refuse to send spans where what sends them is not installed."""
    with surviving(config, "check that spans can be sent"), usage_errors():
        if settings.otlp:
            from dockwright.report import require

            require()


def _load_for_order(config: pytest.Config, settings: Settings) -> None:
    """Register what selects, orders and distributes tests."""
    manager = config.pluginmanager
    named = config.getoption("dist", default="no") == "dockwright"
    planned = named or (settings.schedule == "auto" and _is_default_distribution(config))
    if planned and config.getoption("tx", default=None) and not hasattr(config, "workerinput"):
        manager.import_plugin("dockwright.pytest_plugin.scheduler")
    if settings.schedule == "auto" or settings.shard or hasattr(config, "workerinput"):
        manager.register(_Order())


def _load_for_results(config: pytest.Config, settings: Settings) -> None:
    """Register what reuses and saves results."""
    if settings.results != "off":
        from dockwright.pytest_plugin.reuse import configure

        configure(config, config.stash[RUN])


def _is_default_distribution(config: pytest.Config) -> bool:
    """Return whether xdist distributes as it does without any option but ``-n``."""
    given = config.known_args_namespace
    default = getattr(given, "dist", "no") == "no" and not getattr(given, "distload", False)
    return default and getattr(given, "maxschedchunk", None) is None


def _find_seed(config: pytest.Config, settings: Settings) -> Seed | None:
    from dockwright.pytest_plugin.seed import find_seed

    plugins = config.pluginmanager.get_plugins()
    return find_seed(plugins, settings.seed_inputs, config.stash[RUN].id)


def _announce_reset(config: pytest.Config, lease: Lease) -> None:
    from dockwright.pytest_plugin.seed import announce_reset

    announce_reset(config.pluginmanager.get_plugins(), lease.leased, lease.lost or ())


def _load_for_stacks(config: pytest.Config, settings: Settings) -> None:
    """Register what only a run that uses stacks needs."""
    with surviving(config, "show the logs of failed tests"):
        config.pluginmanager.import_plugin("dockwright.pytest_plugin.failures")
    config.pluginmanager.import_plugin("dockwright.pytest_plugin.between_tests")
    if settings.audited:
        config.pluginmanager.import_plugin("dockwright.pytest_plugin.audit")
    with surviving(config, "repeat a test that fails with a service that was not replaced"):
        config.pluginmanager.import_plugin("dockwright.pytest_plugin.again")
    with surviving(config, "record this run"):
        if settings.recorded:
            config.pluginmanager.import_plugin("dockwright.pytest_plugin.recording")
