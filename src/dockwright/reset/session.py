"""What the sessions of all databases share: the way to the server, the client in the container.

A driver is optional. Where it is missing, or cannot be used for whatever reason, the database's own
client program does the same from inside the container.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from typing import TypeVar

from dockwright.errors import EngineError, StackError
from dockwright.reset.base import Resettable

log = logging.getLogger(__name__)

Native = TypeVar("Native")
Inside = TypeVar("Inside")


class ConnectionLostError(StackError):
    """The server, or the way to it, is gone."""


class ClientEndedError(ConnectionLostError):
    """The client in the container ended.

    Attributes:
        output: what it wrote last.
    """

    def __init__(self, message: str, *, output: str = "", hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.output = output


class RefusedError(StackError):
    """The server wants another name or password, whoever asks."""


class SilentError(StackError):
    """The server keeps the connection open and does not answer."""


def connect(
    service: Resettable,
    driver: str,
    natively: Callable[[], Native],
    in_container: Callable[[], Inside],
) -> Native | Inside:
    """Connect with a driver, or with the client in the container if that fails.

    Args:
        service: the service.
        driver: the name of the driver's distribution.
        natively: connects with the driver.
        in_container: connects with the client in the container.

    Raises:
        SilentError: the server does not answer.
        RefusedError: it wants another name or password.
        StackError: neither way leads to the server.
    """
    try:
        session = with_driver(service, driver, natively)
    except (SilentError, RefusedError):
        raise
    except StackError as failure:  # this host cannot reach the port, or another authentication
        log.debug("reset.driver_failed service=%s: %s", service.spec.name, failure)
        session = None
    return in_container() if session is None else session


def with_driver(service: Resettable, driver: str, natively: Callable[[], Native]) -> Native | None:
    """Connect with a driver; return None where there is none that can be used.

    Raises:
        StackError: the server cannot be reached, or does not let us in.
    """
    try:
        return natively()
    except StackError:
        raise
    except ModuleNotFoundError:
        log.debug("reset.no_driver service=%s driver=%s", service.spec.name, driver)
    except Exception as failure:  # noqa: BLE001 - any version of the driver may be installed
        _warn_once(driver, f"{type(failure).__name__}: {failure}")
    return None


@contextmanager
def closed_on_failure(close: Callable[[], None]) -> Iterator[None]:
    """End a session if what follows its beginning fails: nobody else has it yet."""
    try:
        yield
    except BaseException:
        with suppress(Exception):  # any version of a driver may be installed
            close()
        raise


@cache
def _warn_once(driver: str, reason: str) -> None:
    log.warning(
        "reset.driver_unusable driver=%s: %s; resets use the client in the container instead,"
        " which is slower",
        driver,
        reason,
    )


class ContainerClient:
    """A client program that stays in the container as long as the session.

    Args:
        service: the service.
        program: its name, for messages.
        command: the command that starts it.
        environment: variables for it; empty ones are left out.
        user: who runs it; empty: the container's user.

    Attributes:
        mark: a text that nothing else contains, to find the ends of answers.

    Raises:
        ConnectionLostError: the engine cannot run it.
    """

    def __init__(
        self,
        service: Resettable,
        program: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        user: str = "",
    ) -> None:
        self.mark = f"dockwright-{secrets.token_hex(8)}"
        self._program = program
        variables = {name: value for name, value in environment.items() if value}
        try:
            self._exec = service.engine.exec_session(
                service.container(), command, user=user, env=variables
            )
        except EngineError as exc:
            raise ConnectionLostError(exc.message) from exc
        self._chunks = self._exec.output()

    def write(self, data: bytes) -> None:
        """Send input to the program.

        Raises:
            ConnectionLostError: the program, or the way to it, is gone.
        """
        try:
            self._exec.write(data)
        except EngineError as exc:
            raise ConnectionLostError(exc.message) from exc

    def read(self) -> tuple[str, bytes] | None:
        """Return the next piece of output and the name of its stream; None: the program ended.

        Raises:
            ConnectionLostError: the way to the program is gone.
        """
        try:
            chunk = next(self._chunks, None)
        except EngineError as exc:
            self.close()
            raise ConnectionLostError(exc.message) from exc
        if chunk is None:
            self.close()
        return chunk

    def exchange(self, request: str, end: str) -> str:
        """Send a request and return what the program writes up to the text `end`.

        Raises:
            ClientEndedError: the program ended first.
            ConnectionLostError: the way to the program is gone.
        """
        self.write(request.encode())
        output, complaints = bytearray(), bytearray()
        while chunk := self.read():
            name, data = chunk
            if name == "stderr":
                complaints += data
                continue
            output += data
            if output.endswith(end.encode()):
                return output[: -len(end.encode())].decode(errors="replace")
        last = (complaints or output).decode(errors="replace").strip()
        raise ClientEndedError(f"{self._program} in the container ended: {last}", output=last)

    def close(self) -> None:
        """End the program."""
        self._exec.close()
