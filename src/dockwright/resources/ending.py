"""How a block ends when its own clean-up failed: the test's own failure is never hidden."""

from __future__ import annotations

from collections.abc import Sequence

from dockwright.errors import DockwrightError


def raise_or_note(whose: str, failures: Sequence[Exception], error: BaseException | None) -> None:
    """Raise the failures of a clean-up, or add them to the error that is on its way already.

    Args:
        whose: what was cleaned up, for the message.
        failures: what went wrong.
        error: what ended the block, if anything.

    Raises:
        ExceptionGroup: of all failures, where nothing else is on its way.
    """
    if not failures:
        return
    message = f"{whose}: not everything could be removed"
    if error is None:
        raise ExceptionGroup(message, failures)
    error.add_note("\n".join([message, *(f"  {_told(each)}" for each in failures)]))


def _told(failure: Exception) -> str:
    return str(failure) if isinstance(failure, DockwrightError) else repr(failure)
