"""One frozen Settings, resolved once: command line > environment > pyproject/ini > default."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from dockwright.errors import SettingsError

ENVIRONMENT_PREFIX = "DOCKWRIGHT_"
DEFAULT_STACK = "default"
PYTEST_DOCKER = "pytest-docker"

COMPATIBLE = (PYTEST_DOCKER,)
"""The plugins whose fixtures can be had on dockwright's stacks."""

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")
_DURATION_UNITS_S = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,
    "ms": 0.001,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
}
_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off", ""})


def parse_duration(text: str) -> float:
    """Read a duration such as ``10m``, ``1m30s``, ``250ms`` or ``2.5`` (seconds) as seconds.

    Raises:
        ValueError: the text is no duration; the message says how one looks.
    """
    stripped = text.strip().lower()
    if re.fullmatch(r"\d+(\.\d+)?", stripped):
        return float(stripped)
    parts = _DURATION.findall(stripped)
    if not parts or "".join(number + unit for number, unit in parts) != stripped:
        raise ValueError("a duration looks like 250ms, 30s, 10m or 1h30m")
    return sum(float(number) * _DURATION_UNITS_S[unit] for number, unit in parts)


def _parse_bool(text: str) -> bool:
    lowered = text.strip().lower()
    if lowered in _TRUE:
        return True
    if lowered in _FALSE:
        return False
    raise ValueError("expected one of true, false, yes, no, on, off, 1, 0")


def _parse_natural(text: str) -> int:
    if not text.strip().isdigit():
        raise ValueError("expected a whole number, 0 or more")
    return int(text)


def _parse_stacks_limit(text: str) -> int:
    if text.strip() == "auto":
        return 0
    number = _parse_natural(text)
    if number == 0:
        raise ValueError("expected 'auto' or a whole number, 1 or more")
    return number


def _parse_text(text: str) -> str:
    return text


def _parse_compat(text: str) -> str:
    if text and text not in COMPATIBLE:
        raise ValueError(f"expected one of: {', '.join(COMPATIBLE)}")
    return text


RECORD = ("auto", "on", "off")
"""When what a run did is recorded and kept; ``auto``: where it uses a stack."""


def _parse_record(text: str) -> str:
    if text not in RECORD:
        raise ValueError(f"expected one of: {', '.join(RECORD)}")
    return text


REPORTS = (".html", ".trace.json", ".json", ".md")
"""The ends of a report's name, each for a format."""


def _parse_report(text: str) -> str:
    if not text.endswith(REPORTS):
        raise ValueError(f"expected a file whose name ends with one of: {', '.join(REPORTS)}")
    return text


def _parse_collector(text: str) -> str:
    if text and not text.startswith(("http://", "https://")):
        raise ValueError("expected a collector's address, such as http://localhost:4318")
    return text


class Option(NamedTuple):  # quicker to define than a dataclass, and every pytest run pays for it
    """One setting: how it is named, read and explained.

    Attributes:
        name: the field of `Settings`; the ini name and the command-line option derive from it.
        parse: reads one text value; raises `ValueError` with what was expected.
        help: one line for ``--help`` and the reference.
        many: whether it takes several values (a list in pyproject; repeatable on the command line;
            separated by ``,`` in the environment).
        flag: whether the command-line option takes no value.
        metavar: the value's name in ``--help``.
    """

    name: str
    parse: Callable[[str], object]
    help: str
    many: bool = False
    flag: bool = False
    metavar: str = "VALUE"

    @property
    def ini_name(self) -> str:
        """The name in ``[tool.pytest.ini_options]``, e.g. ``dockwright_keep_warm``."""
        return f"dockwright_{self.name}"

    @property
    def flag_name(self) -> str:
        """The name on the command line, e.g. ``--dockwright-keep-warm``."""
        return f"--dockwright-{self.name.replace('_', '-')}"

    @property
    def environment_name(self) -> str:
        """The environment variable, e.g. ``DOCKWRIGHT_KEEP_WARM``."""
        return f"{ENVIRONMENT_PREFIX}{self.name.upper()}"


