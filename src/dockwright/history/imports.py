"""Runs from files: our own JSON Lines, JUnit XML of any runner, and pytest-split's durations.

Whoever sends such a file may have written anything into it: XML with a document type (which may
declare entities that multiply) is refused, and times that are not finite count as zero.
"""

from __future__ import annotations

import math
import re
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from dockwright.errors import UsageError
from dockwright.recording import Git, Outcome, RunRecord, Span, TestRecord
from dockwright.untrusted import UnreadableError, json_value, read_plain

_LIMIT_BYTES = 256 << 20
_ID_DIGITS = 12
_LONGEST_MESSAGE = 300
_AGAIN = ("rerunFailure", "rerunError", "flakyFailure", "flakyError")
"""What surefire adds to a test for each attempt that failed before or after."""


class _BrokenError(ValueError):
    """The content is not what it seems to be; the message says why."""


@dataclass(frozen=True, slots=True)
class Result:
    """One attempt at a test, as another runner reported it."""

    nodeid: str
    seconds: float
    outcome: Outcome = "passed"
    message: str = ""


def imported(files: Sequence[Path], git: Git, *, merge: bool = False) -> list[RunRecord]:
    """Return the runs in some files.

    The id of a run without one is a hash of its content, so that importing it twice adds nothing;
    that of a merged run, of the ids of its parts.

    Args:
        files: JSON Lines of `dockwright runs export`, JUnit XML, or ``.test_durations``.
        git: the source of the runs that do not name it themselves.
        merge: whether the files are parts of one run, such as the shards of a CI job.

    Raises:
        UsageError: a file cannot be read, or is none of these; names the file and the place. Or
            a file to be merged has several runs.
    """
    found: list[RunRecord] = []
    parts: list[tuple[bytes, float, list[Result]]] = []
    for file in files:
        try:
            content = read_plain(file, limit_bytes=_LIMIT_BYTES)
            if _is_export(content):
                exported = list(_exported(content))
                if merge and len(exported) > 1:
                    raise UsageError(
                        f"{file} has {len(exported)} runs, and --merge needs the one that the file "
                        "is a part of",
                        hint="write it with `dockwright runs export last`",
                    )
                found += exported
            else:
                began_s, results = _results(content, file.stat().st_mtime)
                parts.append((content, began_s, results))
        except (UnreadableError, _BrokenError) as exc:
            raise UsageError(f"{file} {exc}", hint=_HINT) from exc
        except OSError as exc:
            raise UsageError(f"cannot read {file}: {exc.strerror}") from exc
    groups = [parts] if merge and parts else [[part] for part in parts]
    runs = [*found, *(_run(group, git) for group in groups)]
    return [_merged(runs)] if merge and len(runs) > 1 else runs


_HINT = (
    "import JSON Lines of `dockwright runs export`, JUnit XML, or .test_durations of pytest-split"
)


def _is_export(content: bytes) -> bool:
    first = content.lstrip().partition(b"\n")[0]
    return first.startswith(b"{") and b'"began_s"' in first


def _exported(content: bytes) -> Iterator[RunRecord]:
    for number, line in enumerate(content.splitlines(), 1):
        if line.strip():
            try:
                yield RunRecord.from_json(json_value(line))
            except ValueError as exc:
                raise _BrokenError(f"has no valid run in line {number}: {_short(exc)}") from exc


def _results(content: bytes, modified_s: float) -> tuple[float, list[Result]]:
    """Return when a run began, in seconds since the epoch, and its tests."""
    start = content.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    if start == b"<" or content.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        return _junit(content, modified_s)
    if start == b"{":
        return modified_s, _durations(content)
    raise _BrokenError("is neither JSON nor XML")


def _durations(content: bytes) -> list[Result]:
    try:
        values = json_value(content)
    except ValueError as exc:
        raise _BrokenError(f"is not JSON: {_short(exc)}") from exc
    if not isinstance(values, Mapping):
        raise _BrokenError("has no durations by test")
    for name, value in values.items():
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise _BrokenError(f"has no duration for {name!r}: expected seconds")
    return [Result(name, _seconds(str(value))) for name, value in values.items()]


def _junit(content: bytes, modified_s: float) -> tuple[float, list[Result]]:
    root = _tree(content)
    if root.tag not in ("testsuites", "testsuite"):
        raise _BrokenError(f"is not JUnit XML: its root is <{root.tag}>, not <testsuites>")
    suites = [root, *root.iter("testsuite")]
    times = [time for suite in suites if (time := _timestamp(suite.get("timestamp", "")))]
    of_pytest = any(suite.get("name", "").startswith("pytest") for suite in suites)
    results = [
        result for case in root.iter("testcase") for result in _attempts(case, of_pytest=of_pytest)
    ]
    return min(times, default=modified_s), results


def _tree(content: bytes) -> Element:
    """Return the root of an XML document without a document type.

    Raises:
        _BrokenError: it is not XML, or has a document type.
    """
    builder = TreeBuilder()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = _refuse
    try:
        parser.Parse(content, True)  # noqa: FBT003 - it takes no keywords
    except expat.ExpatError as exc:
        raise _BrokenError(f"is not XML: {exc}") from exc
    except (LookupError, ValueError) as exc:  # an encoding that Python does not know
        if isinstance(exc, _BrokenError):
            raise
        raise _BrokenError(f"is not XML: {_short(exc)}") from exc
    return builder.close()


