"""The state of one pytest run, reached from any pytest object; light until a stack is used."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest

from dockwright.errors import DockwrightError
from dockwright.settings import OPTIONS, Settings, Source, environment_values, resolve

if TYPE_CHECKING:
    from dockwright.measure import Summary
    from dockwright.pool import Lease
    from dockwright.session import Session


class Run:
    """What one pytest process knows: its settings, and its session once there is one.

    Args:
        settings: of the run.
        workers: how many pytest processes work on this run.
    """

    def __init__(self, settings: Settings, *, workers: int) -> None:
        self.settings = settings
        self.remote: list[Summary] = []
        self.problems: list[str] = []
        self._workers = workers
        self._began = time.monotonic()
        self._session: Session | None = None

    @property
    def opened(self) -> Session | None:
        """The session, if a stack was asked for."""
        return self._session

    @property
    def session(self) -> Session:
        """The session; made, and its modules loaded, by the first use."""
        if self._session is None:
            from dockwright.session import Session

            self._session = Session(self.settings, os.environ, workers=self._workers)
        return self._session

    def close(self) -> bool:
        """Remove all stacks; tell whether everything went."""
        if self._session is not None:
            try:
                self._session.close()
            except DockwrightError as error:
                self.problems.append(str(error))
        return not self.problems

    def summary(self) -> Summary | None:
        """Return what this process and its workers have to tell, or None where it is nothing."""
        own = self._session.summary() if self._session is not None else None
        parts = [*self.remote, *([own] if own else [])]
        if not parts:
            return None
        from dockwright.measure import Summary

        return Summary.added([*parts, Summary(problems=tuple(self.problems))])

    def summary_lines(self) -> list[str]:
        """Return the lines for the end of the run; none where no stack was used."""
        summary = self.summary()
        if summary is None:
            return []
        from dockwright.report import summary_lines

        return summary_lines(summary, time.monotonic() - self._began)


RUN = pytest.StashKey[Run]()
LEASES: pytest.StashKey[list[Lease]] = pytest.StashKey()
FAILED = pytest.StashKey[bool]()
WORKER_OUTPUT = "dockwright"


def settings_of(config: pytest.Config) -> Settings:
    """Resolve the settings of a run: command line > environment > ini > default.

    Raises:
        SettingsError: a value cannot be; tells where it came from.
    """
    command_line = {
        option.name: value
        for option in OPTIONS
        if (value := config.getoption(_destination(option.name))) is not None
    }
    ini = {
        option.name: value
        for option in OPTIONS
        if (value := config.getini(option.ini_name)) not in (None, "", [])
    }
    invocation = config.invocation_params.dir
    ini_base = config.inipath.parent if config.inipath else config.rootpath
    ini_name = config.inipath.name if config.inipath else "ini"
    return resolve(
        config.rootpath,
        [
            Source("command line", command_line, invocation),
            Source("environment", environment_values(os.environ), invocation),
            Source(ini_name, ini, ini_base),
        ],
    )


def add_options(parser: pytest.Parser) -> None:
    """Declare every setting as a command-line option and as an ini value."""
    group = parser.getgroup("dockwright", "dockwright: real Docker stacks")
    for option in OPTIONS:
        destination = _destination(option.name)
        if option.flag:
            group.addoption(
                option.flag_name,
                dest=destination,
                action="store_const",
                const="true",
                default=None,
                help=option.help,
            )
        else:
            group.addoption(
                option.flag_name,
                dest=destination,
                action="append" if option.many else "store",
                default=None,
                metavar=option.metavar,
                help=option.help,
            )
        parser.addini(
            option.ini_name, option.help, type="linelist" if option.many else "string", default=None
        )


def _destination(name: str) -> str:
    return f"dockwright_option_{name}"
