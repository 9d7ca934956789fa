"""What users, suites, scripts and other programs rely on, read from the installed package.

`SURFACE` has a function for each section of ``expected.toml``, which returns its lines.
"""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path

import click

import dockwright
from dockwright import errors

ROOT = Path(__file__).parents[2]


def public_names() -> list[str]:
    """Return ``dockwright.__all__`` with the parameters of functions and members of classes."""
    lines: list[str] = []
    for name in dockwright.__all__:
        value = getattr(dockwright, name)
        if inspect.isfunction(value):
            lines.append(f"{name}{_parameters(value)}")
        else:
            lines.append(name)
        if inspect.isclass(value) and not issubclass(value, Exception):
            lines += [f"{name}.{member}" for member in _members(value)]
    return lines


def _members(kind: type) -> Iterator[str]:
    names = {field.name for field in fields(kind)} if is_dataclass(kind) else set()
    names |= {name for base in kind.__mro__[:-1] for name in vars(base)}
    for name in sorted(names):
        value = getattr(kind, name, None)
        if name.startswith("_"):
            continue
        yield f"{name}{_parameters(value)}" if inspect.isroutine(value) else name


def _parameters(function: Callable[..., object]) -> str:
    """Return the parameters' names, with ``*`` before those that only a keyword reaches."""
    shown, by_keyword = [], False
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind is parameter.KEYWORD_ONLY and not by_keyword:
            by_keyword = True
            shown.append("*")
        if name not in ("self", "cls"):
            shown.append(str(parameter).partition(":")[0].partition("=")[0].strip())
    return f"({', '.join(shown)})"


def error_classes() -> list[str]:
    """Return the public errors with their bases and the exit codes they end a command with."""
    return [
        f"{name}({', '.join(base.__name__ for base in kind.__bases__)}): exit code {kind.exit_code}"
        for name, kind in sorted(vars(errors).items())
        if inspect.isclass(kind) and issubclass(kind, errors.DockwrightError)
    ]


def documented_imports() -> list[str]:
    """Return every name that docs, README, examples and tests/integration import, and check it."""
    found: set[str] = set()
    for module, name in _documented_imports():
        if not hasattr(import_module(module), name):
            import_module(f"{module}.{name}")
        found.add(f"{module}.{name}")
    return sorted(found)


def _documented_imports() -> Iterator[tuple[str, str]]:
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]:
        for statement in re.findall(
            r"^ *from dockwright[\w.]* import (?:\([^)]*\)|.*)$", page.read_text("utf-8"), re.M
        ):
            yield from _imports_of(statement.strip())
    for directory in ("examples", "tests/integration"):
        for file in sorted((ROOT / directory).rglob("*.py")):
            yield from _imports_of(file.read_text("utf-8"))


def _imports_of(source: str) -> Iterator[tuple[str, str]]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "dockwright":
            yield from ((node.module or "", each.name) for each in node.names)


def fixtures() -> list[str]:
    """Return the fixtures with their scopes, as ``pytest --fixtures`` shows them."""
    own = _listed("--fixtures")
    compatible = _listed("--fixtures", "-o", "dockwright_compat=pytest-docker")
    return [*own, *(f"{line} (compat)" for line in compatible if line not in own)]


def _listed(*arguments: str) -> list[str]:
    shown = _pytest(*arguments)
    pattern = r"^(\w+)((?: \[\w+ scope\])?) -- \S*dockwright/"
    return sorted(name + scope for name, scope in re.findall(pattern, shown, re.M))


def markers() -> list[str]:
    """Return the markers that the plugin registers."""
    from dockwright.pytest_plugin.markers import HELP

    shown = _pytest("--markers")
    return [name for name in HELP if f"@pytest.mark.{name}:" in shown]


def _pytest(*arguments: str) -> str:
    # Only the plugin itself: what else is installed here has fixtures and markers too.
    command = [sys.executable, "-m", "pytest", "-c", "/dev/null", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, cwd=ROOT / "src"
    ).stdout


def hooks() -> list[str]:
    """Return the hooks that a suite may implement."""
    from dockwright.pytest_plugin.seed import dockwright_reset, dockwright_seed

    return [f"{hook.__name__}{_parameters(hook)}" for hook in (dockwright_reset, dockwright_seed)]


def settings() -> list[str]:
    """Return every setting in its three spellings."""
    from dockwright.settings import OPTIONS

    return [f"{each.flag_name} {each.ini_name} {each.environment_name}" for each in OPTIONS]


def installed() -> list[str]:
    """Return the entry points, and the strategies of the group that other packages add to."""
    from dockwright.reset import GROUP, STRATEGIES

    (plugin,) = entry_points(group="pytest11", name="dockwright")
    (script,) = entry_points(group="console_scripts", name="dockwright")
    return [
        f"pytest11: {plugin.name}",
        f"console_scripts: {script.name}",
        f"group: {GROUP}",
        *(f"strategy: {name}" for name in sorted(STRATEGIES)),
    ]


def commands() -> list[str]:
    """Return the tree of commands, each with its options and arguments."""
    from dockwright.cli.app import dockwright as root

    with click.Context(root, info_name="dockwright", **root.context_settings) as context:
        return list(_commands(root, context))


def _commands(command: click.Command, context: click.Context) -> Iterator[str]:
    words = [
        "/".join([*each.opts, *each.secondary_opts])
        if isinstance(each, click.Option)
        else each.make_metavar(context)
        for each in command.get_params(context)
    ]
    yield " ".join([context.command_path, *words])
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            with click.Context(inner, info_name=name, parent=context) as below:
                yield from _commands(inner, below)


def report_fields() -> list[str]:
    """Return the fields of the JSON report, as its reference has them (which is generated)."""
    page = (ROOT / "docs" / "reference" / "report-json.md").read_text("utf-8")
    lines, kind = [], "report"
    for line in page.splitlines():
        if line.startswith("## "):
            kind = line.removeprefix("## ")
        elif row := re.match(r"\| `(\w+)` \|", line):
            lines.append(f"{kind}.{row[1]}")
    return lines


def labels() -> list[str]:
    """Return the labels of everything that dockwright makes."""
    from dockwright.engine import current_owner, ownership_labels
    from dockwright.model import Ownership

    ownership = Ownership("session", "project", "stack", current_owner(), 0.0, "version")
    return list(ownership_labels(ownership))


SURFACE: Mapping[str, Callable[[], list[str]]] = {
    "dockwright": public_names,
    "errors": error_classes,
    "documented imports": documented_imports,
    "fixtures": fixtures,
    "markers": markers,
    "hooks": hooks,
    "settings": settings,
    "installed": installed,
    "commands": commands,
    "report": report_fields,
    "labels": labels,
}
