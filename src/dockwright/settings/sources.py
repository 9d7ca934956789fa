"""Every setting of a run, validated: one frozen object."""

from __future__ import annotations

import os.path
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from dockwright.errors import SettingsError
from dockwright.settings.options import (
    ENVIRONMENT_PREFIX,
    OPTIONS,
    POLL_CEILING_S,
    POLL_FIRST_S,
    PORT_MODES,
    RECORD_DAYS,
    RECORD_RUNS,
    START_TIMEOUT_S,
    Option,
)


@dataclass(frozen=True, eq=False, repr=False)  # what is left out costs every pytest run 2 ms
class Settings:
    """Every setting of a run, validated.

    Attributes:
        compose: Compose files of the default stack; empty: discover.
        stacks: further stacks, Compose file by name.
        profiles: enabled profiles.
        env_files: files for interpolation; empty: ``.env`` beside the Compose file.
        engine: explicit engine URL, or an empty text.
        ports: which host ports stacks have (see `PORT_MODES`) by stack; ``*``: all others.
        max_stacks: most stacks at once; 0 means: decide by memory and cores.
        max_memory: what all copies may use together, in bytes; 0: what is available.
        keep_warm: seconds that the stacks stay after the run.
        wait_for_removal: whether a run ends only when its stacks are removed.
        cache_baselines: whether initialised volumes are kept for later runs.
        start_timeout: seconds until a starting stack is given up.
        listen_timeout: seconds until a service without a health check counts as ready although it
            does not listen on its declared ports; 0: that is an error.
        sticky: whether each worker gets the same copy every time.
        reset_leases: whether stacks held by fixtures are reset between tests.
        keep_failed: whether the first failed test's stack is kept.
        audit: whether each test is looked at by itself (see `AUDIT`).
        log_tail: log lines of each service shown for a failed test.
        seed_inputs: what ``dockwright_seed`` hooks read beside their source; empty: unknown.
        compat: the tools whose suites run unchanged (see `COMPATIBLE`).
        isolate: whether each worker gets a world of its own.
        isolate_images: further images that the engines of worlds start with.
        schedule: whether dockwright plans runs (see `SCHEDULE`).
        shard: which of how many equal parts of the suite is run, counted from 1; None: all of it.
        costs: file with the costs of tests and stacks; None: ``.test_durations`` or recorded runs.
        record: when runs are recorded (see `RECORD`).
        record_days: how many days a recorded run is kept; 0: forever.
        record_runs: how many recorded runs are kept at most; 0: all.
        fail_on_regression: whether a run fails if something became slower.
        results: whether the results of tests are saved and reused (see `RESULTS`).
        results_inputs: patterns of what all tests depend on; ``env:NAME``: a variable.
        report: reports to write, each in the format that its name ends with (see `REPORTS`).
        otlp: where the run goes as OTLP spans, or an empty text.
        poll_first: first pause of adaptive polling, in seconds.
        poll_ceiling: longest pause of adaptive polling, in seconds.
        root: the project's root directory.
        origins: where each setting came from that is not the default.
    """

    root: Path
    compose: tuple[Path, ...] = ()
    stacks: Mapping[str, Path] = field(default_factory=dict)
    profiles: tuple[str, ...] = ()
    env_files: tuple[Path, ...] = ()
    engine: str = ""
    ports: Mapping[str, str] = field(default_factory=dict)
    max_stacks: int = 0
    max_memory: int = 0
    keep_warm: float = 0.0
    wait_for_removal: bool = False
    cache_baselines: bool = True
    start_timeout: float = START_TIMEOUT_S
    listen_timeout: float = 0.0
    sticky: bool = False
    reset_leases: bool = False
    keep_failed: bool = False
    audit: str = "off"
    log_tail: int = 20
    seed_inputs: tuple[Path, ...] = ()
    compat: tuple[str, ...] = ()
    isolate: bool = False
    isolate_images: tuple[str, ...] = ()
    schedule: str = "auto"
    shard: tuple[int, int] | None = None
    costs: Path | None = None
    record: str = "auto"
    record_days: int = RECORD_DAYS
    record_runs: int = RECORD_RUNS
    fail_on_regression: bool = False
    results: str = "off"
    results_inputs: tuple[str, ...] = ()
    report: tuple[Path, ...] = ()
    otlp: str = ""
    poll_first: float = POLL_FIRST_S
    poll_ceiling: float = POLL_CEILING_S
    origins: Mapping[str, str] = field(default_factory=dict)

    @property
    def audited(self) -> bool:
        """Whether each test that uses a stack is looked at by itself."""
        return self.audit != "off"

    @property
    def recorded(self) -> bool:
        """Whether the run may be recorded."""
        return self.record != "off" or self.reported

    @property
    def reported(self) -> bool:
        """Whether the whole run is reported."""
        return bool(self.report or self.otlp)

    @property
    def recorded_from_start(self) -> bool:
        """Whether the run is recorded even if no test uses a stack."""
        compared = self.fail_on_regression and self.record != "off"
        return self.record == "on" or self.reported or compared

    def ports_of(self, stack: str) -> str:
        """Return which host ports a stack has; an empty text: no setting says it."""
        return self.ports.get(selected(stack)[0]) or self.ports.get(_ALL, "")

    def changed(self) -> dict[str, str]:
        """Return the settings that are not default, by name, as people write them.

        They may hold secrets: an engine's address can have a password.
        """
        return {name: _shown(getattr(self, name)) for name in self.origins}


