"""``dockwright doctor``: check that stacks can run here, and suggest remedies if they cannot."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from dockwright._text import counted
from dockwright.cache import BaselineStore, FrozenVolumes
from dockwright.cli.options import current_engine, engine_url, json_option, root_option
from dockwright.cli.output import note, print_json, print_table
from dockwright.cli.pool import chosen, reset_rows, started
from dockwright.cli.pytest_settings import project_settings
from dockwright.engine import Engine
from dockwright.errors import DockwrightError
from dockwright.isolate import checks as isolation_checks
from dockwright.managed import Finding, check_state, engine_findings, unusable
from dockwright.paths import baselines_directory, state_directory
from dockwright.pool import RetainedStacks, survey
from dockwright.pool.session import RunSession

_OLDEST_PYTEST = 8
_COMMAND_TIMEOUT_S = 10.0


def check_host(state: Path) -> Iterator[Finding]:
    """Check what does not need an engine."""
    yield Finding("python", "ok", f"{platform.python_version()} on {platform.platform(terse=True)}")
    yield _check_pytest()
    yield Finding(
        "pytest-xdist", "ok", _version("pytest-xdist") or "not installed (needed for -n N)"
    )
    yield Finding("docker SDK", "ok", importlib.metadata.version("docker"))
    yield from _check_docker_command()
    yield check_state(state)


def check_engine(engine: Engine, kept: RetainedStacks) -> Iterator[Finding]:
    """Check an engine that answers."""
    yield from engine_findings(engine)
    yield _check_baselines(engine)
    yield from _check_copies(engine, kept)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _check_pytest() -> Finding:
    version = _version("pytest")
    if version is None or int(version.split(".")[0]) < _OLDEST_PYTEST:
        remedy = f"pip install 'pytest>={_OLDEST_PYTEST}'"
        return Finding("pytest", "fail", version or "not installed", remedy)
    return Finding("pytest", "ok", version)


def _check_docker_command() -> Iterator[Finding]:
    """Report the docker command and its plugins; dockwright needs none of them."""
    if shutil.which("docker") is None:
        yield Finding("docker command", "ok", "not installed (not needed)")
        return
    yield Finding("docker command", "ok", _answer("docker", "--version") or "does not work")
    yield Finding(
        "buildx",
        "ok",
        _answer("docker", "buildx", "version")
        or "not installed (needed only for Dockerfiles with BuildKit syntax)",
    )
    compose = _answer("docker", "compose", "version")
    yield Finding("compose plugin", "ok", compose or "not installed (not needed)")


def _answer(*command: str) -> str:
    """Return the first line that a command prints, or an empty text if it fails."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_COMMAND_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    lines = done.stdout.splitlines()
    return lines[0] if done.returncode == 0 and lines else ""


def _check_baselines(engine: Engine) -> Finding:
    """Report how copies get the data of a cached baseline on this engine."""
    store = BaselineStore(baselines_directory(os.environ))
    obstacle = FrozenVolumes(engine, store).known_obstacle()
    if obstacle is None:
        detail = "not known yet: the first run that caches a baseline tries layers"
    else:
        detail = f"volumes are filled: {obstacle}" if obstacle else "volumes are layers"
    return Finding("cached baselines", "ok", detail)


def _check_copies(engine: Engine, kept: RetainedStacks) -> Iterator[Finding]:
    removable = [owned for owned in survey(engine, kept) if owned.removable]
    left = [owned.project for owned in removable if not owned.kept]
    kept_projects = [owned.project for owned in removable if owned.kept]
    if left:
        remedy = "remove them with `dockwright clean --all-projects`"
        yield Finding("leftovers", "warn", f"of dead runs: {', '.join(left)}", remedy)
    else:
        yield Finding("leftovers", "ok", "none")
    if kept_projects:
        remedy = "remove them with `dockwright clean --kept`"
        yield Finding("kept stacks", "warn", ", ".join(kept_projects), remedy)


def report(findings: Sequence[Finding], *, as_json: bool) -> int:
    """Print findings; return the exit code: 1 if a check failed."""
    failed = any(finding.status == "fail" for finding in findings)
    if as_json:
        print_json({"ok": not failed, "findings": [_document(each) for each in findings]})
    else:
        _show(findings)
    return int(failed)


def _document(finding: Finding) -> dict[str, str | None]:
    return {
        "name": finding.name,
        "status": finding.status,
        "detail": finding.detail,
        "remedy": finding.remedy if finding.status != "ok" else None,
    }


def _show(findings: Sequence[Finding]) -> None:
    print_table(
        ("CHECK", "STATUS", "FOUND"),
        [(finding.name, finding.status, finding.detail) for finding in findings],
    )
    bad = [finding for finding in findings if finding.status != "ok"]
    for finding in bad:
        note(f"{finding.status}: {finding.name}: {finding.remedy}")
    if not bad:
        note(f"{counted(len(findings), 'check')} passed")


@click.command(
    epilog="""\b
Examples:
  dockwright doctor
  dockwright doctor --stack         also start the project's stacks and look at their services
  dockwright doctor --isolate       also check that workers can have engines of their own
  dockwright --engine ssh://me@build-host doctor
  dockwright doctor --json | jq '.findings[] | select(.status != "ok")'
"""
)
@click.option(
    "--stack",
    "with_stacks",
    is_flag=True,
    help="Also start the project's stacks, and show how each service comes back after a test.",
)
@click.option(
    "--isolate",
    "with_worlds",
    is_flag=True,
    help="Also check that `dockwright isolate` works here, by making a world with an engine.",
)
@root_option
@json_option
@click.pass_context
def doctor(
    ctx: click.Context, *, with_stacks: bool, with_worlds: bool, root: Path, as_json: bool
) -> None:
    """Check that stacks can run on this machine.

    Checks the engine, permissions, versions, disk space, address pools, and leftovers of earlier
    runs. Prints what to do about each problem. The exit code is 1 if stacks cannot run.
    """
    findings = list(_findings())
    if with_stacks and not any(each.status == "fail" for each in findings):
        findings += check_stacks(RunSession(project_settings(root, engine_url()), os.environ))
    if with_worlds:
        findings += [Finding(*each) for each in isolation_checks()]
    ctx.exit(report(findings, as_json=as_json))


def check_stacks(session: RunSession) -> Iterator[Finding]:
    """Start the declared stacks, and report how each of their services comes back.

    Raises:
        DockwrightError: one cannot be started.
    """
    stacks = started(session, chosen((), session))
    for stack, service, recognised, manner in dict.fromkeys(reset_rows(stacks)):
        slow = manner.startswith("new container (") and "(declared" not in manner
        yield Finding(
            f"{stack}: {service}",
            "warn" if slow else "ok",
            f"{recognised}: {manner}" if recognised != "-" else manner,
            "give its password or URL to a service of the project, or declare how it is reset: "
            "see docs/how-to/reset-state.md",
        )


def _findings() -> Iterator[Finding]:
    state = state_directory()
    try:
        yield from check_engine(current_engine(), RetainedStacks(state / "kept"))
    except DockwrightError as failure:
        yield unusable(failure)
    yield from check_host(state)
