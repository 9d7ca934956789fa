"""Load a Compose project: find its files, read, merge, interpolate, check and normalise them."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dockwright.compose.checks import check_project
from dockwright.compose.documents import Scope, load_files
from dockwright.compose.dotenv import read_env_files, read_label_files, with_env_files
from dockwright.compose.interpolate import Interpolation
from dockwright.compose.normalise import normalise
from dockwright.compose.paths import absolute, cleaned
from dockwright.compose.read_yaml import read
from dockwright.compose.references import References
from dockwright.compose.source import Origins, Tree, Warnings
from dockwright.compose.spec import ProjectPlace, build_spec
from dockwright.compose.x_dockwright import KEY, declared_processes
from dockwright.errors import ComposeError, NoComposeFileError
from dockwright.model import StackSpec
from dockwright.untrusted import is_file

NAMES = ("compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml")
_OVERRIDES = (  # Compose's order, which is not that of the names above
    *("compose.override.yml", "compose.override.yaml"),
    *("docker-compose.override.yml", "docker-compose.override.yaml"),
)


def discover(
    start: Path,
    environ: Mapping[str, str],
    current: Path | None = None,
    *,
    required: bool = True,
) -> tuple[Path, ...]:
    """Return the Compose files that apply in a directory, in merge order.

    Args:
        start: the directory; its parents are searched when it has none.
        environ: ``COMPOSE_FILE`` (separated by ``COMPOSE_PATH_SEPARATOR``) overrides the search.
        current: where relative paths in ``COMPOSE_FILE`` start; default: `start`.
        required: whether it is an error that the directory and its parents have none.

    Raises:
        NoComposeFileError: there is none.
        ComposeError: ``COMPOSE_FILE`` is empty or names a missing file.
    """
    start = start.absolute()
    listed = environ.get("COMPOSE_FILE")
    if listed is not None:
        separator = environ.get("COMPOSE_PATH_SEPARATOR") or os.pathsep
        return _listed(listed.split(separator), (current or start).absolute())
    for directory in (start, *start.parents):
        found = [directory / name for name in NAMES if is_file(directory / name)]
        if found:
            return (found[0], *_override(directory))
    if not required:
        return ()
    raise NoComposeFileError(
        f"no Compose file in {start} or above it{_no_files(start)}",
        hint=f"call it {NAMES[0]}, or name one: with dockwright_compose in pytest's settings, with "
        "-f for `dockwright stack`, or with COMPOSE_FILE for both",
    )


def _listed(names: list[str], base: Path) -> tuple[Path, ...]:
    if "" in names:
        raise ComposeError("COMPOSE_FILE is empty, or has an empty part", hint="unset it")
    files = tuple(cleaned(Path(name), base) for name in names)
    for file in files:
        if not is_file(file):
            raise ComposeError("no such file", file=file, hint="COMPOSE_FILE names it")
    return files


def _override(directory: Path) -> tuple[Path, ...]:
    return tuple(directory / name for name in _OVERRIDES if is_file(directory / name))[:1]


def _no_files(directory: Path) -> str:
    """List what has the name of a Compose file but is not a file."""
    found = [directory / name for name in NAMES if os.path.lexists(directory / name)]
    return "".join(f"; {each.name} is {_kind(each)}" for each in found)


def _kind(path: Path) -> str:
    if path.is_dir():
        return "a directory"
    return "a broken symbolic link" if path.is_symlink() else "not a file"


_VALID = re.compile(r"[a-z0-9][a-z0-9_-]*")


def normalise_name(text: str) -> str:
    """Return a name with the characters that Compose allows, in lower case."""
    return re.sub(r"[^a-z0-9_-]", "", text.lower()).lstrip("_-")


def name_of_directory(directory: Path) -> str:
    """Return a project name made from a directory's name.

    A name without a letter or digit of ASCII (which Compose refuses) is represented by a hash.
    """
    name = normalise_name(directory.name)
    digest = hashlib.sha256(directory.name.encode(errors="surrogateescape")).hexdigest()
    return name or f"project-{digest[:8]}"


def check_name(name: str) -> str:
    """Return a name that the user chose, or raise an error that says what is wrong with it.

    Raises:
        ComposeError: it contains anything but lower-case letters, digits, ``-`` and ``_``.
    """
    if not _VALID.fullmatch(name):
        raise ComposeError(
            f"invalid project name {name!r}",
            hint="use lower-case letters, digits, '-' and '_', beginning with a letter or digit",
        )
    return name


def is_enabled(service: Tree, active: Iterable[str]) -> bool:
    """Return whether a service has no profile, or an active one; ``*`` activates all."""
    wanted = service.get("profiles") or []
    chosen = set(active)
    return not wanted or "*" in chosen or bool(chosen & set(wanted))


def _process_environment() -> dict[str, str]:
    return dict(os.environ)


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """Which files to load, and how.

    Attributes:
        files: the Compose files in merge order; empty: ``COMPOSE_FILE``, or searched from `start`.
        project_name: the name; None: ``COMPOSE_PROJECT_NAME``, the files' ``name:``, the directory.
        working_dir: where relative paths start; None: the directory of the first file.
        profiles: the active profiles, ``*`` for all; empty: those of ``COMPOSE_PROFILES``.
        services: the services and native processes that are wanted, in any profile; what they
            depend on is added. Empty: all that are enabled.
        env_files: files with variables for interpolation; empty: ``.env`` in the project directory.
        environ: the caller's environment; its variables take precedence over all others.
        values: variables that take precedence over those of `env_files`.
        start: where discovery begins; None: the current directory.
        resolve_env_files: move the variables of ``env_file`` into ``environment``.
        runnable: refuse what dockwright cannot run; False: only warn, to show the project.
    """

    files: tuple[Path, ...] = ()
    project_name: str | None = None
    working_dir: Path | None = None
    profiles: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    env_files: tuple[Path, ...] = ()
    environ: Mapping[str, str] = field(default_factory=_process_environment)
    values: Mapping[str, str] = field(default_factory=dict)
    start: Path | None = None
    resolve_env_files: bool = True
    runnable: bool = True


def load(options: LoadOptions | None = None) -> StackSpec:
    """Load a Compose project.

    Args:
        options: which files to load, and how; default: the project of the current directory.

    Returns:
        The enabled services, normalised. A literal dollar in a value is ``$``: the doubled ``$$``
        of ``docker compose config`` is made only by `to_json` and `to_yaml`.

    Raises:
        ComposeError: there is no file, or a file is wrong; the message names file, line and path.
        ComposeUnsupportedError: the files are valid, but dockwright cannot run the project.
    """
    options = options or LoadOptions()
    place = locate(options)
    variables = dict(place.variables)
    scope = Scope(place.working_dir, variables, Warnings())
    tree, origins = load_files(place.files, scope)
    if not tree.keys() - {"version"}:
        raise ComposeError("the Compose file is empty", file=place.files[0])
    normalise(tree, place.name, variables)
    declared = tree["services"]
    _enable(tree, options, variables)
    if options.services:
        _select(tree, options.services, place.files, origins)
    for key, service in tree["services"].items():
        if options.resolve_env_files:
            read_env_files(service, key, variables, origins)
        read_label_files(service, key, origins)
    check_project(tree, declared, origins, scope.warnings, runnable=options.runnable)
    return build_spec(tree, declared, place, origins, scope.warnings)


def locate(options: LoadOptions | None = None) -> ProjectPlace:
    """Find a project's files and its name, without reading more of the files than the name.

    Raises:
        ComposeError: there is no file, or no name.
    """
    options = options or LoadOptions()
    files, directory, variables = _circumstances(options)
    name = _name(options, files, directory, variables)
    return ProjectPlace(name, files, directory, variables | {"COMPOSE_PROJECT_NAME": name})


def _enable(tree: Tree, options: LoadOptions, variables: dict[str, str]) -> None:
    """Keep the services that the active profiles enable, in place.

    As in Compose, the profiles of a service that is named are active.
    """
    listed = variables.get("COMPOSE_PROFILES", "").split(",")
    active = [*(options.profiles or (name.strip() for name in listed))]
    for name in options.services:
        active += (tree["services"].get(name) or {}).get("profiles") or ()
    tree["services"] = {
        name: service for name, service in tree["services"].items() if is_enabled(service, active)
    }


def _select(tree: Tree, names: tuple[str, ...], files: tuple[Path, ...], origins: Origins) -> None:
    """Keep some services and native processes, and what they depend on, in place.

    Raises:
        ComposeError: the project has no such service; lists those that it has.
    """
    services: dict[str, Tree] = tree["services"]
    processes = declared_processes(tree, origins)
    for name in names:
        if name not in services and name not in processes:
            raise ComposeError(
                f"no service {name!r} is declared",
                file=files[0],
                hint=f"the services are: {', '.join([*services, *processes])}",
            )
    kept = References(tree["name"], services).with_dependencies(names, processes)
    tree["services"] = {name: each for name, each in services.items() if name in kept}
    if processes:
        left = {name: each for name, each in processes.items() if name in kept}
        tree[KEY] = {**tree[KEY], "processes": left}


def _circumstances(options: LoadOptions) -> tuple[tuple[Path, ...], Path, dict[str, str]]:
    """Return the files, the project directory, and the variables that interpolation sees.

    As in Compose, files are looked for twice: the ``.env`` beside those that were found first
    may hold a ``COMPOSE_FILE`` that leads to others, and to another ``.env``.
    """
    start = (options.start or Path.cwd()).absolute()
    files = tuple(cleaned(file, start) for file in options.files)
    given = _given_env_files(options, start)
    base = cleaned(options.working_dir or start, start)
    variables = {**options.values, **options.environ}
    found = files or discover(base, variables, start, required=False)
    for last in (False, True):
        directory = base if options.working_dir or not found else found[0].parent
        variables = with_env_files(variables, given or _dotenv(directory, variables))
        if not last:
            found = files or discover(base, variables, start)
    return found, directory, variables


def _given_env_files(options: LoadOptions, start: Path) -> tuple[Path, ...]:
    listed = options.environ.get("COMPOSE_ENV_FILES", "").split(",")
    names = [str(file) for file in options.env_files] or [name for name in listed if name]
    return tuple(Path(absolute(name, start)) for name in names)


def _dotenv(directory: Path, known: Mapping[str, str]) -> tuple[Path, ...]:
    file = directory / ".env"
    disabled = known.get("COMPOSE_DISABLE_ENV_FILE", "").lower() in ("1", "t", "true")
    return (file,) if is_file(file) and not disabled else ()


def _name(
    options: LoadOptions, files: tuple[Path, ...], directory: Path, variables: dict[str, str]
) -> str:
    given = options.project_name or variables.get("COMPOSE_PROJECT_NAME")
    if given:
        return check_name(given)
    written = _name_in_files(files, variables)
    if written is None:
        return name_of_directory(directory)
    name = normalise_name(written)
    if not name:
        raise ComposeError(
            f"cannot derive a project name from 'name: {written}'",
            hint="use lower-case letters, digits, '-' and '_', or set COMPOSE_PROJECT_NAME",
        )
    return name


def _name_in_files(files: tuple[Path, ...], variables: dict[str, str]) -> str | None:
    name = None
    for file in files:
        for document in read(file):
            value = document.tree.get("name") if isinstance(document.tree, dict) else None
            if isinstance(value, str) and value:
                interpolation = Interpolation(variables, document.origins, Warnings())
                name = interpolation.apply(value, None, ("name",))
    return name
