"""The table of all settings, from which the plugin, the commands and the reference are built."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from dockwright._text import parse_duration

COMPATIBLE = ("pytest-docker", "testcontainers", "pytest-databases")
"""The tools whose suites dockwright can run unchanged."""

PORT_MODES = ("free", "declared")
"""Which host ports the copies of a stack have: free ones, or those that its file declares."""

RECORD = ("auto", "on", "off")
"""When a run is recorded; ``auto``: if it uses a stack."""

SCHEDULE = ("auto", "off")
"""Whether dockwright decides in which order tests run, and which worker gets which."""

AUDIT = ("off", "report", "strict")
"""Whether each test that uses a stack is looked at by itself, and whether traces fail it."""

RESULTS = ("off", "use", "verify")
"""Whether the saved results of tests are reused; ``verify``: some of these tests run as a check."""

REPORTS = (".html", ".trace.json", ".json", ".md")
"""The extensions of a report's file name, one for each format."""

RECORD_DAYS, RECORD_RUNS = 90, 200
"""How long and how many runs of a project stay recorded, if no setting says otherwise."""

START_TIMEOUT_S = 120.0
"""How long a service may take to become ready, in seconds, if no setting says otherwise."""

POLL_FIRST_S, POLL_CEILING_S = 0.020, 0.250
"""The first and the longest pause of adaptive polling, in seconds, if no setting says otherwise."""

_TRUE = frozenset({"1", "true", "yes", "on"})
_FALSE = frozenset({"0", "false", "no", "off", ""})


def parse_bool(text: str) -> bool:
    """Read ``true``, ``no``, ``on``, ``0`` and the like; an empty string is no."""
    lowered = text.strip().lower()
    if lowered in _TRUE:
        return True
    if lowered in _FALSE:
        return False
    raise ValueError("expected one of true, false, yes, no, on, off, 1, 0")


def parse_natural(text: str) -> int:
    """Read a whole number, 0 or more."""
    if not text.strip().isdecimal():
        raise ValueError("expected a whole number, 0 or more")
    return int(text)


def parse_stacks_limit(text: str) -> int:
    """Read ``auto`` (0) or a whole number, 1 or more."""
    if text.strip() == "auto":
        return 0
    if not text.strip().isdecimal() or int(text) == 0:
        raise ValueError("expected 'auto' or a whole number, 1 or more")
    return int(text)


_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)(?:i?b)?", re.IGNORECASE)


def parse_memory(text: str) -> int:
    """Read a size such as ``6g`` in bytes, with units as in Compose files; 0: no limit."""
    match = _SIZE.fullmatch(text.strip())
    if not match:
        raise ValueError("expected a size, such as 6g or 512m")
    return int(float(match[1]) * 1024 ** " kmgt".index(match[2].lower() or " "))


def parse_compat(text: str) -> tuple[str, ...]:
    """Read the names of the tools whose suites to run unchanged, separated by commas."""
    names = tuple(filter(None, (name.strip() for name in text.split(","))))
    if not set(names) <= set(COMPATIBLE):
        raise ValueError(f"expected one of: {', '.join(COMPATIBLE)}")
    return names


def parse_record(text: str) -> str:
    """Read when a run is recorded."""
    if text not in RECORD:
        raise ValueError(f"expected one of: {', '.join(RECORD)}")
    return text


def parse_results(text: str) -> str:
    """Read whether the results of tests are reused."""
    if text not in RESULTS:
        raise ValueError(f"expected one of: {', '.join(RESULTS)}")
    return text


def parse_schedule(text: str) -> str:
    """Read whether runs are planned."""
    if text not in SCHEDULE:
        raise ValueError(f"expected one of: {', '.join(SCHEDULE)}")
    return text


def parse_audit(text: str) -> str:
    """Read whether tests are looked at by themselves."""
    if text not in AUDIT:
        raise ValueError(f"expected one of: {', '.join(AUDIT)}")
    return text


def parse_shard(text: str) -> tuple[int, int] | None:
    """Read a part of the suite such as ``2/5``; an empty text: all of it."""
    if not text.strip():
        return None
    number, slash, count = (part.strip() for part in text.partition("/"))
    if not slash or not number.isdecimal() or not count.isdecimal():
        raise ValueError("expected NUMBER/COUNT, such as 2/5")
    if not 1 <= int(number) <= int(count):
        raise ValueError(f"expected a number from 1 to {max(1, int(count))} before the slash")
    return int(number), int(count)


def parse_report(text: str) -> str:
    """Read the file name of a report; its extension selects the format."""
    if not text.endswith(REPORTS):
        raise ValueError(f"expected a file whose name ends with one of: {', '.join(REPORTS)}")
    return text


def parse_collector(text: str) -> str:
    """Read an OTLP collector's address; an empty text: none."""
    if text and not text.startswith(("http://", "https://")):
        raise ValueError("expected a collector's address, such as http://localhost:4318")
    return text


ENVIRONMENT_PREFIX = "DOCKWRIGHT_"


