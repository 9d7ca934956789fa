"""Results of tests on disk: one file each, so that a CI cache can keep and merge directories."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import tarfile
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import IO, Any

from dockwright._files import locked, write_file
from dockwright.cache import Savings
from dockwright.errors import UsageError
from dockwright.results.distributions import Uses

FORMAT = 2
"""Of an entry; entries of another one are not read."""

MOST_BYTES = 200 << 20
"""How much the results of one project may use; then the least recently used are removed."""

LONGEST_UNUSED_S = 30 * 86400.0
"""How long a result is kept without being used."""

_MOST_ENTRY_BYTES = 4 << 20
_ENVIRONMENT = re.compile("[0-9a-f]{32}")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Result:
    """A test that passed, and everything that its outcome depended on.

    Attributes:
        test: its node id.
        environment: the key of what holds for the whole run: Python, distributions, options.
        made: when it ran, in seconds since the epoch.
        seconds: how long it took.
        code: by file, relative to the project's root: a hash of its content, and the checksums of
            the blocks that count; None: all of the file counts.
        files: hashes of what else was read, by path; an empty one: there was no such file.
        listings: hashes of the names in directories that were listed, by path.
        patterns: hashes of what declared patterns match, by pattern.
        modules: the file of each module, by its name.
        conftests: the directories with a ``conftest.py`` that applies.
        variables: hashes of the environment variables that the code may read.
        stacks: what decides what each leased stack contains, by its name.
    """

    test: str
    environment: str
    made: float
    seconds: float
    code: Mapping[str, tuple[str, list[int] | None]]
    files: Mapping[str, str] = field(default_factory=dict)
    listings: Mapping[str, str] = field(default_factory=dict)
    patterns: Mapping[str, str] = field(default_factory=dict)
    modules: Mapping[str, str] = field(default_factory=dict)
    conftests: tuple[str, ...] = ()
    variables: Mapping[str, str] = field(default_factory=dict)
    stacks: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


class ResultStore:
    """The results of one project; any number of processes may read and write it.

    Args:
        directory: where they are.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.savings = Savings(directory)
        """How often results were reused, and how much time that saved."""

    def get(self, test: str, environment: str) -> Result | None:
        """Return the result of a test; None: there is none, or it is damaged."""
        file = self._file(test, environment)
        try:
            content = file.read_bytes()
        except OSError:
            return None
        result = _decoded(content)
        if result is None or (result.test, result.environment) != (test, environment):
            _log.info("damaged result: %s", file)
            return None
        with suppress(OSError):  # a directory that may only be read serves as well
            os.utime(file)
        return result

    def put(self, result: Result) -> None:
        """Save a result, in place of an earlier one of the same test and environment."""
        self._write(self._file(result.test, result.environment), _encoded(result))

    def _write(self, file: Path, content: bytes) -> None:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with locked(file.parent / ".lock", create=True):
            write_file(file, content)

    def put_uses(self, environment: str, uses: Uses) -> None:
        """Save what the tests of an environment used of its distributions, beside what is known."""
        known = self.uses(environment)
        merged = known.added(uses) if known else uses
        if merged != known:
            values = {
                "base": merged.base,
                "contents": dict(merged.contents),
                "loaded": sorted(merged.loaded),
                "everywhere": sorted(merged.everywhere),
                "words": {name: sorted(words) for name, words in merged.words.items()},
            }
            self._write(self._uses_file(environment), _wrapped(values))

    def uses(self, environment: str) -> Uses | None:
        """Return what the tests of an environment used; None: it is unknown."""
        try:
            return _decoded_uses(self._uses_file(environment).read_bytes())
        except OSError:
            return None

    def environments(self) -> list[str]:
        """Return the environments with results, the latest first."""
        files = [(file.stat().st_mtime, file.stem) for file in self._environments()]
        return [name for _, name in sorted(files, reverse=True)]

    def _environments(self) -> list[Path]:
        return list((self.directory / "environments").glob("*.json"))

    def _uses_file(self, environment: str) -> Path:
        return self.directory / "environments" / f"{environment}.json"

    def forget(self, test: str, environment: str) -> None:
        """Remove the result of a test that did not pass now."""
        with suppress(OSError):
            self._file(test, environment).unlink()

    def files(self) -> Iterator[tuple[Path, os.stat_result]]:
        """Yield the files of all results."""
        for file in self.directory.glob("??/*.json"):
            with suppress(OSError):
                yield file, file.stat()

    def export(self, archive: IO[bytes]) -> int:
        """Write all results into an archive, for another machine; return how many."""
        found = sorted(file for file, _ in self.files())
        with tarfile.open(fileobj=archive, mode="w:gz") as tar:
            for file in [*sorted(self._environments()), *found]:
                with suppress(FileNotFoundError):  # another process removed it
                    tar.add(file, str(file.relative_to(self.directory)), recursive=False)
        return len(found)

    def merge(self, archive: IO[bytes]) -> tuple[int, int]:
        """Add the results of an archive; of two results of a test, the later one stays.

        Returns:
            How many were new, and how many entries were none and were left out.

        Raises:
            UsageError: it is no archive of `export`.
        """
        new = bad = 0
        environments: set[str] = set()
        try:
            with tarfile.open(fileobj=archive, mode="r|gz") as tar:
                for member in tar:
                    whole = member.isreg() and member.size <= _MOST_ENTRY_BYTES
                    stream = tar.extractfile(member) if whole else None
                    added = self._add(member.name, stream.read() if stream else b"", environments)
                    new, bad = new + (added is True), bad + (added is None)
        except (tarfile.TarError, OSError, EOFError, zlib.error) as failure:
            raise UsageError(
                f"not an archive of results: {failure}",
                hint="write one with `dockwright cache export FILE`",
            ) from failure
        self.tidy()
        return new, bad

    def _add(self, name: str, content: bytes, environments: set[str]) -> bool | None:
        """Add an entry; return whether it is a new result; None: it is damaged.

        Args:
            name: its name; only that of an environment counts.
            content: what it holds.
            environments: those that came before it.
        """
        directory, _, file = name.rpartition("/")
        if directory == "environments":
            uses, environment = _decoded_uses(content), file.removesuffix(".json")
            if uses is None or not _ENVIRONMENT.fullmatch(environment):
                return None
            self.put_uses(environment, uses)
            environments.add(environment)
            return False
        result = _decoded(content)
        if result is None or result.environment not in environments:
            return None
        known = self.get(result.test, result.environment)
        if known is not None and known.made >= result.made:
            return False
        self.put(result)
        return True

    def clear(self, unused_s: float = 0.0) -> int:
        """Remove the results that were not used for so long; return how many."""
        then = time.time() - unused_s
        old = [file for file, status in self.files() if status.st_mtime <= then]
        for file in old:
            with suppress(OSError):
                file.unlink()
        return len(old)

    def tidy(self) -> None:
        """Remove what was not used for long, and the least recently used beyond the bound."""
        used, now = 0, time.time()
        for file, status in sorted(self.files(), key=lambda each: -each[1].st_mtime):
            used += status.st_size
            if used > MOST_BYTES or now - status.st_mtime > LONGEST_UNUSED_S:
                with suppress(OSError):
                    file.unlink()
        for file in self._environments():
            with suppress(OSError):
                if now - file.stat().st_mtime > LONGEST_UNUSED_S:
                    file.unlink()

    def _file(self, test: str, environment: str) -> Path:
        name = hashlib.sha256(f"{environment}\0{test}".encode(errors="surrogateescape"))
        digest = name.hexdigest()[:32]
        return self.directory / digest[:2] / f"{digest}.json"


