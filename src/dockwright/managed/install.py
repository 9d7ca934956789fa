"""Installs a stack: plans what to write, and writes it last, completely or not at all."""

from __future__ import annotations

import re
import secrets
import string
import time
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from dockwright import __version__
from dockwright.compose import LoadOptions, ProjectPlace
from dockwright.errors import SettingsError
from dockwright.managed.home import SECRETS, SETTINGS, ConfigHome, InstalledSettings

_LETTERS = string.ascii_letters + string.digits
_LENGTH = 32
"""32 of 62 characters: 190 bits. None of them is special in URLs, shells, SQL or YAML."""

_HEADER = "# Variables of the stack {project}. dockwright generated the secrets.\n"


def make_secret() -> str:
    """Return a new, strong secret."""
    return "".join(secrets.choice(_LETTERS) for _ in range(_LENGTH))


def with_secrets(text: str, values: Mapping[str, str], *, project: str) -> str:
    """Return the text of a secrets file with `values` set.

    Lines that set one of these variables are replaced; all other lines are kept.

    Args:
        text: the current text; empty for a new file.
        values: the values by variable.
        project: the name of the project, for the first line of a new file.
    """
    lines = [line for line in text.splitlines() if _variable(line) not in values]
    lines += [f"{name}={_quoted(value)}" for name, value in values.items()]
    return (_HEADER.format(project=project) if not text else "") + "\n".join(lines) + "\n"


def wanted(declared: Collection[str], known: Mapping[str, str], *, renew: bool) -> list[str]:
    """Return the declared variables that need a secret: those without a value, or all of them."""
    return [name for name in declared if renew or not known.get(name)]


def _variable(line: str) -> str:
    found = re.match(r"\s*(?:export\s+)?([\w.\-]+)\s*[=:]", line)
    return found[1] if found else ""


def _quoted(value: str) -> str:
    if re.fullmatch(r"[\w.,:/@%+-]*", value):
        return value
    return "'" + value.replace("'", "\\'") + "'"


@dataclass(frozen=True, slots=True)
class InstallPlan:
    """What an install will write into one config directory.

    Attributes:
        home: the directory.
        settings: how the stack is installed.
        before: how it was installed so far; None: not at all.
        known: the variables that the secrets file already has.
        made: the variables that it will get, with their values.
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
        """The differences from the earlier installation, one line each."""
        return list(self.before.differences(self.settings)) if self.before else []

    @property
    def changes_nothing(self) -> bool:
        """Whether there is nothing new to write."""
        return self.before == self.settings and not self.made and not self.home.loose()

    def with_secrets(
        self, declared: Iterable[str], *, renew: bool = False, given: Mapping[str, str]
    ) -> InstallPlan:
        """Return the plan with a secret for each declared variable that needs one.

        Args:
            declared: the variables.
            renew: replace existing secrets.
            given: values to use instead of new ones.
        """
        missing = [name for name in declared if name not in self.made]
        names = wanted(missing, self.known, renew=renew)
        made = {name: given.get(name) or make_secret() for name in names}
        return replace(self, made={**self.made, **made})

    def write(self) -> list[Path]:
        """Write everything; the settings, which make the stack installed, come last.

        Returns:
            The files and directories that other users had permissions for until now.
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
        except BaseException:  # also Ctrl-C: leave no empty directory
            if created:
                with suppress(OSError):  # not empty: only the second file failed
                    self.home.directory.rmdir()
            raise
        return loose


def plan_install(
    home: ConfigHome, place: ProjectPlace, options: LoadOptions, *, engine: str, force: bool
) -> InstallPlan:
    """Compare what to install with what is installed.

    Args:
        home: the project's config directory.
        place: the project.
        options: how the project is loaded.
        engine: the engine's URL; empty: the engine that the docker command would use.
        force: replace settings that cannot be read.

    Raises:
        SettingsError: the existing settings cannot be read.
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