OPTIONS: tuple[Option, ...] = (
    Option(
        "compose",
        _parse_text,
        "Compose file(s) of the default stack, in merge order; default: found from rootdir up",
        many=True,
        metavar="FILE",
    ),
    Option(
        "stacks",
        _parse_text,
        "further stacks as NAME=FILE, chosen by @pytest.mark.stack('NAME')",
        many=True,
        metavar="NAME=FILE",
    ),
    Option("profiles", _parse_text, "Compose profiles to enable", many=True, metavar="PROFILE"),
    Option(
        "env_files",
        _parse_text,
        "files with variables for interpolation, instead of .env",
        many=True,
        metavar="FILE",
    ),
    Option(
        "engine",
        _parse_text,
        "the engine's URL; default: DOCKER_HOST, the docker CLI's context, the usual sockets",
        metavar="URL",
    ),
    Option(
        "max_stacks",
        _parse_stacks_limit,
        "how many copies of the stacks may exist at once, or 'auto'",
        metavar="N",
    ),
    Option(
        "keep_warm",
        parse_duration,
        "how long the stacks stay after the run, for the next one, e.g. 10m; 0: not; never in CI",
        metavar="DURATION",
    ),
    Option(
        "cache_baselines",
        _parse_bool,
        "keep what a first start initialised (initdb, init files), so that later ones skip it",
        metavar="BOOL",
    ),
    Option(
        "start_timeout",
        parse_duration,
        "how long a stack may take to become ready",
        metavar="DURATION",
    ),
    Option(
        "keep_failed",
        _parse_bool,
        "keep the stack of the first failed test and print how to connect to it",
        flag=True,
    ),
    Option(
        "log_tail",
        _parse_natural,
        "how many last log lines of each service a failed test's report shows; 0: none",
        metavar="LINES",
    ),
    Option(
        "compat",
        _parse_compat,
        "offer another plugin's fixtures, so that its suites run unchanged: pytest-docker",
        metavar="PLUGIN",
    ),
    Option(
        "seed_inputs",
        _parse_text,
        "files or patterns that dockwright_seed hooks read; given, seeded volumes are kept for "
        "later runs",
        many=True,
        metavar="FILE",
    ),
    Option(
        "record",
        _parse_record,
        "record where the time goes, and keep it for `dockwright runs`: auto (runs that use a "
        "stack), on, off",
        metavar="WHEN",
    ),
    Option(
        "record_days",
        _parse_natural,
        "for how many days a recorded run is kept; 0: for ever",
        metavar="DAYS",
    ),
    Option(
        "record_runs",
        _parse_natural,
        "how many recorded runs are kept at most; 0: all",
        metavar="N",
    ),
    Option(
        "report",
        _parse_report,
        "write a report of the run: .html, .json, .trace.json (for Perfetto) or .md",
        many=True,
        metavar="FILE",
    ),
    Option(
        "otlp",
        _parse_collector,
        "send the run as OTLP spans to a collector, e.g. http://localhost:4318; needs "
        "dockwright[otlp]",
        metavar="URL",
    ),
    Option(
        "poll_first",
        parse_duration,
        "the first pause of adaptive polling",
        metavar="DURATION",
    ),
    Option(
        "poll_ceiling",
        parse_duration,
        "the longest pause of adaptive polling",
        metavar="DURATION",
    ),
)
"""All settings; plugin, commands and reference are made from this table."""

_BY_NAME: Mapping[str, Option] = MappingProxyType({option.name: option for option in OPTIONS})


