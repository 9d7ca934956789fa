"""pytest-docker's fixtures on dockwright's stacks: ``dockwright_compat = pytest-docker``.

A plugin that `dockwright.pytest_plugin.plugin` loads where it is asked for. Names, signatures,
scopes and error texts are those of pytest-docker 3.2; see docs/how-to/move-from-pytest-docker.md.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import threading
import timeit
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, cast

import pytest

from dockwright.errors import DockwrightError, StackError, UnknownServiceError, UsageError
from dockwright.model import Requirement
from dockwright.pool.declared import find_endpoint
from dockwright.pytest_plugin.announced import DOCKER_SERVICES, Announcement, declare, name_of
from dockwright.pytest_plugin.leases import acquire_shared, release
from dockwright.pytest_plugin.run import HeldLease, Run, run_of, workers_of
from dockwright.settings import Settings
from dockwright.stack import COMPOSE_PROJECT, COMPOSE_SERVICE
from dockwright.stack.addresses import Addresses
from dockwright.wait import Cadence

STARTING = frozenset({"up", "down", "build", "pull", "rm"})
"""What docker_setup does with them is done when a stack is leased."""

REMOVING = frozenset({"down", "rm", "stop", "kill"})
"""What docker_cleanup does with them is done when the lease has ended."""

_MAKING = frozenset({"run", "create", "scale", "watch", "up"})
_FLAGS_WITH_VALUE = frozenset(
    {
        "--ansi",
        "--env-file",
        "--file",
        "--parallel",
        "--profile",
        "--progress",
        "--project-directory",
        "--project-name",
        "-f",
        "-p",
    }
)


@dataclass(frozen=True, slots=True)
class Parsed:
    """A Compose command line: what it does, and the global flags that say which project."""

    verb: str
    profiles: tuple[str, ...]
    env_files: tuple[str, ...]


def parse(subcommand: str) -> Parsed:
    """Read what follows ``docker compose``, as far as we need to understand it."""
    found: dict[str, list[str]] = {"--profile": [], "--env-file": []}
    words = iter(shlex.split(subcommand))
    verb = ""
    for word in words:
        if not word.startswith("-"):
            verb = word
            break
        flag, equals, value = word.partition("=")
        if flag in _FLAGS_WITH_VALUE:
            found.setdefault(flag, []).append(value if equals else next(words, ""))
    return Parsed(verb, tuple(found["--profile"]), tuple(found["--env-file"]))


def flags_of(command: str) -> str:
    """Return what follows ``docker compose`` in `docker_compose_command`."""
    words = shlex.split(command)
    first = next((index for index, word in enumerate(words) if word.startswith("-")), len(words))
    return shlex.join(words[first:])


class Compose:
    """Runs the commands that dockwright does not do itself through the real Compose.

    Args:
        command: how Compose is called, e.g. ``docker compose``.
        files: the Compose files.
        project: the project name of the stack.
        environ: for the command; says which engine.
    """

    def __init__(
        self, command: str, files: Sequence[Path], project: str, environ: Mapping[str, str]
    ) -> None:
        self._command = command
        self._files = files
        self._project = project
        self._environ = environ

    def execute(
        self, subcommand: str, success_codes: Iterable[int] = (0,), *, ignore_stderr: bool = False
    ) -> bytes:
        """Run ``docker compose ... SUBCOMMAND`` in a shell; return what it printed.

        Raises:
            StackError: it failed; with pytest-docker's text.
            UsageError: it would make containers beside the stack, or Compose is not there.
        """
        verb = parse(subcommand).verb
        if verb in _MAKING:
            raise UsageError(
                f"`{subcommand}`: `{verb}` would make containers that no pool knows of",
                hint="dockwright starts and removes the whole stack itself: make it a service of "
                "the Compose file, with depends_on (condition: service_completed_successfully)",
            )
        files = " ".join(f"-f {shlex.quote(str(file))}" for file in self._files)
        line = f"{self._command} {files} -p {shlex.quote(self._project)} {subcommand}"
        done = self._run(line, subprocess.DEVNULL if ignore_stderr else subprocess.STDOUT)
        if done.returncode in success_codes:
            return done.stdout
        if self._run(f"{self._command} version", subprocess.STDOUT).returncode:
            raise UsageError(
                f"`{subcommand}` needs Docker Compose, but `{self._command}` does not run here",
                hint="dockwright does up, down, build and pull itself; for other commands of "
                "docker_setup and docker_cleanup install Compose, or do without them",
            )
        text = done.stdout.decode(errors="replace")
        raise StackError(f'Command {line} returned {done.returncode}: """{text}""".')

    def _run(self, line: str, stderr: int) -> subprocess.CompletedProcess[bytes]:
        # By a shell and without a limit of time, as pytest-docker does: suites redirect output.
        return subprocess.run(  # noqa: S602
            line, shell=True, check=False, stdout=subprocess.PIPE, stderr=stderr, env=self._environ
        )


_FIRST_PAUSE_S = 0.02


class Services:
    """What ``docker_services`` gives.

    Args:
        published: returns ``host:port`` by ``port/protocol`` for a service's published ports.
        compose: for the commands that suites run on their own.
        reset: brings the stack back to its baseline.
    """

    def __init__(
        self,
        published: Callable[[str], Mapping[str, str]],
        compose: Compose,
        reset: Callable[[], None],
    ) -> None:
        self._published = published
        self._reset = reset
        self._docker_compose = compose  # private there too, and used all the same

    def port_for(self, service: str, container_port: int) -> int:
        """Return the port of the host that leads to the service's own port.

        Raises:
            ValueError: the service does not publish it.
            UnknownServiceError: no such service; lists those that are.
        """
        address = self._published(service).get(f"{container_port}/tcp")
        if address is None:
            raise ValueError(f'Could not detect port for "{service}:{container_port}".')
        return int(address.rpartition(":")[2])

    def reset(self) -> None:
        """Bring the stack back to its baseline, between two tests; pytest-docker has no such call.

        Raises:
            UsageError: docker_setup starts nothing, so that the stack is somebody else's.
            StackBrokenError: the reset failed.
        """
        self._reset()

    def wait_until_responsive(
        self,
        check: Callable[[], object],
        timeout: float,
        pause: float,
        clock: Callable[[], float] = timeit.default_timer,
    ) -> None:
        """Wait until `check` returns something true.

        Args:
            check: is called at once and then again and again.
            timeout: how long to wait, in seconds.
            pause: the longest pause between two calls, in seconds; the first ones are shorter.
            clock: returns the time in seconds.

        Raises:
            Exception: it was not in time, with pytest-docker's text.
        """
        longest_s = max(pause, 0.001)
        cadence = Cadence(min(_FIRST_PAUSE_S, longest_s), longest_s)
        began = now = clock()
        while now - began < timeout:
            if check():
                return
            # No event announces that a user's own check has become true: it has to be polled.
            threading.Event().wait(cadence.pause_s(now - began))
            now = clock()
        raise Exception("Timeout reached while waiting on service!")  # noqa: TRY002 - see above


Scope: TypeAlias = Literal["session", "package", "module", "class", "function"]
SCOPES: tuple[Scope, ...] = ("session", "package", "module", "class", "function")

_ORIGINAL, _ORIGINAL_NAME = "pytest_docker", "docker"
"""The module of pytest-docker's own plugin, and what pytest calls it where it is installed."""

