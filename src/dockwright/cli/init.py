"""``dockwright init``: look at a project, write the settings it needs, and say what comes next.

Nothing but lines of settings is written into existing files.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import click

from dockwright.cli.doctor import report
from dockwright.cli.options import json_option, root_option
from dockwright.cli.output import note, print_json
from dockwright.cli.pytest_settings import configuring_file, project_root, project_settings
from dockwright.compose import LoadOptions, load
from dockwright.errors import DockwrightError, NoComposeFileError, UsageError
from dockwright.managed import Finding
from dockwright.model import StackSpec
from dockwright.pool.declared import load_options
from dockwright.settings import DEFAULT_STACK, Settings
from dockwright.stack import sole_reason
from dockwright.stack.host_ports import declared_host_ports

_COMPOSE = re.compile(r"(docker-)?compose[\w.-]*\.ya?ml")
_IGNORED = {"node_modules", "venv", "site-packages", "build", "dist", "__pycache__"}
_DEEPEST = 4
_LARGEST = 1 << 20
_OWN_STACK = re.compile(r"^\s*(?:async )?def stack\(", re.MULTILINE)
_DATABASES = re.compile(r"^DATABASES\s*=", re.MULTILINE)
_COMPOSE_UP = re.compile(r"docker[ -]compose .*\bup\b")
_CI = (".github/workflows/*.y*ml", ".gitlab-ci.yml", "azure-pipelines.yml", ".circleci/config.yml")

TEST = '''"""The stack of the Compose file runs. `pytest --fixtures` shows what tests can use."""


def test_the_stack_runs(stack):
    for service in stack.services:
        print(service, stack.env)
    assert stack.services
'''


@dataclass(frozen=True, slots=True)
class _Plugin:
    """A tool that a suite may use for its containers.

    Attributes:
        words: how its use is recognised in a Python file.
        remedy: what to do about it.
        settings: that make its suites run unchanged.
    """

    words: re.Pattern[str]
    remedy: str
    settings: Mapping[str, str] = field(default_factory=dict)


PLUGINS = {
    "pytest-docker-compose, lovely-pytest-docker": _Plugin(
        re.compile(r"docker_services\.start\(|function_scoped_container_getter"),
        "request `stack` instead: it starts all services of the Compose file",
    ),
    "pytest-docker": _Plugin(
        re.compile(r"\bdocker_services\b|\bdocker_compose_file\b"),
        "its suites run unchanged: docs/how-to/move-from-pytest-docker.md",
        {"dockwright_compat": "pytest-docker"},
    ),
    "testcontainers": _Plugin(
        re.compile(r"^\s*(?:from|import) testcontainers\b", re.MULTILINE),
        "its suites run unchanged: docs/how-to/move-from-testcontainers.md",
        {"dockwright_compat": "testcontainers"},
    ),
    "python-on-whales": _Plugin(
        re.compile(r"^\s*(?:from|import) python_on_whales\b", re.MULTILINE),
        "request `stack` instead of `docker.compose.up()`; `docker_client` reaches the same engine",
    ),
}


@dataclass(slots=True)
class ProjectFindings:
    """What was found in a project.

    Attributes:
        root: the root directory that pytest finds.
        settings: those that the project has.
        findings: what works, what needs a look, and what does not work.
        wanted: the settings to add, by name in the ini file.
    """

    root: Path
    settings: Settings
    findings: list[Finding] = field(default_factory=list)
    wanted: dict[str, str] = field(default_factory=dict)


def survey(root: Path) -> ProjectFindings:
    """Look at a project, without changing anything."""
    found = ProjectFindings(root, project_settings(root, ""))
    sources = {file: _text(file) for file in _files(root) if file.suffix == ".py"}
    tests = {file: text for file, text in sources.items() if _is_test(file.relative_to(root))}
    spec = _compose(found)
    _plugins(found, tests)
    if spec is not None:
        _runs(found, spec)
        _ports(found, spec, tests)
    _names(found, tests)
    _django(found, sources)
    _ci(found)
    return found


def _compose(found: ProjectFindings) -> StackSpec | None:
    """Find the Compose file and load it."""
    try:
        options = load_options(found.settings, DEFAULT_STACK, os.environ)
        return _loaded(found, options)
    except NoComposeFileError as failure:
        others = [file for file in _files(found.root) if _COMPOSE.fullmatch(file.name)]
        if not others:
            found.findings.append(Finding("compose file", "fail", failure.message, "write one"))
            return None
    except DockwrightError as failure:
        found.findings.append(Finding("compose file", "fail", failure.message, failure.hint or ""))
        return None
    chosen = min(others, key=lambda file: (len(file.parts), "test" not in str(file), str(file)))
    found.wanted["dockwright_compose"] = str(chosen.relative_to(found.root))
    try:
        return _loaded(found, LoadOptions(files=(chosen,), environ=os.environ))
    except DockwrightError as failure:
        found.findings.append(Finding("compose file", "fail", failure.message, failure.hint or ""))
        return None


def _loaded(found: ProjectFindings, options: LoadOptions) -> StackSpec:
    spec = load(options)
    names = ", ".join(spec.services) or "no service"
    found.findings.append(Finding("compose file", "ok", f"project {spec.name}: {names}"))
    return spec


def _runs(found: ProjectFindings, spec: StackSpec) -> None:
    """Say what of a Compose file is different in a copy."""
    for warning in spec.warnings:
        found.findings.append(Finding("compose file", "warn", str(warning), "it is ignored"))
    if reason := sole_reason(spec):
        remedy = "tests that change state wait for each other; docs/how-to/declare-stacks.md"
        found.findings.append(Finding("one copy only", "warn", reason, remedy))


def _plugins(found: ProjectFindings, tests: Mapping[Path, str]) -> None:
    for name, plugin in PLUGINS.items():
        users = [file for file, text in tests.items() if plugin.words.search(text)]
        if users:
            where = _shown(users, found.root)
            found.findings.append(Finding(name, "warn", f"used in {where}", plugin.remedy))
            found.wanted |= plugin.settings
            return  # the names of its fixtures are those of others, too


def _ports(found: ProjectFindings, spec: StackSpec, tests: Mapping[Path, str]) -> None:
    """Look for declared host ports in the tests: a copy has others."""
    ports = [str(port) for port, _ in declared_host_ports(spec)]
    users = [
        file
        for file, text in tests.items()
        if any(re.search(rf"(?<!\d){port}(?!\d)", text) for port in ports)
    ]
    if users and "dockwright_compat" not in found.wanted:
        found.wanted["dockwright_ports"] = "declared"
        remedy = "it works with one copy; stack.address(...) or stack.url_for(...) lets several run"
        where = _shown(users, found.root)
        found.findings.append(Finding("declared host ports", "warn", f"used in {where}", remedy))


def _names(found: ProjectFindings, tests: Mapping[Path, str]) -> None:
    users = [file for file, text in tests.items() if _OWN_STACK.search(text)]
    if users:
        remedy = "it replaces dockwright's there: rename it, or use `stack_factory`"
        where = _shown(users, found.root)
        found.findings.append(Finding("a fixture named stack", "warn", f"in {where}", remedy))


def _django(found: ProjectFindings, sources: Mapping[Path, str]) -> None:
    settings = [file for file, text in sources.items() if _DATABASES.search(text)]
    if settings and (found.root / "manage.py").exists():
        remedy = (
            "set HOST and PORT from the stack in a session-scoped `django_db_modify_db_settings` "
            "fixture: docs/how-to/use-stacks-in-your-own-fixtures.md"
        )
        where = _shown(settings, found.root)
        found.findings.append(Finding("Django", "warn", f"DATABASES in {where}", remedy))


def _ci(found: ProjectFindings) -> None:
    files = [file for pattern in _CI for file in found.root.glob(pattern)]
    starting = [file for file in files if _COMPOSE_UP.search(_text(file))]
    if starting:
        remedy = "dockwright starts the stack itself: remove that step"
        where = _shown(starting, found.root)
        found.findings.append(Finding("CI", "warn", f"docker compose up in {where}", remedy))


def _files(root: Path) -> Iterator[Path]:
    for directory, names, files in os.walk(root):
        depth = len(Path(directory).relative_to(root).parts)
        names[:] = sorted(
            name
            for name in names
            if depth < _DEEPEST and not name.startswith(".") and name not in _IGNORED
        )
        yield from (Path(directory, name) for name in sorted(files))


def _is_test(file: Path) -> bool:
    return file.name == "conftest.py" or "test" in str(file)


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8", errors="replace") if file.stat().st_size < _LARGEST else ""
    except OSError:
        return ""


def _shown(files: Sequence[Path], root: Path) -> str:
    names = [str(file.relative_to(root)) for file in files[:3]]
    return ", ".join(names) + (f" and {len(files) - 3} more" if len(files) > len(names) else "")


def written(root: Path, settings: Mapping[str, str]) -> Path:
    """Add settings to the file that configures pytest; a new ``pytest.ini`` if there is none.

    Raises:
        UsageError: the file has no place where they can be added as lines.
    """
    name = configuring_file(root) or "pytest.ini"
    file = root / name
    toml = file.suffix == ".toml"
    lines = [f"{key} = {json.dumps(text) if toml else text}" for key, text in settings.items()]
    text = file.read_text("utf-8") if file.exists() else "[pytest]\n"
    headings = [r"\[tool\.pytest\.ini_options\]", r"\[tool\.pytest\]", r"\[(tool:)?pytest\]"]
    place = next(
        (m for each in headings if (m := re.search(rf"^{each}[^\n]*(\n|$)", text, re.MULTILINE))),
        None,
    )
    if place is None:
        raise UsageError(
            f"{file}: cannot add the settings: the section of pytest is not a plain heading",
            hint=f"add them by hand: {'; '.join(lines)}",
        )
    head = text[: place.end()] if place[0].endswith("\n") else f"{text[: place.end()]}\n"
    file.write_text(head + "\n".join(lines) + "\n" + text[place.end() :], "utf-8")
    return file


def next_steps(found: ProjectFindings) -> list[str]:
    """Return what to do after this command."""
    compat = "dockwright_compat" in found.wanted or found.settings.compat
    return [
        "run pytest",
        "request `stack` where a test needs the services"
        if not compat
        else "move test by test from docker_services to `stack`, which is reset after each test",
        "mark tests that only read with @pytest.mark.stateless: they share one stack",
    ]


def _missing(found: ProjectFindings) -> dict[str, str]:
    has = {f"dockwright_{name}" for name in found.settings.origins}
    return {name: text for name, text in found.wanted.items() if name not in has}


@click.command(
    epilog="""\b
