"""Which tests may be skipped where an engine is required, and why; any other skip fails the run.

Active in CI and in ``make test`` (`CI` or `DOCKWRIGHT_REQUIRE_ENGINE` is set). Under pytest-xdist
the controller decides, which sees the reports of all workers.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

ALLOWED: Mapping[str, str] = {
    # The machine is of another kind, and no script of ours can change that.
    r"root may write everywhere": "only another user than root sees the refusal",
    r"only root .*|.* needs root\b.*|needs root .*": "not every developer is root; CI is",
    r"needs Linux|needs pseudo terminals|needs a device that is always full": "other systems",
    r"the engine .*socket.*|.* a unix socket|.*unix socket": "the engine is remote",
    r"the engine publishes on another host": "the engine is remote",
    r"another engine than that of the default socket is used": "the engine was chosen",
    r"this host does not see the container's processes": "the engine runs in a virtual machine",
    r"the control groups of this engine's containers cannot be read here": "the same",
    r"no Python here that other users than root may run": "it is in root's home directory",
    r"the far end of ssh runs the docker command": "the engine is reached by ssh",
    r"the file system has no attributes: .*": "the temporary directory is on such a file system",
    r"(no file system|nothing) can be mounted.*": "an unprivileged container",
    r"needs the base of the equivalents: .*": "the images came from a registry",
    r"this engine('s)? .*": "another product lacks it; see engine/capabilities.py",
    # What no script of ours can install, or installs.
    r"the docker command has no buildx plugin here": "Debian 12 has no package of it",
    # Long checks.
    r"make test has a sample in tests/compose": "make soak runs it whole",
}
"""Reasons as regular expressions, each with why it may be."""


WITHOUT_APT: Mapping[str, str] = {
    r"needs (chromium|Compose).*|no Compose .*|scripts/ensure-\w+ .*": "see scripts/ensure-...",
}
"""The same where the scripts that fetch Debian's packages cannot work."""


def required() -> bool:
    """Return whether skips count."""
    return bool(os.environ.get("DOCKWRIGHT_REQUIRE_ENGINE") or os.environ.get("CI"))


def forbidden(skipped: Iterable[pytest.TestReport]) -> list[str]:
    """Return a line for each skipped test whose reason is not allowed."""
    allowed = [*ALLOWED, *(() if shutil.which("apt-get") else WITHOUT_APT)]
    reasons = [(report.nodeid, _reason(report)) for report in skipped]
    return sorted(
        f"{test}: {reason}"
        for test, reason in reasons
        if not any(re.fullmatch(each, reason) for each in allowed)
    )


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail the run if a test was skipped that should have run."""
    if _unexpected(session.config) and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: TerminalReporter, config: pytest.Config) -> None:
    """Print which tests those are."""
    if lines := _unexpected(config):
        terminalreporter.section("skipped, but not allowed to be", red=True)
        for line in lines:
            terminalreporter.line(line)
        terminalreporter.line(
            "Make them run, or add the reason to ALLOWED in tests/_support/skips.py."
        )


def _unexpected(config: pytest.Config) -> list[str]:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is None or not required() or hasattr(config, "workerinput"):
        return []
    return forbidden(
        report for report in reporter.stats.get("skipped", []) if hasattr(report, "when")
    )


def _reason(report: pytest.TestReport) -> str:
    said = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return said.removeprefix("Skipped: ")
