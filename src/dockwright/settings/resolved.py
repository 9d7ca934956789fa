"""Every setting of a run, validated: one frozen object."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


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