class Source(NamedTuple):
    """Where raw values come from.

    Attributes:
        origin: for messages, e.g. ``command line`` or ``pyproject.toml``.
        values: raw texts (or lists of texts) by setting name; absent names are not set here.
        base: the directory that relative paths in this source mean.
    """

    origin: str
    values: Mapping[str, str | Sequence[str]]
    base: Path


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting of a run, validated.

    Attributes:
        compose: Compose files of the default stack; empty: discover.
        stacks: further stacks, Compose file by name.
        profiles: enabled profiles.
        env_files: files for interpolation; empty: ``.env`` beside the Compose file.
        engine: explicit engine URL, or an empty text.
        max_stacks: most stacks at once; 0 means: decide by memory and cores.
        keep_warm: seconds that the stacks stay after the run.
        cache_baselines: whether initialised volumes are kept for later runs.
        start_timeout: seconds until a starting stack is given up.
        keep_failed: whether the first failed test's stack is kept.
        log_tail: log lines of each service shown for a failed test.
        seed_inputs: what ``dockwright_seed`` hooks read beside their source; empty: unknown.
        compat: the plugin whose fixtures are offered too (see `COMPATIBLE`), or an empty text.
        record: when runs are recorded (see `RECORD`).
        record_days: for how many days a recorded run is kept; 0: for ever.
        record_runs: how many recorded runs are kept at most; 0: all.
        report: reports to write, each in the format that its name ends with (see `REPORTS`).
        otlp: where the run goes as OTLP spans, or an empty text.
        poll_first: first pause of adaptive polling, in seconds.
        poll_ceiling: longest pause of adaptive polling, in seconds.
        root: the project's root directory.
        origins: where each setting that is not default came from.
    """

    root: Path
    compose: tuple[Path, ...] = ()
    stacks: Mapping[str, Path] = field(default_factory=dict)
    profiles: tuple[str, ...] = ()
    env_files: tuple[Path, ...] = ()
    engine: str = ""
    max_stacks: int = 0
    keep_warm: float = 0.0
    cache_baselines: bool = True
    start_timeout: float = 120.0
    keep_failed: bool = False
    log_tail: int = 20
    seed_inputs: tuple[Path, ...] = ()
    compat: str = ""
    record: str = "auto"
    record_days: int = 90
    record_runs: int = 200
    report: tuple[Path, ...] = ()
    otlp: str = ""
    poll_first: float = 0.020
    poll_ceiling: float = 0.250
    origins: Mapping[str, str] = field(default_factory=dict)

    @property
    def recorded(self) -> bool:
        """Whether what a run does may be recorded: somebody wants to know it."""
        return self.record != "off" or self.reported

    @property
    def reported(self) -> bool:
        """Whether the whole run is reported, so that it is recorded from its begin."""
        return bool(self.report or self.otlp)

    def changed(self) -> dict[str, str]:
        """Return the settings that are not default, by name, as people write them.

        They may hold secrets: an engine's address can have a password.
        """
        return {name: _shown(getattr(self, name)) for name in self.origins}


def _shown(value: object) -> str:
    if isinstance(value, Mapping):
        return ",".join(f"{name}={each}" for name, each in value.items())
    if isinstance(value, tuple):
        return ",".join(str(each) for each in value)
    return str(value)


def environment_values(environ: Mapping[str, str]) -> dict[str, str | Sequence[str]]:
    """Return the settings that environment variables hold, by setting name.

    Values of options that take several are split at commas.
    """
    found: dict[str, str | Sequence[str]] = {}
    for option in OPTIONS:
        text = environ.get(option.environment_name)
        if text is not None:
            found[option.name] = _split(text) if option.many else text
    return found


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def resolve(root: Path, sources: Sequence[Source]) -> Settings:
    """Merge `sources`, the strongest first, into validated settings.

    Raises:
        SettingsError: an unknown name or a value that cannot be; it lists what can.
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
    _check_polling(settings)
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
    if option.name in ("compose", "env_files", "seed_inputs", "report"):
        return tuple(source.base / text for text in texts)
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
        stacks[name] = source.base / file
    return stacks


def _check_polling(settings: Settings) -> None:
    if settings.poll_first <= 0 or settings.poll_ceiling < settings.poll_first:
        raise SettingsError(
            f"poll_first = {settings.poll_first} s, poll_ceiling = {settings.poll_ceiling} s: "
            "polling needs 0 < poll_first <= poll_ceiling"
        )