def _shown(value: object) -> str:
    if isinstance(value, Mapping):
        return ",".join(
            str(each) if name == _ALL else f"{name}={each}" for name, each in value.items()
        )
    if isinstance(value, tuple):
        separator = "/" if all(isinstance(each, int) for each in value) else ","
        return separator.join(str(each) for each in value)
    return str(value)


DEFAULT_STACK = "default"

_SELECTION = re.compile(r"([A-Za-z0-9][A-Za-z0-9_.-]*)\[([^\[\]]+)\]")


def selection(stack: str, services: Iterable[str]) -> str:
    """Return the name of a stack of which only some services are started: ``shop[db,web]``."""
    return f"{stack}[{','.join(sorted(set(services)))}]"


def selected(name: str) -> tuple[str, tuple[str, ...]]:
    """Return the declared stack that a name means, and its selected services; empty: all."""
    found = _SELECTION.fullmatch(name)
    return (found[1], tuple(found[2].split(","))) if found else (name, ())


_ALL = "*"  # the key of what holds for all stacks that are not named

_NEAR = 0.92  # two letters of twenty; ..._PROFILE_DIR is not ..._PROFILES

_BY_NAME: Mapping[str, Option] = MappingProxyType({option.name: option for option in OPTIONS})


class Source(NamedTuple):
    """Where raw values come from.

    Attributes:
        origin: its name in messages, e.g. ``command line`` or ``pyproject.toml``.
        values: raw texts (or lists of texts) by setting name; absent names are not set here.
        base: the directory to which relative paths in this source refer.
    """

    origin: str
    values: Mapping[str, str | Sequence[str]]
    base: Path


def environment_values(environ: Mapping[str, str]) -> dict[str, str | Sequence[str]]:
    """Return the settings from environment variables, by setting name.

    Values of options that take several are split at commas.
    """
    found: dict[str, str | Sequence[str]] = {}
    for option in OPTIONS:
        text = environ.get(option.environment_name)
        if text is not None:
            found[option.name] = _split(text) if option.many else text
    return found


