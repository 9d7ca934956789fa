"""pytest-docker's fixtures on dockwright's stacks: ``dockwright_compat = pytest-docker``.

A plugin that `dockwright.plugin` loads where it is asked for. Names, signatures, scopes and error
texts are those of pytest-docker 3.2; see docs/how-to/move-from-pytest-docker.md.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, TypeAlias, cast

import pytest

from dockwright.compat.compose import REMOVING, STARTING, Compose, Parsed, flags_of, parse
from dockwright.compat.services import Services
from dockwright.compose import LoadOptions
from dockwright.errors import DockwrightError, UnknownServiceError
from dockwright.held import hold, let_go
from dockwright.model import Requirement
from dockwright.run import HeldLease, run_of
from dockwright.session import find_endpoint
from dockwright.stack import COMPOSE_PROJECT, COMPOSE_SERVICE
from dockwright.stack.addresses import Addresses

Scope: TypeAlias = Literal["session", "package", "module", "class", "function"]
SCOPES: tuple[Scope, ...] = ("session", "package", "module", "class", "function")

_ORIGINAL, _ORIGINAL_NAME = "pytest_docker", "docker"
"""The module of pytest-docker's own plugin, and what pytest calls it where it is installed."""

Files: TypeAlias = str | Path | Sequence[str | Path]
Commands: TypeAlias = str | Sequence[str] | Literal[False] | None


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Declare ``--container-scope`` and take pytest-docker's place; fires when this is loaded.

    Where pytest-docker's own plugin is active as well, it is switched off, as by ``-p no:docker``.
    Its option has been declared by then, and stays.
    """
    active = [name for name, each in pluginmanager.list_name_plugin() if _is_original(each)]
    for name in {*active, _ORIGINAL}:  # the second may be loaded later, by a conftest.py
        pluginmanager.set_blocked(name)
    if not active:
        parser.getgroup("docker", "pytest-docker's fixtures, by dockwright").addoption(
            "--container-scope",
            choices=SCOPES,
            default="session",
            help="how long tests share one stack through docker_services; default: session",
        )


def pytest_configure(config: pytest.Config) -> None:
    """Check the scope, which pytest-docker's own option does not; fires in every process."""
    scope = config.getoption("--container-scope")
    if scope not in SCOPES:
        raise pytest.UsageError(
            f"--container-scope={scope}: there is no such scope\n"
            f"  hint: the scopes are: {', '.join(SCOPES)}"
        )


def pytest_report_header(config: pytest.Config) -> str | None:
    """Say that pytest-docker's own plugin was there and is off; fires in the main process."""
    if config.pluginmanager.is_blocked(_ORIGINAL_NAME):
        return (
            "dockwright: offers pytest-docker's fixtures; pytest-docker's own plugin is switched "
            "off for this run"
        )
    return None


def _is_original(plugin: object) -> bool:
    return getattr(plugin, "__name__", "") == _ORIGINAL


def _container_scope(fixture_name: str, config: pytest.Config) -> Scope:
    del fixture_name
    return cast("Scope", config.getoption("--container-scope"))


@pytest.fixture(scope=_container_scope)
def docker_ip(pytestconfig: pytest.Config) -> str:
    """Return the host under which published ports are reached."""
    settings = run_of(pytestconfig).settings
    return find_endpoint(settings.engine, os.environ).host_ip


@pytest.fixture(scope=_container_scope)
def docker_compose_command() -> str:
    """Return how Compose is called; needed only for commands that dockwright does not do itself."""
    return "docker compose"


@pytest.fixture(scope=_container_scope)
def docker_compose_file(pytestconfig: pytest.Config) -> Files:
    """Return the Compose file or files: ``dockwright_compose``, else tests/docker-compose.yml."""
    declared = [str(file) for file in run_of(pytestconfig).settings.compose]
    return declared or str(pytestconfig.rootpath / "tests" / "docker-compose.yml")


@pytest.fixture(scope=_container_scope)
def docker_setup() -> Commands:
    """Return Compose commands; the stack is started by dockwright, others run after that.

    Something false: nothing is started, and `docker_compose_project_name` is taken as it runs.
    """
    return ["up --build --wait"]


@pytest.fixture(scope=_container_scope)
def docker_cleanup() -> Commands:
    """Return Compose commands to run before the stack goes back; without ``down`` it is kept."""
    return ["down -v"]


@pytest.fixture(scope=_container_scope)
def docker_compose_project_name(request: pytest.FixtureRequest, docker_setup: Commands) -> str:
    """Return the project name of the leased stack: ``docker compose -p NAME ps`` lists it."""
    if not docker_setup:
        return f"pytest{os.getpid()}"
    held: HeldLease = request.getfixturevalue("_dockwright_compat_lease")
    return held.lease.leased.project


