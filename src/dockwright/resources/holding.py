"""What one resource holds: written down before it is made, removed at the end or by the reaper."""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from dockwright import __version__
from dockwright._files import locked
from dockwright.engine import Engine, current_owner, owner_is_alive
from dockwright.errors import AlreadyTrackedError, CleanupError, ResourceError
from dockwright.model import Ownership
from dockwright.places import project_hash, state_directory
from dockwright.pool import KeptStacks
from dockwright.pool.journal import Journal, Trace
from dockwright.pool.reaper import Present, dispose, present, reap_journals

_BEAT_S = 5.0
"""How often a living owner says so. What is made later than a minute after the last sign of life is
not taken for the dead owner's; see `dockwright.pool.reaper`."""


class Holding:
    """The things of one resource. Nothing is touched before the first one is told of.

    Args:
        whose: who holds them, for messages and for ``dockwright clean``.
        root: of the project that they belong to.
    """

    def __init__(self, whose: str, root: Path | None = None) -> None:
        self.whose = whose
        self.pid = os.getpid()
        self.ownership = Ownership(
            session=f"dw-test-{secrets.token_hex(4)}",
            project=project_hash(root or Path.cwd()),
            stack=whose,
            owner=current_owner(),
            created=time.time(),
            version=__version__,
        )
        self._state = state_directory()
        self._labelled = False
        self._journal: Journal | None = None
        self._ended = threading.Event()

    @property
    def name(self) -> str:
        """The name under which it is listed, and with which unique names begin."""
        return self.ownership.session

    def directory(self, base: Path | None = None) -> Path:
        """Make an empty directory, mode 0700, below `base` or in the user's state directory.

        Raises:
            ResourceError: it cannot be made there.
        """
        path = (base.absolute() / self.name) if base else self._own() / "directory"
        self.tell(Trace("directory", str(path), ours=True))
        try:
            path.mkdir(mode=0o700)
        except OSError as exc:
            self.dispose(None)
            raise ResourceError(
                f"{self.whose}: cannot make a directory in {path.parent}: {exc.strerror}",
                hint="choose another place with base=",
            ) from exc
        return path

    def expect_labelled(self) -> None:
        """Have what bears this holding's labels removed too, though nobody tells of it."""
        self._opened()
        self._labelled = True

    def use(self, engine: Engine) -> None:
        """Remove what dead tests left on an engine that this one is going to use."""
        _reap_once(os.getpid(), self._state, self.ownership.project, engine)

    def tell(self, trace: Trace) -> None:
        """Write down what is about to be made.

        Raises:
            AlreadyTrackedError: a living process answers for the same thing.
        """
        if trace.ours or trace.kind == "process":
            self._opened().add(trace)
            return
        with self._claiming():
            self._check_free(trace)
            self._opened().add(trace)
        self._show_life()

    def tells_of(self, kind: str, name: str) -> bool:
        """Tell whether a thing is written down already."""
        traces = self._journal.traces() if self._journal else []
        return any((each.kind, each.name) == (kind, name) for each in traces)

    def dispose(self, engine: Engine | None) -> list[CleanupError]:
        """Remove everything; return what could not be, which the reaper will try again.

        In a forked child nothing happens: what its parent made is not its own.
        """
        if self._journal is None or self.pid != os.getpid():
            return []
        failures = dispose(self._present(self._journal, engine), engine)
        self._ended.set()
        if not failures:
            self._journal.remove()
            self._journal = None
        return failures

    def keep(self, engine: Engine | None) -> str:
        """Leave everything as it is; return what was kept, and how to remove it."""
        if self._journal is None or self.pid != os.getpid():
            return ""
        self._ended.set()
        KeptStacks(self._state / "kept").add(self.name)
        lines = [f"  {each}" for each in self._present(self._journal, engine).described()]
        self._journal = None
        return "\n".join([f"kept {self.whose}:", *lines, "  remove: dockwright clean --kept"])

    def _present(self, journal: Journal, engine: Engine | None) -> Present:
        return present(journal, engine, labelled=self._labelled)

    def _own(self) -> Path:
        return self._opened().workspace.directory

    def _opened(self) -> Journal:
        if self._journal is None:
            _reap_once(os.getpid(), self._state, self.ownership.project)
            self._journal = Journal.create(self._state, self.ownership)
        return self._journal

    @contextmanager
    def _claiming(self) -> Iterator[None]:
        """Keep the other processes of this user from looking and telling at the same time."""
        with locked(self._state / "journals.lock", create=True):
            yield

    def _check_free(self, trace: Trace) -> None:
        for journal in Journal.all(self._state):
            owner = journal.ownership.owner
            if owner is None or journal.name == self.name or not owner_is_alive(owner):
                continue
            if any(_same(trace, each) for each in journal.traces()):
                raise AlreadyTrackedError(
                    f"{self.whose}: {trace.kind} {trace.name} is tracked already by "
                    f"{journal.ownership.stack} (process {owner.pid})",
                    hint="tests that run at once need names of their own: "
                    "take one from the tracker's name(...)",
                )

    def _show_life(self) -> None:
        """Say now and then that this process lives: what is made after its death is not its own."""
        if any(each.name == self.name for each in threading.enumerate()):
            return
        threading.Thread(target=self._beat, name=self.name, daemon=True).start()

    def _beat(self) -> None:
        # A pause, not a wait for something: it ends early when the holding ends.
        while not self._ended.wait(_BEAT_S):
            if self._journal is not None:
                self._journal.beat()


def _same(one: Trace, other: Trace) -> bool:
    return (one.kind, one.name, one.engine) == (other.kind, other.name, other.engine)


@cache  # once for each process, project and engine: what died before it began does not change
def _reap_once(pid: int, state: Path, project: str, engine: Engine | None = None) -> None:
    del pid
    reap_journals(project, KeptStacks(state / "kept"), engine)