Files: TypeAlias = str | Path | Sequence[str | Path]
Commands: TypeAlias = str | Sequence[str] | Literal[False] | None


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Declare ``--container-scope`` and take pytest-docker's place; fires when this is loaded.

    Where pytest-docker's own plugin is active as well, it is switched off, as by ``-p no:docker``.
    Its option has been declared by then, and stays. A suite that asks pytest for the plugin
    ``docker`` still finds one.
    """
    active = [name for name, each in pluginmanager.list_name_plugin() if _is_original(each)]
    for name in {*active, _ORIGINAL}:  # the second may be loaded later, by a conftest.py
        pluginmanager.set_blocked(name)
    if active and hasattr(pluginmanager, "unblock"):  # since pluggy 1.4
        pluginmanager.unblock(_ORIGINAL_NAME)
    if not pluginmanager.hasplugin(_ORIGINAL_NAME) and not pluginmanager.is_blocked(_ORIGINAL_NAME):
        pluginmanager.register(_StandIn(replaces=bool(active)), _ORIGINAL_NAME)
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
            f"--container-scope={scope}: unknown scope\n  hint: the scopes are: {', '.join(SCOPES)}"
        )


def pytest_report_header(config: pytest.Config) -> str | None:
    """Say that pytest-docker's own plugin was there and is off; fires in the main process."""
    plugin = config.pluginmanager.get_plugin(_ORIGINAL_NAME)
    replaced = isinstance(plugin, _StandIn) and plugin.replaces
    if replaced or config.pluginmanager.is_blocked(_ORIGINAL_NAME):
        return (
            "dockwright: offers pytest-docker's fixtures; pytest-docker's own plugin is switched "
            "off for this run"
        )
    return None


