"""Every error that dockwright raises on purpose.

    DockwrightError                     what, where, what to do next
    ├── UsageError                      the request is invalid (exit code 2)
    │   ├── SettingsError               a setting has an invalid value
    │   ├── MarkerError                 a test's markers contradict each other
    │   ├── UnknownServiceError         a name that the stack does not declare
    │   └── ComposeError                a Compose file is wrong: file, line, path in it
    │       ├── NoComposeFileError      no file was named, and none was found
    │       └── ComposeUnsupportedError valid Compose, but dockwright cannot run it
    ├── EngineError                     a call to a Docker-compatible engine failed
    │   ├── EngineUnreachableError      nothing answers at the endpoint
    │   ├── EnginePermissionError       it answers, but not to this user
    │   ├── EngineTimeoutError          it took longer than the call may
    │   ├── NoSuchObjectError           the container, network, volume or exec is gone
    │   ├── ConflictError               the name or the state does not allow it
    │   ├── ImageMissingError           the image is missing and cannot be pulled
    │   ├── ImageBuildError             a build failed; carries its last lines
    │   ├── PortInUseError              a host port is taken
    │   ├── DiskFullError               no space left where the engine keeps its data
    │   └── AddressPoolError            no subnet left for another network
    ├── WaitError                       a condition did not come true
    │   ├── WaitTimeoutError            ... in time
    │   ├── WaitFailedError             ... and cannot any more (the container exited)
    │   └── WaitCancelledError          ... before the wait was called off
    ├── StackError                      a stack could not be started, changed or reset
    │   ├── StackBusyError              another command is changing it
    │   └── StackBrokenError            it is running but not usable; it is never leased
    ├── LeaseError                      no stack could be leased
    │   ├── LeaseClosedError            the lease was used after its end
    │   └── PoolClosedError             the pool was used after it was closed
    ├── ResourceError                   a resource beside the stack is not available
    │   ├── SpaceError                  less free disk space than requested
    │   ├── SizeLimitError              a directory holds more than it may
    │   └── AlreadyTrackedError         another tracker already tracks the artifact
    ├── ArchiveError                    a backup is damaged, or holds what must not be restored
    ├── CleanupError                    something that dockwright created could not be removed
    └── StoreError                      a store of measurements or baselines cannot be used

A message says what failed and where (stack, service, container); `hint` says what to do about it.
Misuse by the programmer is a `RuntimeError` or `TypeError`, not one of these.
"""

from __future__ import annotations

import traceback
from pathlib import Path

from dockwright.untrusted import printable


class DockwrightError(Exception):
    """The root of all errors that dockwright raises on purpose.

    Args:
        message: what failed and where, one sentence or a few lines.
        hint: what the user can do about it, one sentence; shown after the message.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        """Return message and hint as they are shown: without the codes that terminals obey."""
        return printable(f"{self.message}\n  hint: {self.hint}" if self.hint else self.message)


def explained(failure: BaseException) -> str:
    """Return the text that explains an exception to a person, whatever its class.

    Errors of dockwright's own speak for themselves; others need their type to be understood.
    """
    if isinstance(failure, DockwrightError):
        return str(failure)
    return "".join(traceback.format_exception_only(failure)).strip()


class UsageError(DockwrightError):
    """The request is invalid; commands exit with 2."""

    exit_code = 2


class SettingsError(UsageError):
    """A setting has an invalid value."""


class MarkerError(UsageError):
    """A test's markers contradict each other."""


class UnknownServiceError(UsageError):
    """A service, port or stack name that is not declared."""


class ComposeError(UsageError):
    """A Compose file is wrong.

    Args:
        message: what is wrong.
        file: the Compose (or .env) file, where known.
        line: the line in `file`, counted from 1, where known.
        path: the place in the document, e.g. ``services.web.ports[0]``, where known.
        hint: what the user can do about it.
    """

    def __init__(
        self,
        message: str,
        *,
        file: Path | None = None,
        line: int | None = None,
        path: str | None = None,
        hint: str | None = None,
    ) -> None:
        place = f"{file}:{line}" if file and line else str(file) if file else ""
        parts = (place, _shortened(path or ""), _shortened(message))
        text = ": ".join(part for part in parts if part)
        super().__init__(printable(text, keep=""), hint=hint)
        self.file = file
        self.line = line
        self.path = path


def _shortened(text: str, most: int = 600) -> str:
    """Leave out the middle of a text that quotes a value of any length."""
    return text if len(text) <= most else f"{text[: most // 2]} ... {text[-most // 3 :]}"


class NoComposeFileError(ComposeError):
    """No file was named, and none was found in the directory or above it."""


class ComposeUnsupportedError(ComposeError):
    """The file is valid, but dockwright cannot run it."""


class EngineError(DockwrightError):
    """A call to an engine failed."""


class EngineUnreachableError(EngineError):
    """Nothing answers at the endpoint."""


class EnginePermissionError(EngineError):
    """The endpoint exists, but this user may not use it."""


class EngineTimeoutError(EngineError):
    """The engine took longer than the call may."""


class NoSuchObjectError(EngineError):
    """The container, network, volume or exec does not exist (any more)."""


class ConflictError(EngineError):
    """The name is taken, or the object's state does not allow the call."""


class ImageMissingError(EngineError):
    """The image is not on the engine and could not be pulled."""


class ImageBuildError(EngineError):
    """An image build failed; the message ends with its last lines."""


class PortInUseError(EngineError):
    """A host port that a service publishes is taken."""


class DiskFullError(EngineError):
    """No space is left where the engine keeps its data."""


class AddressPoolError(EngineError):
    """The engine has no subnet left for another network."""


class WaitError(DockwrightError):
    """A condition did not come true.

    Args:
        message: what was waited for, for how long, and the last state seen.
        elapsed_s: how long it was waited for, in seconds.
        attempts: how often the condition was checked.
        hint: what the user can do about it.
    """

    def __init__(
        self, message: str, *, elapsed_s: float = 0.0, attempts: int = 0, hint: str | None = None
    ) -> None:
        super().__init__(message, hint=hint)
        self.elapsed_s = elapsed_s
        self.attempts = attempts


class WaitTimeoutError(WaitError):
    """The condition did not come true in time."""


class WaitFailedError(WaitError):
    """The condition cannot come true any more, for example because its container exited."""


class WaitCancelledError(WaitError):
    """The wait was called off: a sibling failed, or the run is ending."""


class StackError(DockwrightError):
    """A stack could not be started, changed or reset."""


class StackBusyError(StackError):
    """Another command is changing the stack; the message names it."""


class StackBrokenError(StackError):
    """A stack runs but is not usable, so that it must be replaced."""


class LeaseError(DockwrightError):
    """No stack could be leased."""


class LeaseClosedError(LeaseError):
    """A lease was used after its end."""


class PoolClosedError(LeaseError):
    """A pool was used after it was closed."""


class ResourceError(DockwrightError):
    """A resource that a test requested beside its stack is not available."""


class SpaceError(ResourceError):
    """There is less free disk space than requested."""


class SizeLimitError(ResourceError):
    """A directory holds more than it may."""


class AlreadyTrackedError(ResourceError):
    """Another tracker, perhaps in another test process, already tracks the artifact."""


class ArchiveError(DockwrightError):
    """A backup is damaged, cannot be read, or holds what must not be restored."""


class CleanupError(DockwrightError):
    """Something that dockwright created could not be removed."""


class StoreError(DockwrightError):
    """A store of measurements or baselines cannot be used."""