def misspelt_variables(environ: Mapping[str, str]) -> dict[str, str]:
    """Return environment variables that look like a misspelt setting, with the right name."""
    known = {option.environment_name for option in OPTIONS}
    strange = [name for name in environ if name.startswith(ENVIRONMENT_PREFIX)]
    found = {}
    for name in sorted({*strange} - known):
        from difflib import get_close_matches  # slow to import, and rarely needed

        near = get_close_matches(name, known, n=1, cutoff=_NEAR)
        if near:
            found[name] = near[0]
    return found


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def resolve(root: Path, sources: Sequence[Source]) -> Settings:
    """Merge `sources`, the strongest first, into validated settings.

    Raises:
        SettingsError: an unknown name or an invalid value; lists the valid ones.
    """
    values: dict[str, Any] = {}  # one value per field of Settings, each of its field's own type
    origins: dict[str, str] = {}
    for source in sources:
        for name, raw in source.values.items():
            option = _option(name, source.origin)
            if name not in origins:
                values[name] = _read(option, raw, source)
                origins[name] = source.origin
    settings = Settings(root=root, origins=MappingProxyType(origins), **values)
    _check_times(settings)
    return settings


def _option(name: str, origin: str) -> Option:
    if name not in _BY_NAME:
        raise SettingsError(
            f"{origin}: unknown setting {name!r}",
            hint=f"the settings are: {', '.join(sorted(_BY_NAME))}",
        )
    return _BY_NAME[name]


def _read(option: Option, raw: str | Sequence[str], source: Source) -> object:
    texts = [raw] if isinstance(raw, str) else list(raw)
    if not option.many and len(texts) != 1:
        raise SettingsError(f"{source.origin}: {option.name} takes one value, got {len(texts)}")
    parsed = [_parse(option, text, source.origin) for text in texts]
    if option.name == "stacks":
        return MappingProxyType(_read_stacks(texts, source))
    if option.name == "ports":
        return MappingProxyType(_read_ports(texts, source))
    if option.name in ("compose", "env_files", "seed_inputs", "report"):
        return tuple(_path(text, source) for text in texts)
    if option.name == "costs":
        return _path(texts[0], source) if texts[0] else None
    return tuple(parsed) if option.many else parsed[0]


def _parse(option: Option, text: str, origin: str) -> object:
    try:
        return option.parse(text)
    except ValueError as exc:
        raise SettingsError(f"{origin}: {option.name} = {text!r}: {exc}") from exc


def _read_stacks(texts: Sequence[str], source: Source) -> dict[str, Path]:
    stacks: dict[str, Path] = {}
    for text in texts:
        name, equals, file = text.partition("=")
        if not equals or not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", name) or not file:
            raise SettingsError(
                f"{source.origin}: stacks = {text!r}: expected NAME=FILE",
                hint="for example: shop=shop/compose.yaml",
            )
        if name in stacks or name == DEFAULT_STACK:
            raise SettingsError(f"{source.origin}: stacks: {name!r} is declared twice")
        stacks[name] = _path(file, source)
    return stacks


def _read_ports(texts: Sequence[str], source: Source) -> dict[str, str]:
    ports: dict[str, str] = {}
    for text in texts:
        name, equals, mode = text.rpartition("=")
        if mode not in PORT_MODES or (equals and not name):
            raise SettingsError(
                f"{source.origin}: ports = {text!r}: expected {' or '.join(PORT_MODES)}, or "
                "NAME=MODE for one stack",
                hint="for example: declared, or mail=declared",
            )
        if (name or _ALL) in ports:
            raise SettingsError(f"{source.origin}: ports: {name or mode!r} is given twice")
        ports[name or _ALL] = mode
    return ports


def _path(text: str, source: Source) -> Path:
    """Return a path without ``..``, which removes the name before it, as in Compose."""
    return Path(os.path.normpath(source.base / text))


def _check_times(settings: Settings) -> None:
    if settings.start_timeout <= 0:
        raise SettingsError(
            "start_timeout must be greater than 0",
            hint=f"leave it out for the default of {START_TIMEOUT_S:g}s",
        )
    if settings.poll_first <= 0 or settings.poll_ceiling < settings.poll_first:
        raise SettingsError(
            f"poll_first = {settings.poll_first} s, poll_ceiling = {settings.poll_ceiling} s: "
            "polling needs 0 < poll_first <= poll_ceiling"
        )