Examples:
  dockwright init
  dockwright init --check
  dockwright init --test
  dockwright init --from-testcontainers
"""
)
@root_option
@click.option("--check", is_flag=True, help="Write nothing; say what would not work here.")
@click.option("--test", "first_test", is_flag=True, help="Also write tests/test_stack.py.")
@click.option(
    "--from-testcontainers",
    "from_containers",
    is_flag=True,
    help="Write a compose.yaml of the containers that the last run started.",
)
@json_option
@click.pass_context
def init(
    ctx: click.Context,
    root: Path,
    *,
    check: bool,
    first_test: bool,
    from_containers: bool,
    as_json: bool,
) -> None:
    """Set up a project: write the settings that it needs, and show the next steps.

    Looks at the Compose files, tests, Django settings and CI files. Only lines with
    settings are added to existing files. The exit code is 1 if something would not work.
    """
    if from_containers:
        _write_compose(project_root(root.resolve()), check=check, as_json=as_json)
        return
    found = survey(project_root(root.resolve()))
    settings = _missing(found)
    files: list[Path] = []
    failed = any(each.status == "fail" for each in found.findings)
    if not check and not failed:
        files += [written(found.root, settings)] if settings else []
        files += _first_test(found.root) if first_test else []
    if as_json:
        print_json(_document(found, settings, files))
        ctx.exit(int(failed))
    code = report(found.findings, as_json=False)
    _show(found, settings, files, check=check)
    ctx.exit(code)


def _write_compose(root: Path, *, check: bool, as_json: bool) -> None:
    """Write what the last run of a testcontainers suite started as a Compose file.

    Raises:
        UsageError: no run has started anything, or there is a Compose file.
    """
    import yaml

    from dockwright.compat.record import compose_document

    document, missing = compose_document(root)
    if not document:
        raise UsageError(
            f"no run in {root} has started containers of testcontainers",
            hint="run pytest with --dockwright-compat=testcontainers first",
        )
    file = root / "compose.yaml"
    if file.exists() and not check:
        raise UsageError(f"{file} exists", hint="--check shows what would be written")
    text = yaml.safe_dump(document, sort_keys=False)
    if not check:
        file.write_text(text, "utf-8")
    if as_json:
        print_json({"file": str(file), "written": not check, "missing": missing} | document)
        return
    if check:
        print(text, end="")
    else:
        note(f"wrote {file.relative_to(root)}: {', '.join(document['services'])}")
    for each in missing:
        note(f"  not in it: {each}")


def _first_test(root: Path) -> Iterable[Path]:
    file = root / "tests" / "test_stack.py"
    if file.exists():
        return []
    file.parent.mkdir(exist_ok=True)
    file.write_text(TEST, "utf-8")
    return [file]


def _document(found: ProjectFindings, settings: Mapping[str, str], files: Iterable[Path]) -> object:
    return {
        "root": str(found.root),
        "findings": [
            {
                "name": each.name,
                "status": each.status,
                "detail": each.detail,
                "remedy": each.remedy if each.status != "ok" else None,
            }
            for each in found.findings
        ],
        "settings": dict(settings),
        "written": [str(file) for file in files],
        "next": next_steps(found),
    }


def _show(
    found: ProjectFindings, settings: Mapping[str, str], files: Sequence[Path], *, check: bool
) -> None:
    for file in files:
        note(f"wrote {file.relative_to(found.root)}")
    for name, text in settings.items():
        note(f"  {'would set' if check else 'set'} {name} = {text}")
    if not settings:
        note("no setting is needed")
    for number, step in enumerate(next_steps(found), 1):
        note(f"next {number}: {step}")
