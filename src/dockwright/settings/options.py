"""The table of all settings; plugin, commands and reference are made from it."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from dockwright.settings import values

ENVIRONMENT_PREFIX = "DOCKWRIGHT_"


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
        str,
        "Compose file(s) of the default stack, in merge order; default: found from rootdir up",
        many=True,
        metavar="FILE",
    ),
    Option(
        "stacks",
        str,
        "further stacks as NAME=FILE, chosen by @pytest.mark.stack('NAME')",
        many=True,
        metavar="NAME=FILE",
    ),
    Option("profiles", str, "Compose profiles to enable", many=True, metavar="PROFILE"),
    Option(
        "env_files",
        str,
        "files with variables for interpolation, instead of .env",
        many=True,
        metavar="FILE",
    ),
    Option(
        "engine",
        str,
        "the engine's URL; default: DOCKER_HOST, the docker CLI's context, the usual sockets",
        metavar="URL",
    ),
    Option(
        "max_stacks",
        values.parse_stacks_limit,
        "how many copies of the stacks may exist at once, or 'auto'",
        metavar="N",
    ),
    Option(
        "keep_warm",
        values.parse_duration,
        "how long the stacks stay after the run, for the next one, e.g. 10m; 0: not; never in CI",
        metavar="DURATION",
    ),
    Option(
        "cache_baselines",
        values.parse_bool,
        "keep what a first start initialised (initdb, init files), so that later ones skip it",
        metavar="BOOL",
    ),
    Option(
        "start_timeout",
        values.parse_duration,
        "how long a stack may take to become ready",
        metavar="DURATION",
    ),
    Option(
        "keep_failed",
        values.parse_bool,
        "keep the stack of the first failed test and print how to connect to it",
        flag=True,
    ),
    Option(
        "log_tail",
        values.parse_natural,
        "how many last log lines of each service a failed test's report shows; 0: none",
        metavar="LINES",
    ),
    Option(
        "compat",
        values.parse_compat,
        "offer another plugin's fixtures, so that its suites run unchanged: pytest-docker",
        metavar="PLUGIN",
    ),
    Option(
        "seed_inputs",
        str,
        "files or patterns that dockwright_seed hooks read; given, seeded volumes are kept for "
        "later runs",
        many=True,
        metavar="FILE",
    ),
    Option(
        "record",
        values.parse_record,
        "record where the time goes, and keep it for `dockwright runs`: auto (runs that use a "
        "stack), on, off",
        metavar="WHEN",
    ),
    Option(
        "record_days",
        values.parse_natural,
        "for how many days a recorded run is kept; 0: for ever",
        metavar="DAYS",
    ),
    Option(
        "record_runs",
        values.parse_natural,
        "how many recorded runs are kept at most; 0: all",
        metavar="N",
    ),
    Option(
        "report",
        values.parse_report,
        "write a report of the run: .html, .json, .trace.json (for Perfetto) or .md",
        many=True,
        metavar="FILE",
    ),
    Option(
        "otlp",
        values.parse_collector,
        "send the run as OTLP spans to a collector, e.g. http://localhost:4318; needs "
        "dockwright[otlp]",
        metavar="URL",
    ),
    Option(
        "poll_first",
        values.parse_duration,
        "the first pause of adaptive polling",
        metavar="DURATION",
    ),
    Option(
        "poll_ceiling",
        values.parse_duration,
        "the longest pause of adaptive polling",
        metavar="DURATION",
    ),
)