def _encoded(result: Result) -> bytes:
    return _wrapped({each.name: getattr(result, each.name) for each in fields(result)})


def _wrapped(values: Mapping[str, object]) -> bytes:
    body = json.dumps({"format": FORMAT, **values}, sort_keys=True).encode()
    return hashlib.sha256(body).hexdigest().encode() + b"\n" + body


def _unwrapped(content: bytes) -> dict[str, Any] | None:
    digest, _, body = content.partition(b"\n")
    if hashlib.sha256(body).hexdigest().encode() != digest:
        return None
    try:
        found = json.loads(body)
        known = isinstance(found, dict) and found.pop("format", None) == FORMAT
    except (ValueError, RecursionError):
        return None
    return found if known else None


def _decoded(content: bytes) -> Result | None:
    found = _unwrapped(content)
    if found is None:
        return None
    try:
        code = {name: (digest, blocks) for name, (digest, blocks) in found.pop("code").items()}
        return Result(code=code, conftests=tuple(found.pop("conftests")), **found)
    except (KeyError, TypeError, ValueError):
        return None


def _decoded_uses(content: bytes) -> Uses | None:
    found = _unwrapped(content)
    if found is None:
        return None
    try:
        words = {name: frozenset(each) for name, each in found["words"].items()}
        loaded, everywhere = frozenset(found["loaded"]), frozenset(found["everywhere"])
        return Uses(found["base"], found["contents"], loaded, everywhere, words)
    except (KeyError, TypeError, AttributeError):
        return None
