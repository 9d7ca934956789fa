"""Loads a Compose project: from files, variables and profiles to a `StackSpec`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from dockwright.compose.consistency import check_consistency
from dockwright.compose.discovery import discover
from dockwright.compose.document import Scope, check_shape, complete, documents
from dockwright.compose.dotenv import with_env_files
from dockwright.compose.environment import fill_variables, read_env_files, read_label_files
from dockwright.compose.extends import apply_extends
from dockwright.compose.include import apply_include
from dockwright.compose.interpolate import interpolate
from dockwright.compose.merge import drop, merge
from dockwright.compose.normalise import give_contexts, normalise, prune
from dockwright.compose.options import LoadOptions
from dockwright.compose.paths import absolute, cleaned, rebase
from dockwright.compose.profiles import is_enabled
from dockwright.compose.project_name import (
    check_name,
    name_of_directory,
    normalise_name,
)
from dockwright.compose.reading import read
from dockwright.compose.secret_variables import ProjectPlace, with_variables
from dockwright.compose.source import Origins, Tree
from dockwright.compose.spec import build_spec, check_values
from dockwright.compose.support import check_newer, check_support
from dockwright.compose.unique import uniquify
from dockwright.compose.warnings import Warnings
from dockwright.errors import ComposeError
from dockwright.model import StackSpec
from dockwright.untrusted import is_file


def load(options: LoadOptions | None = None) -> StackSpec:
    """Load a Compose project.

    Args:
        options: which one, and how; default: the one of the current directory.

    Returns:
        The enabled services, normalised. A literal dollar in a value is ``$``: the doubled ``$$``
        of ``docker compose config`` is made only by `to_json` and `to_yaml`.

    Raises:
        ComposeError: no file, or something wrong in one; names file, line and path.
        ComposeUnsupportedError: right, but nothing that dockwright can run.
    """
    options = options or LoadOptions()
    place = locate(options)
    files, directory, name = place.files, place.working_dir, place.name
    variables = dict(place.variables)
    scope = Scope(directory, variables, Warnings())
    tree, origins = load_files(files, scope)
    if not tree.keys() - {"version"}:
        raise ComposeError("the Compose file is empty", file=files[0])
    normalise(tree, name, variables)
    declared = tree["services"]
    _enable(tree, options.profiles, variables)
    check_values(tree, declared, origins)
    check_newer(tree, origins)
    check_consistency(tree, declared, origins)
    for key, service in tree["services"].items():
        if options.resolve_env_files:
            read_env_files(service, key, variables, origins)
        read_label_files(service, key, origins)
    prune(tree)
    check_support(tree, origins, scope.warnings, runnable=options.runnable)
    spec = build_spec(tree, name, directory, files, origins, scope.warnings)
    return with_variables(spec, tree, variables, origins)


def locate(options: LoadOptions | None = None) -> ProjectPlace:
    """Find a project's files and name without understanding what is in the files.

    Raises:
        ComposeError: there is no file, or no name.
    """
    options = options or LoadOptions()
    files, directory, variables = _circumstances(options)
    name = _name(options, files, directory, variables)
    return ProjectPlace(name, files, directory, variables | {"COMPOSE_PROJECT_NAME": name})


def load_files(files: tuple[Path, ...], scope: Scope) -> tuple[Tree, Origins]:
    """Load and merge the files of one project or include, paths and variables resolved."""
    tree: Tree = {}
    origins = Origins(files[0])
    for number, file in enumerate(files):
        for document in documents(file, scope):
            document.tree = complete(document.tree, document.origins)
            apply_extends(document, scope)
            chain = (*scope.chain, file) if number == 0 else scope.chain
            apply_include(document, replace(scope, chain=chain), load_files)
            drop(tree, document.resets)
            if tree:
                origins.absorb(document.origins)
                tree = merge(tree, document.tree, origins)
            else:
                tree, origins = document.tree, document.origins
            tree = uniquify(tree)
            check_shape(tree, origins, partial=False)
    give_contexts(tree)
    tree = rebase(tree, scope.directory)
    fill_variables(tree, scope.variables, listed=bool(scope.chain))
    return tree, origins


def _enable(tree: Tree, profiles: tuple[str, ...], variables: dict[str, str]) -> None:
    """Keep the services that the active profiles enable, in place."""
    listed = variables.get("COMPOSE_PROFILES", "").split(",")
    active = profiles or [name.strip() for name in listed]
    tree["services"] = {
        name: service for name, service in tree["services"].items() if is_enabled(service, active)
    }


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
            f"no project name can be made from 'name: {written}'",
            hint="write lower-case letters, digits, '-' and '_' there, or set COMPOSE_PROJECT_NAME",
        )
    return name


def _name_in_files(files: tuple[Path, ...], variables: dict[str, str]) -> str | None:
    name = None
    for file in files:
        for document in read(file):
            value = document.tree.get("name") if isinstance(document.tree, dict) else None
            if isinstance(value, str) and value:
                name = interpolate(value, variables, document.origins, Warnings(), ("name",))
    return name
