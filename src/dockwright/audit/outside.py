"""What a test leaves on the engine and in directories of the host that its stack has mounted."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

from dockwright.audit.process import EngineRequest
from dockwright.engine import PREFIX, Engine, parallel
from dockwright.engine.types import Document
from dockwright.model import StackSpec, Trace

_CLOCK_S = 1.0
"""The engine rounds the times at which something was created down to seconds."""

_ANONYMOUS = re.compile(r"[0-9a-f]{64}")
_CHOSEN = re.compile(r"[a-z]+_[a-z]+\d*|[0-9a-f]{64}")
"""Names that an engine chooses itself."""
_OF_IMAGES = (f"{PREFIX}built", f"{PREFIX}equivalent")
"""Labels that containers have from their images, whoever makes them."""
_MOST_FILES, _MOST_NAMED = 20_000, 10
_IGNORED = frozenset(
    {".git", "__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".venv", "node_modules"}
)
"""Directories that tools write to while tests run."""


@dataclass(frozen=True, slots=True)
class _Object:
    """Something on an engine."""

    kind: str
    name: str
    created_s: float
    owned: bool


class EngineObjects:
    """Finds the containers, networks and volumes that a test left on an engine.

    Args:
        engine: what is there now is known.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._known = {(each.kind, each.name) for each in self._all()}

    def left(self, requests: Collection[EngineRequest], since_s: float) -> list[Trace]:
        """Return what is there that was created meanwhile; what dockwright owns does not count.

        Args:
            requests: what the test asked for.
            since_s: when it began, seconds since the epoch.
        """
        found = [each for each in self._all() if (each.kind, each.name) not in self._known]
        self._known.update((each.kind, each.name) for each in found)
        earliest = since_s - _CLOCK_S
        return [
            Trace(each.kind, each.name, "left on the engine")
            for each in found
            if _is_of(each, requests) and not each.owned and each.created_s >= earliest
        ]

    def _all(self) -> list[_Object]:
        listings = parallel.run(
            [
                partial(self._engine.list_containers, {}),
                partial(self._engine.list_networks, {}),
                partial(self._engine.list_volumes, {}),
            ]
        )
        kinds = ("container", "network", "volume")
        return [
            _object(kind, each)
            for kind, listing in zip(kinds, listings, strict=True)
            for each in listing
        ]


def _is_of(found: _Object, requests: Iterable[EngineRequest]) -> bool:
    """Return whether a request may have created this."""
    for each in requests:
        # Others, who create something at the same moment, give it a name.
        unnamed = not each.name and (not each.kind or _CHOSEN.fullmatch(found.name))
        if each.kind in ("", found.kind) and (unnamed or each.name == found.name):
            return True
        # The volumes that an image declares come with a container.
        if (each.kind, found.kind) == ("container", "volume") and _ANONYMOUS.fullmatch(found.name):
            return True
    return False


def _object(kind: str, details: Document) -> _Object:
    names = details.get("Names") or [details.get("Name") or details.get("Id", "")]
    labels = [each for each in details.get("Labels") or () if not each.startswith(_OF_IMAGES)]
    created = details.get("Created") or details.get("CreatedAt") or 0
    owned = any(label.startswith(PREFIX) for label in labels)
    return _Object(kind, str(names[0]).lstrip("/"), _seconds(created), owned)


def _seconds(created: object) -> float:
    """Return a time of the engine, a number or a text, in seconds since the epoch."""
    if isinstance(created, int | float):
        return float(created)
    text = str(created)
    with suppress(ValueError):
        return datetime.fromisoformat(text).timestamp()
    with suppress(ValueError):  # nanoseconds, which Python 3.11 does not read
        head, _, rest = text.partition(".")
        zone = rest.lstrip("0123456789")
        return datetime.fromisoformat(head + (zone or "+00:00")).timestamp()
    return time.time()


class BoundFiles:
    """The files in directories of this host that services of a stack may write to.

    Args:
        spec: the stack.
    """

    def __init__(self, spec: StackSpec) -> None:
        self._roots = sorted(_writable(spec))
        self._own: set[str] = set()
        self._last: dict[str, tuple[int, ...]] | None = None

    def before(self) -> None:
        """Look before a test: what has changed since the last one is the stack's own doing."""
        if not self._roots:
            return
        now = self._look()
        if self._last is not None:
            self._own |= {path for path, _ in _changes(self._last, now)}
        self._last = now

    def after(self) -> list[Trace]:
        """Return what has changed since `before`."""
        if not self._roots or self._last is None:
            return []
        then, self._last = self._last, self._look()
        found = [each for each in _changes(then, self._last) if each[0] not in self._own]
        traces = [Trace("bind mount file", path, how) for path, how in found[:_MOST_NAMED]]
        more = len(found) - _MOST_NAMED
        return traces if more <= 0 else [*traces, Trace("bind mount files", "", f"{more} more")]

    def _look(self) -> dict[str, tuple[int, ...]]:
        found: dict[str, tuple[int, ...]] = {}
        for root in self._roots:
            for path, look in _files(root):
                if len(found) >= _MOST_FILES:
                    return found
                found[path] = (look.st_ino, look.st_size, look.st_ctime_ns)
        return found


def _writable(spec: StackSpec) -> Iterator[str]:
    for service in spec.services.values():
        for mount in service.mounts:
            writable = mount.kind == "bind" and not mount.read_only and mount.source
            if writable and Path(str(mount.source)).exists():
                yield str(mount.source)


def _files(root: str) -> Iterator[tuple[str, os.stat_result]]:
    if Path(root).is_file():
        with suppress(OSError):
            yield root, Path(root).stat()
        return
    pending = [root]
    while pending:
        with suppress(OSError):  # it is gone, or this user may not read it
            for entry in os.scandir(pending.pop()):
                with suppress(OSError):
                    if not entry.is_dir(follow_symlinks=False):
                        yield entry.path, entry.stat(follow_symlinks=False)
                    elif entry.name not in _IGNORED:
                        pending.append(entry.path)


def _changes(
    then: Mapping[str, tuple[int, ...]], now: Mapping[str, tuple[int, ...]]
) -> list[tuple[str, str]]:
    how = {path: "added" for path in now if path not in then}
    how |= {path: "changed" for path in now if path in then and now[path] != then[path]}
    how |= {path: "deleted" for path in then if path not in now}
    return sorted(how.items())