@dataclass(frozen=True, slots=True)
class _StandIn:
    """Has the name of pytest-docker's own plugin.

    Attributes:
        replaces: whether that was active.
    """

    replaces: bool


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
    root = run.settings.root
    commands = [docker_compose_command, *_commands(docker_setup)]
    announced = _announcement(run.settings, _paths(docker_compose_file), commands)
    holder = f"docker_services of {request.node.nodeid or root.name}"
    try:
        declare(run, announced, workers_of(request.config))
        requirement = Requirement(announced.stack, exclusive=True, scope="session", holder=holder)
        held = acquire_shared(run, requirement, DOCKER_SERVICES)
        run.leased.add(announced)
    except DockwrightError as error:
        pytest.fail(str(error), pytrace=False)
    yield held
    removed = any(parse(command).verb == "down" for command in _commands(docker_cleanup))
    release(
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
    """Lease a stack to this worker alone, for the scope; it is reset in the background."""
    run = run_of(request.config)
    environ = _environment(run.settings.engine)
    files = _paths(docker_compose_file)
    if not docker_setup:
        compose = Compose(docker_compose_command, files, docker_compose_project_name, environ)
        published = _running(request, docker_compose_project_name)
        yield Services(published, compose, _not_ours)
        return
    held: HeldLease = request.getfixturevalue("_dockwright_compat_lease")
    compose = Compose(docker_compose_command, files, held.lease.leased.project, environ)
    _execute(compose, _after_up(_commands(docker_setup)), skip=STARTING)
    yield Services(
        lambda service: held.lease.stack.addresses.published(service),
        compose,
        lambda: _reset(run, held),
    )
    _execute(compose, _commands(docker_cleanup), skip=REMOVING)


def _reset(run: Run, held: HeldLease) -> None:
    run.reset(held.lease)
    held.used = False


def _not_ours() -> None:
    raise UsageError(
        "docker_services.reset(): docker_setup starts nothing, so the stack is not dockwright's",
        hint="return the default from docker_setup, and dockwright starts and resets the stack",
    )


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


def _announcement(
    settings: Settings, files: Sequence[Path], commands: Sequence[str]
) -> Announcement:
    """Return the stack of some Compose files, with what Compose command lines say of it."""
    command, *setup = commands
    lines = [parse(flags_of(command)), *map(parse, setup)]
    env_files = [str(Path(file).absolute()) for each in lines for file in each.env_files]
    return Announcement(
        DOCKER_SERVICES,
        "",
        name_of(files, settings.root),
        tuple(map(str, files)),
        (*settings.profiles, *(name for each in lines for name in each.profiles)),
        (*map(str, settings.env_files), *env_files),
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
