"""``dockwright stack install`` and ``check``."""

from __future__ import annotations

import sys
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
    tell_warnings,
)
from dockwright.cli.output import note
from dockwright.cli.progress import shown
from dockwright.compose import LoadOptions, load, locate
from dockwright.errors import ComposeError, DockwrightError, StackError, UsageError
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
class _Wanted:
    """What the options say."""

    force: bool
    new_secrets: bool
    check: bool
    pull: bool


@click.command(
    epilog="""\b
Examples:
  dockwright stack install                     the project in this directory
  dockwright stack install -f compose.yaml -f compose.prod.yaml --profile mail
  dockwright stack install --force             over another configuration; secrets stay
  dockwright stack install --no-check --no-pull    only write settings and secrets
"""
)
@given_options
@click.option("--force", is_flag=True, help="Do not ask before settings are replaced.")
@click.option(
    "--new-secrets", is_flag=True, help="Make up all secrets anew, also those that there are."
)
@click.option("--check/--no-check", default=True, help="Check first that the stack can run.")
@click.option("--pull/--no-pull", default=True, help="Pull or build the images ahead.")
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
    """Install the stack: settings, secrets, checks, images. Starts nothing.

    Writes settings.toml, so that stack commands find the project by -p NAME from anywhere, and
    .env, with a strong secret for each variable that the project declares as secret; only you may
    read them. Other files in the config directory stay. Doing it again changes nothing.
    """
    options = _with_files(options, base)
    place = locate(options)
    with exclusive(place.name, what="install"):
        wanted = _Wanted(force, new_secrets, check, pull)
        plan, spec = _planned(options, ConfigHome.of(base, place.name), wanted)
        if plan.differences and not force and not _confirmed(plan):
            note("nothing was changed")
            ctx.exit(1)
        if check and not plan.changes_nothing:
            _check(spec)
        got = _get_images(spec, missing_only=plan.changes_nothing) if pull else []
        _write(plan, got)


def _with_files(options: LoadOptions, base: Path) -> LoadOptions:
    """Return the options; without a Compose file here, those of the installed stack that is named.

    Here the files come first: they are what is to be installed.
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
    options: LoadOptions, home: ConfigHome, wanted: _Wanted
) -> tuple[InstallPlan, StackSpec]:
    place = locate(options)
    endpoint = current_endpoint()
    url = "" if endpoint.tls else endpoint.url  # its files are not part of an address
    plan = plan_install(home, place, options, engine=url, force=wanted.force)
    given = {}
    declared = place.secret_variables()
    if declared and not plan.known and (wanted.check or wanted.pull):
        # Data that is there was made with what is set now: a new secret would not open it.
        data = has_data(current_engine(), identity_of(place.name, place.working_dir))
        given = dict(place.variables) if data else {}
    add = partial(InstallPlan.with_secrets, anew=wanted.new_secrets, given=given)
    plan = add(plan, declared)
    spec = load(replace(options, values=plan.values))
    tell_warnings(spec.warnings)
    return add(plan, spec.secrets), spec


def _confirmed(plan: InstallPlan) -> bool:
    lines = "".join(f"\n  {line}" for line in plan.differences)
    message = f"{plan.settings.project} is installed with other settings:{lines}"
    if not sys.stdin.isatty():
        raise UsageError(message, hint="add --force to replace them; secrets and data stay")
    note(message)
    return click.confirm("Replace them?", err=True)


def _check(spec: StackSpec) -> None:
    identity = identity_of(spec.name, spec.working_dir)
    findings = list(check_stack(spec, current_engine(), identity))
    bad = [each for each in findings if each.status != "ok"]
    for each in bad:
        note(f"{each.status}: {each.name}: {each.detail}\n  {each.remedy}")
    failed = [each for each in bad if each.status == "fail"]
    if failed:
        raise StackError(
            f"{counted(len(failed), 'check')} failed: {spec.name} was not installed",
            hint="put that right, or skip the checks with --no-check",
        )
    note(f"{counted(len(findings), 'check')} passed")


def _get_images(spec: StackSpec, *, missing_only: bool) -> Sequence[str]:
    """Pull or build images; return the services whose images were got."""
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
                partial(get_images, stack, names, listener), stack.cancel, doing="ending the pulls"
            )
    return names


def _write(plan: InstallPlan, got: Sequence[str]) -> None:
    name, directory = plan.settings.project, plan.home.directory
    if plan.changes_nothing:
        done = "got the missing images" if got else "nothing changed"
        note(f"{name} is already installed in {directory}: {done}")
        return
    loose = plan.write()
    for path in loose:
        note(f"other users had rights on {path}: they were taken away")
    if plan.made:
        note(f"secrets made: {', '.join(plan.made)}")
    note(f"{name} is installed in {directory}")
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
    """Check that the stack can run: configuration, secrets, engine, disk, ports, images.

    Changes nothing. Every bad finding comes with a remedy. Exits with 1 if a check fails.
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
        yield unusable(failure, "configuration", "put it right where the message says")
        yield check_state(state_directory())
    try:
        engine = current_engine()
        if spec is None:
            yield from engine_findings(engine)
        else:
            yield from check_stack(spec, engine, identity_of(spec.name, spec.working_dir))
    except DockwrightError as failure:
        yield unusable(failure)