def _refuse(*_: object) -> None:
    raise _BrokenError("has a document type, which JUnit XML does not need; it is not read")


def _attempts(case: Element, *, of_pytest: bool) -> Iterator[Result]:
    nodeid, seconds = _nodeid(case, of_pytest=of_pytest), _seconds(case.get("time", ""))
    for again in _AGAIN:
        for child in case.iter(again):
            yield Result(nodeid, _seconds(child.get("time", "")), "rerun", _message(child))
    for tag, outcome in _OUTCOMES:
        if (end := case.find(tag)) is not None:
            yield Result(nodeid, seconds, outcome, "" if tag == "skipped" else _message(end))
            return
    not_run = {case.get("status"), case.get("result")} & _NOT_RUN
    yield Result(nodeid, seconds, "skipped" if not_run else "passed")


_NOT_RUN = {"notrun", "disabled", "skipped", "suppressed"}
"""How GoogleTest and others mark tests that they left out."""

_OUTCOMES: Sequence[tuple[str, Outcome]] = (
    ("failure", "failed"),
    ("error", "error"),
    ("skipped", "skipped"),
)


def _nodeid(case: Element, *, of_pytest: bool) -> str:
    """Return the name of a test: pytest's own one as far as its class's name shows it."""
    scope, name = case.get("classname", ""), case.get("name", "")
    if not of_pytest:
        parts = [scope, name] if scope != name else [name]  # jest-junit writes the name twice
        return "::".join(part for part in parts if part)
    parts = scope.split(".")
    modules = [at for at, part in enumerate(parts) if re.match(r"test_|.*_test$", part)]
    end = modules[-1] + 1 if modules else len(parts)
    file = case.get("file") or "/".join(parts[:end]) + ".py"
    return "::".join([file, *parts[end:], name])


def _message(child: Element) -> str:
    text = (child.get("message") or child.text or "").strip()
    return text.partition("\n")[0][:_LONGEST_MESSAGE]


def _seconds(text: str) -> float:
    """Return a duration; surefire writes a thousand seconds as ``1,000.0``."""
    try:
        seconds = float(text.replace(",", ""))
    except ValueError:
        return 0.0
    return seconds if math.isfinite(seconds) and seconds > 0 else 0.0


def _timestamp(text: str) -> float:
    """Return seconds since the epoch, or 0; a time without a zone is in UTC."""
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (OverflowError, ValueError):
        return 0.0


def _run(parts: Iterable[tuple[bytes, float, list[Result]]], git: Git) -> RunRecord:
    parts = sorted(parts, key=lambda part: sha256(part[0]).digest())
    digest = sha256(b"".join(sha256(content).digest() for content, _, _ in parts)).hexdigest()
    tests, at = [], 0.0
    for result in (result for _, _, results in parts for result in results):
        tests.append(_test(result, at))
        at += result.seconds
    failed = any(test.outcome in ("failed", "error") for test in tests)
    began_s = min(began_s for _, began_s, _ in parts)
    name = f"imported-{digest[:_ID_DIGITS]}"
    return RunRecord(name, began_s, at, int(failed), git, tests=tuple(tests))


def _merged(parts: Sequence[RunRecord]) -> RunRecord:
    """Return the run whose parts several machines ran at the same time, without samples."""
    parts = sorted(parts, key=lambda part: part.id)
    digest = sha256("\n".join(part.id for part in parts).encode()).hexdigest()
    numbered = [(f"{number}/", part) for number, part in enumerate(parts, 1)]
    return replace(
        parts[0],
        id=f"merged-{digest[:_ID_DIGITS]}",
        began_s=min(part.began_s for part in parts),
        wall_s=max(part.wall_s for part in parts),
        exit_code=max(part.exit_code for part in parts),
        predicted_s=max(part.predicted_s for part in parts),
        workers=tuple(
            replace(worker, name=f"{prefix}{worker.name}")
            for prefix, part in numbered
            for worker in part.workers
        ),
        tests=tuple(
            replace(test, worker=f"{prefix}{test.worker}")
            for prefix, part in numbered
            for test in part.tests
        ),
        stacks=tuple(stack for part in parts for stack in part.stacks),
        samples=(),
        shared=tuple(
            replace(cost, lane=f"{prefix}{cost.lane}")
            for prefix, part in numbered
            for cost in part.shared
        ),
        engine_calls=(),
        counts=sum((Counter(part.counts) for part in parts), Counter()),
        notes=tuple(note for part in parts for note in part.notes),
        problems=tuple(problem for part in parts for problem in part.problems),
    )


def _test(result: Result, at: float) -> TestRecord:
    spans = (Span("call", "", at, result.seconds),) if result.seconds else ()
    return TestRecord(
        result.nodeid,
        "main",
        at,
        result.seconds,
        result.outcome,
        spans=spans,
        message=result.message,
    )


def _short(failure: Exception) -> str:
    return str(failure).partition("\n")[0][:_LONGEST_MESSAGE]
