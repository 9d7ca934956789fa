"""``dockwright stack install`` and ``check``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import click

from dockwright._text import counted
from dockwright.cli.doctor import report
from dockwright.cli.errors import interruptible
from dockwright.cli.options import (
    completed,
    current_endpoint,
    current_engine,
    current_home,
    from_installed,
    given_options,
    json_option,
    print_warnings,
)
from dockwright.cli.output import confirmed, note
from dockwright.cli.progress import shown
from dockwright.compose import LoadOptions, load, locate
from dockwright.errors import ComposeError, DockwrightError, StackError
from dockwright.managed import (
    ConfigHome,
    Finding,
    InstallPlan,
    check_configuration,
    check_stack,
    check_state,
    engine_findings,
    exclusive,
    get_images,
    has_data,
    identity_of,
    image_id,
    long_lived_stack,
    noting_images,
    plan_install,
    reference_of,
    unusable,
)
from dockwright.model import StackSpec
from dockwright.paths import state_directory


@dataclass(frozen=True, slots=True)
class _Choices:
    """The options of `install`."""

    force: bool
    new_secrets: bool
    check: bool
    pull: bool


@click.command(
    epilog="""\b
Examples:
  dockwright stack install                         the project in this directory
  dockwright stack install -f compose.yaml -f compose.prod.yaml --profile mail
  dockwright stack install --force                 replace other settings; keep secrets
  dockwright stack install --no-check --no-pull    only write settings and secrets
"""
)
@given_options
@click.option("--force", is_flag=True, help="Replace different settings without asking.")
@click.option("--new-secrets", is_flag=True, help="Replace all existing secrets with new ones.")
@click.option("--check/--no-check", default=True, help="First check that the stack can run.")
@click.option("--pull/--no-pull", default=True, help="Pull or build the images.")
@click.pass_context
def install(
    ctx: click.Context,
    options: LoadOptions,
    base: Path,
    *,
    force: bool,
    new_secrets: bool,
    check: bool,
    pull: bool,
) -> None:
    """Install the stack: write settings and secrets, check it, and pull its images.

    Writes settings.toml, so that stack commands find the project with -p NAME from anywhere, and
    .env, with a strong secret for each variable that the project declares as a secret. Only you can
    read these files. Starts nothing, and keeps other files in the config directory. Installing the
    same stack again changes nothing.
    """
    options = _with_files(options, base)
    place = locate(options)
    with exclusive(place.name, what="install"):
        choices = _Choices(force, new_secrets, check, pull)
        plan, spec = _planned(options, ConfigHome.of(base, place.name), choices)
        if plan.differences and not force and not _may_replace(plan):
            note("nothing was changed")
            ctx.exit(1)
        if check and not plan.changes_nothing:
            _check(spec)
        pulled = _get_images(spec, missing_only=plan.changes_nothing) if pull else []
        _write(plan, pulled)


def _with_files(options: LoadOptions, base: Path) -> LoadOptions:
    """Return `options`, or those of the named installed stack if there is no Compose file here.

    Unlike in other commands, Compose files come first: they are what to install.
    """
    try:
        locate(options)
    except ComposeError:
        installed = from_installed(options, base)
        if installed is None:
            raise
        return installed
    return options


def _planned(
    options: LoadOptions, home: ConfigHome, choices: _Choices
) -> tuple[InstallPlan, StackSpec]:
    place = locate(options)
    endpoint = current_endpoint()
    url = "" if endpoint.tls else endpoint.url  # the URL alone does not name the TLS files
    plan = plan_install(home, place, options, engine=url, force=choices.force)
    given = {}
    declared = place.secret_variables()
    if declared and not plan.known and (choices.check or choices.pull):
        # Existing data was created with the values of now: it would not open with a new secret.
        data = has_data(current_engine(), identity_of(place.name, place.working_dir))
        given = dict(place.variables) if data else {}
    add = partial(InstallPlan.with_secrets, renew=choices.new_secrets, given=given)
    plan = add(plan, declared)
    spec = load(replace(options, values=plan.values))
    print_warnings(spec.warnings)
    return add(plan, spec.secrets), spec


def _may_replace(plan: InstallPlan) -> bool:
    lines = "".join(f"\n  {line}" for line in plan.differences)
    message = f"{plan.settings.project} is installed with different settings:{lines}"
    return confirmed(
        "Replace them?",
        lines=[message],
        refusal=message,
        hint="add --force to replace them; secrets and data are kept",
    )


def _check(spec: StackSpec) -> None:
    identity = identity_of(spec.name, spec.working_dir)
    findings = list(check_stack(spec, current_engine(), identity))
    bad = [finding for finding in findings if finding.status != "ok"]
    for finding in bad:
        note(f"{finding.status}: {finding.name}: {finding.detail}\n  {finding.remedy}")
    failed = [finding for finding in bad if finding.status == "fail"]
    if failed:
        raise StackError(
            f"{counted(len(failed), 'check')} failed: {spec.name} was not installed",
            hint="fix this, or skip the checks with --no-check",
        )
    note(f"{counted(len(findings), 'check')} passed")


def _get_images(spec: StackSpec, *, missing_only: bool) -> Sequence[str]:
    """Pull or build images; return the services they are for."""
    engine = current_engine()
    names = [
        name
        for name in spec.services
        if not missing_only or image_id(engine, reference_of(spec, name)) is None
    ]
    if names:
        stack = long_lived_stack(spec, engine)
        with noting_images(engine, spec, names), shown(names) as listener:
            interruptible(
                partial(get_images, stack, names, listener),
                stack.cancel,
                doing="cancelling the pulls",
            )
    return names


def _write(plan: InstallPlan, pulled: Sequence[str]) -> None:
    name, directory = plan.settings.project, plan.home.directory
    if plan.changes_nothing:
        done = "pulled or built missing images" if pulled else "nothing changed"
        note(f"{name} is already installed in {directory}: {done}")
        return
    for path in plan.write():
        note(f"removed the permissions of other users on {path}")
    if plan.made:
        note(f"generated secrets: {', '.join(plan.made)}")
    note(f"installed {name} in {directory}")
    note(f"start it with: dockwright stack start -p {name}")


@click.command(
    epilog="""\b
Examples:
  dockwright stack check
  dockwright stack check -p shop               an installed stack, from anywhere
  dockwright stack check --json | jq '.findings[] | select(.status == "fail")'
"""
)
@given_options
@json_option
@click.pass_context
def check(ctx: click.Context, options: LoadOptions, base: Path, *, as_json: bool) -> None:
    """Check that the stack can run: configuration, secrets, engine, disk, ports and images.

    Changes nothing. Prints what to do about each problem. The exit code is 1 if a check fails.
    """
    ctx.exit(report(list(_findings(options, base)), as_json=as_json))


def _findings(options: LoadOptions, base: Path) -> Iterator[Finding]:
    spec: StackSpec | None = None
    try:
        options = completed(options, base)
        variables = locate(options).variables
        spec = load(options)
        yield from check_configuration(spec, current_home(), variables)
    except DockwrightError as failure:
        yield unusable(failure, "configuration", "fix it where the message says")
        yield check_state(state_directory())
    try:
        engine = current_engine()
        if spec is None:
            yield from engine_findings(engine)
        else:
            yield from check_stack(spec, engine, identity_of(spec.name, spec.working_dir))
    except DockwrightError as failure:
        yield unusable(failure)
