"""Installs a stack: what will be written is planned first, and written last, whole."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from dockwright import __version__
from dockwright.compose import LoadOptions, ProjectPlace
from dockwright.errors import SettingsError
from dockwright.lifecycle.home import SECRETS, SETTINGS, ConfigHome, InstalledSettings
from dockwright.lifecycle.secrets import make_secret, wanted, with_secrets


@dataclass(frozen=True, slots=True)
class InstallPlan:
    """What an install will write into one config directory.

    Attributes:
        home: the directory.
        settings: how the stack is installed.
        before: how it was installed; None: it was not.
        known: the variables that the secrets file has already.
        made: those that it gets, with their values.
    """

    home: ConfigHome
    settings: InstalledSettings
    before: InstalledSettings | None
    known: Mapping[str, str] = field(repr=False)
    made: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def values(self) -> dict[str, str]:
        """The variables that the secrets file will set."""
        return {**self.known, **self.made}

    @property
    def differences(self) -> list[str]:
        """What an earlier install said differently, a line each."""
        return list(self.before.differences(self.settings)) if self.before else []

    @property
    def changes_nothing(self) -> bool:
        """Whether everything that would be written is there."""
        return self.before == self.settings and not self.made and not self.home.loose()

    def with_secrets(
        self, declared: Iterable[str], *, anew: bool = False, given: Mapping[str, str]
    ) -> InstallPlan:
        """Return the plan with a secret for each declared variable that needs one.

        Args:
            declared: the variables.
            anew: whether those that have one get another.
            given: values that are kept instead of making one up.
        """
        names = wanted([name for name in declared if name not in self.made], self.known, anew=anew)
        made = {name: given.get(name) or make_secret() for name in names}
        return replace(self, made={**self.made, **made})

    def write(self) -> list[Path]:
        """Write it; the settings come last, and make the stack an installed one.

        Returns:
            What other users had rights on until now.
        """
        loose = self.home.tighten()
        created = not self.home.directory.exists()
        self.home.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            if self.made:
                file = self.home.secrets_file
                text = file.read_text(encoding="utf-8") if file.exists() else ""
                project = self.settings.project
                self.home.write(SECRETS, with_secrets(text, self.made, project=project))
            if self.before != self.settings:
                self.home.write(SETTINGS, self.settings.to_toml())
        except BaseException:  # also Ctrl-C: no empty directory stays
            if created:
                with suppress(OSError):  # the first file got there before the second failed
                    self.home.directory.rmdir()
            raise
        return loose


def plan_install(
    home: ConfigHome, place: ProjectPlace, options: LoadOptions, *, engine: str, force: bool
) -> InstallPlan:
    """Compare what is to be installed with what is installed.

    Args:
        home: the project's config directory.
        place: the project.
        options: how it is loaded.
        engine: the engine's URL; empty: the one that the docker command would use.
        force: whether settings that cannot be read may be replaced.

    Raises:
        SettingsError: the settings there cannot be read.
    """
    start = options.start or Path.cwd()
    settings = InstalledSettings(
        project=place.name,
        files=place.files,
        directory=place.working_dir,
        profiles=options.profiles,
        env_files=tuple((start / file).resolve() for file in options.env_files),
        engine=engine,
        created=datetime.fromtimestamp(time.time(), UTC).isoformat(timespec="seconds"),
        version=__version__,
    )
    try:
        before = home.settings()
    except SettingsError:
        if not force:
            raise
        before = None
    return InstallPlan(home, settings, before, known=home.values())