@pytest.fixture(scope=_container_scope)
def _dockwright_compat_lease(
    request: pytest.FixtureRequest,
    docker_compose_file: Files,
    docker_compose_command: str,
    docker_setup: Commands,
    docker_cleanup: Commands,
) -> Iterator[HeldLease]:
    run = run_of(request.config)
    root = request.config.rootpath
    setup = [parse(command) for command in _commands(docker_setup)]
    options = _load_options(
        _paths(docker_compose_file), [parse(flags_of(docker_compose_command)), *setup], request
    )
    # Named by its files, so that the leases of all modules are served by one pool of stacks.
    name = ", ".join(os.path.relpath(file, root) for file in options.files)
    holder = f"docker_services of {request.node.nodeid or root.name}"
    try:
        run.session.declare(name, options)
        requirement = Requirement(name, exclusive=True, scope="session", holder=holder)
        held = hold(run, requirement, "docker_services")
    except DockwrightError as error:
        pytest.fail(str(error), pytrace=False)
    yield held
    removed = any(parse(command).verb == "down" for command in _commands(docker_cleanup))
    let_go(
        run, held, keep="" if removed else f"{holder}, as its docker_cleanup does not take it down"
    )


@pytest.fixture(scope=_container_scope)
def docker_services(
    request: pytest.FixtureRequest,
    docker_compose_command: str,
    docker_compose_file: Files,
    docker_compose_project_name: str,
    docker_setup: Commands,
    docker_cleanup: Commands,
) -> Iterator[Services]:
    """Lease a stack to this worker alone, for the scope; it is reset behind the tests."""
    run = run_of(request.config)
    environ = _environment(run.settings.engine)
    files = _paths(docker_compose_file)
    if not docker_setup:
        compose = Compose(docker_compose_command, files, docker_compose_project_name, environ)
        yield Services(_running(request, docker_compose_project_name), compose)
        return
    held: HeldLease = request.getfixturevalue("_dockwright_compat_lease")
    compose = Compose(docker_compose_command, files, held.lease.leased.project, environ)
    _execute(compose, _after_up(_commands(docker_setup)), skip=STARTING)
    yield Services(held.lease.stack.addresses.published, compose)
    _execute(compose, _commands(docker_cleanup), skip=REMOVING)


def _commands(given: Commands) -> list[str]:
    if not given:
        return []
    return [given] if isinstance(given, str) else list(given)


def _after_up(commands: Sequence[str]) -> Sequence[str]:
    """Return what follows the start; what precedes it concerns containers of an earlier run."""
    verbs = [parse(command).verb for command in commands]
    return commands[verbs.index("up") :] if "up" in verbs else commands


def _paths(given: Files) -> list[Path]:
    files = [given] if isinstance(given, str | Path) else given
    return [Path(file).absolute() for file in files]


def _load_options(
    files: Sequence[Path], commands: Sequence[Parsed], request: pytest.FixtureRequest
) -> LoadOptions:
    settings = run_of(request.config).settings
    env_files = [Path(file).absolute() for each in commands for file in each.env_files]
    return LoadOptions(
        files=tuple(files),
        profiles=(*settings.profiles, *(name for each in commands for name in each.profiles)),
        env_files=(*settings.env_files, *env_files),
        environ={key: text for key, text in os.environ.items() if key != "PYTEST_CURRENT_TEST"},
        start=settings.root,
    )


def _environment(engine: str) -> dict[str, str]:
    return {**os.environ, "DOCKER_HOST": engine} if engine else dict(os.environ)


def _running(request: pytest.FixtureRequest, project: str) -> Callable[[str], Mapping[str, str]]:
    """Look up the published ports of a project that somebody else has started."""
    try:
        engine = run_of(request.config).session.engine()
        found = engine.list_containers({COMPOSE_PROJECT: project}, all=False)
        if not found:
            raise UnknownServiceError(
                f"docker_setup starts nothing, and nothing runs of Compose project {project!r}",
                hint="start it before the tests, and return its name from "
                "docker_compose_project_name",
            )
    except DockwrightError as error:
        pytest.fail(str(error), pytrace=False)
    containers = {each["Labels"][COMPOSE_SERVICE]: each["Id"] for each in found}
    return Addresses(engine, containers, {}).published


def _execute(compose: Compose, commands: Iterable[str], *, skip: frozenset[str]) -> None:
    for command in commands:
        if parse(command).verb in skip:
            continue
        try:
            compose.execute(command)
        except DockwrightError as error:
            pytest.fail(str(error), pytrace=False)
