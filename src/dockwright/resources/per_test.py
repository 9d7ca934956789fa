"""The tracker of one test: names it, and knows whether it failed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from dockwright.engine import Engine, connect
from dockwright.resources.tracker import ArtifactTracker


class TestArtifactTracker(ArtifactTracker):
    """An `ArtifactTracker` for one test; what the ``artifacts`` fixture gives.

    Args:
        test: the test's name, e.g. its node id: in messages and in ``dockwright clean``.
        failed: tells, when the tracker ends, whether the test has failed.
        engine: as in `ArtifactTracker`.
        keep_on_failure: whether everything stays if the test failed.
        root: as in `ArtifactTracker`.
    """

    __test__: ClassVar[bool] = False  # its name is for people; pytest is not to collect it

    def __init__(
        self,
        test: str,
        *,
        failed: Callable[[], bool] = lambda: False,
        engine: Callable[[], Engine] = connect,
        keep_on_failure: bool = False,
        root: Path | None = None,
    ) -> None:
        super().__init__(
            engine=engine,
            keep_on_failure=keep_on_failure,
            root=root,
            whose=f"artifacts of {test}",
        )
        self.test = test
        self._failed = failed

    @property
    def failed(self) -> bool:
        """Whether the test has failed until now."""
        return self._failed()

    def _end(self, error: BaseException | None, *, failed: bool = False) -> None:
        super()._end(error, failed=failed or self.failed)