class Option(NamedTuple):  # faster to define than a dataclass, and every pytest run pays for it
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
        "ports",
        str,
        "host ports of the stacks: free (a copy has ports of its own) or declared (as in the "
        "Compose file, so there is one copy only); NAME=MODE: of one stack",
        many=True,
        metavar="MODE",
    ),
    Option(
        "max_stacks",
        parse_stacks_limit,
        "how many copies of the stacks may exist at once, or 'auto'",
        metavar="N",
    ),
    Option(
        "max_memory",
        parse_memory,
        "how much memory the copies of the stacks may use together, e.g. 6g; 0: what is available",
        metavar="SIZE",
    ),
    Option(
        "keep_warm",
        parse_duration,
        "how long to keep the stacks for the next run, e.g. 10m; 0: remove them; ignored in CI",
        metavar="DURATION",
    ),
    Option(
        "wait_for_removal",
        parse_bool,
        "wait at the end of a run until the broker has removed the stacks; always on in CI",
        metavar="BOOL",
    ),
    Option(
        "cache_baselines",
        parse_bool,
        "reuse what a first start initialised (initdb, init scripts), so that later starts skip it",
        metavar="BOOL",
    ),
    Option(
        "start_timeout",
        parse_duration,
        "how long a stack may take to become ready",
        metavar="DURATION",
    ),
    Option(
        "listen_timeout",
        parse_duration,
        "how long to wait for a service without a health check to listen on its declared ports "
        "before tests run anyway; 0: it is an error if it does not listen within start_timeout",
        metavar="DURATION",
    ),
    Option(
        "sticky",
        parse_bool,
        "give each worker the same copy every time, so that addresses and connections stay valid",
        metavar="BOOL",
    ),
    Option(
        "reset_leases",
        parse_bool,
        "between tests, reset the stacks that docker_services and stack_factory hold",
        metavar="BOOL",
    ),
    Option(
        "keep_failed",
        parse_bool,
        "keep the stack of the first failed test and print how to connect to it",
        flag=True,
    ),
    Option(
        "audit",
        parse_audit,
        "report what each test that uses a stack left behind: report, or strict (also fail the "
        "test); slower than an ordinary run; see `dockwright markers`",
        metavar="HOW",
    ),
    Option(
        "log_tail",
        parse_natural,
        "how many log lines of each service to show for a failed test; 0: none",
        metavar="LINES",
    ),
    Option(
        "compat",
        parse_compat,
        "run suites of other tools unchanged, on the pool: pytest-docker, testcontainers, "
        "pytest-databases; separate several by commas",
        metavar="TOOL",
    ),
    Option(
        "seed_inputs",
        str,
        "files or patterns that dockwright_seed hooks read; with them, seeded volumes are kept for "
        "later runs",
        many=True,
        metavar="FILE",
    ),
    Option(
        "isolate",
        parse_bool,
        "give each worker its own engine, network, processes and home directory; see `dockwright "
        "isolate`",
        flag=True,
    ),
    Option(
        "isolate_images",
        str,
        "images that the engines of isolated workers start with, beside those that the project's "
        "files name",
        many=True,
        metavar="IMAGE",
    ),
    Option(
        "schedule",
        parse_schedule,
        "plan the order of the tests and their distribution among xdist's workers: auto, off",
        metavar="WHEN",
    ),
    Option(
        "shard",
        parse_shard,
        "run only one of several equal parts of the suite, e.g. 2/5",
        metavar="N/COUNT",
    ),
    Option(
        "costs",
        str,
        "file with the costs of tests and stacks, from `dockwright runs export --costs` or "
        "pytest-split; default: .test_durations, and the recorded runs",
        metavar="FILE",
    ),
    Option(
        "record",
        parse_record,
        "record where the time goes, for `dockwright runs`: auto (runs that use a stack), on, off",
        metavar="WHEN",
    ),
    Option(
        "record_days",
        parse_natural,
        "how many days to keep a recorded run; 0: forever",
        metavar="DAYS",
    ),
    Option(
        "record_runs",
        parse_natural,
        "how many recorded runs to keep; 0: all",
        metavar="N",
    ),
    Option(
        "fail_on_regression",
        parse_bool,
        "fail a recorded run if tests or stacks became slower; see `dockwright runs regressions`",
        flag=True,
    ),
    Option(
        "results",
        parse_results,
        "reuse the results of tests whose inputs have not changed: off, use, verify (use, but run "
        "one in twenty of them as a check); needs dockwright[results]",
        metavar="WHEN",
    ),
    Option(
        "results_inputs",
        str,
        "files, patterns or env:VARIABLE that all tests depend on, besides what dockwright detects",
        many=True,
        metavar="FILE",
    ),
    Option(
        "report",
        parse_report,
        "write a report of the run: .html, .json, .trace.json (for Perfetto) or .md",
        many=True,
        metavar="FILE",
    ),
    Option(
        "otlp",
        parse_collector,
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
