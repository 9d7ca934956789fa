"""The pure part of the profile: from records and engine facts to where the time went."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from dockwright.profile.analysis.advice import advise
from dockwright.profile.analysis.overlays import (
    with_children,
    with_engine,
    with_line_sleeps,
    with_others,
)
from dockwright.profile.analysis.records import EngineFacts, Finished, Process, read_processes
from dockwright.profile.analysis.result import (
    CAUSES,
    Advice,
    Cause,
    CauseTotal,
    FixtureTotal,
    Profile,
    SiteTotal,
    TestTotal,
    cause_totals,
    fixture_totals,
    site_totals,
    test_totals,
)
from dockwright.profile.analysis.timeline import Reader, Slice

__all__ = [
    "CAUSES",
    "Advice",
    "Cause",
    "CauseTotal",
    "EngineFacts",
    "Finished",
    "FixtureTotal",
    "Profile",
    "SiteTotal",
    "TestTotal",
    "analyse",
    "attribute",
]


def attribute(
    processes: Sequence[Process],
    began_s: float,
    ended_s: float,
    facts: EngineFacts | None,
    redact: Callable[[str], str] = str,
) -> list[list[Slice]]:
    """Attribute every second of a run, once for each lane.

    Args:
        processes: all that left records.
        began_s: when the command was started, by the machine's monotonic clock.
        ended_s: when it ended.
        facts: what the engine reported; None: it was not observed.
        redact: takes secrets out of the names of tests.

    Returns:
        The lanes, each from begin to end without gap or overlap.
    """
    reader = Reader(Path.cwd(), redact)
    children = {process.pid: process for process in processes}
    threads = [
        with_others(
            list(with_children(with_line_sleeps(reader.own_thread(process)), children, reader)),
            process,
            reader,
            processes,
        )
        for process in _actors(processes)
    ]
    lanes = _lanes(with_engine(threads, facts)) or [[]]
    return [_filled(lane, began_s, ended_s) for lane in lanes]


def analyse(
    records: Path,
    run: Finished,
    facts: EngineFacts | None,
    redact: Callable[[str], str] = str,
) -> Profile:
    """Return the profile of a command that has ended.

    Args:
        records: the directory that the probe wrote to.
        run: the command and its end.
        facts: what the engine reported; None: it was not observed.
        redact: takes secrets out of what is shown.
    """
    processes = read_processes(records)
    lanes = attribute(processes, run.began_s, run.ended_s, facts, redact)
    slices = [piece for lane in lanes for piece in lane]
    wall_s = run.ended_s - run.began_s
    return Profile(
        command=redact(" ".join(run.command)),
        exit_code=run.exit_code,
        interrupted=run.interrupted,
        wall_s=wall_s,
        lanes=len(lanes),
        processes=len(processes),
        engine="no" if facts is None else "yes" if facts.complete else "incomplete",
        causes=cause_totals(slices),
        sites=site_totals(slices),
        tests=test_totals(slices),
        fixtures=fixture_totals(slices),
        advice=advise(slices, wall_s, len(lanes)),
    )


def _actors(processes: Sequence[Process]) -> list[Process]:
    """Return the processes whose time is the run's: those that run tests, else the first."""
    found = [
        each for each in processes if each.runs_tests and not _is_part_of_a_test(each, processes)
    ]
    return found or list(processes[:1])


def _is_part_of_a_test(process: Process, processes: Sequence[Process]) -> bool:
    """Return whether a test started it, directly or through other processes."""
    parents = [
        each for each in processes if each.pid == process.parent and each.begin < process.begin
    ]
    return process.in_test or any(
        each.runs_tests or _is_part_of_a_test(each, processes) for each in parents
    )


def _lanes(threads: list[list[Slice]]) -> list[list[Slice]]:
    """Put threads that follow each other into one lane; a lane for each that overlaps."""
    lanes: list[list[Slice]] = []
    for thread in sorted((each for each in threads if each), key=lambda each: each[0].begin):
        free = next((lane for lane in lanes if lane[-1].end <= thread[0].begin), None)
        if free is None:
            lanes.append(list(thread))
        else:
            free.extend(thread)
    return lanes


def _filled(lane: Sequence[Slice], began_s: float, ended_s: float) -> list[Slice]:
    """Fill what no process accounts for, and cut off what lies outside the run."""
    filled: list[Slice] = []
    at = began_s
    for piece in lane:
        begin, end = max(piece.begin, at), min(piece.end, ended_s)
        if begin > at:
            filled.append(Slice(at, begin, "outside"))
        if end > begin:
            is_whole = (begin, end) == (piece.begin, piece.end)
            filled.append(piece if is_whole else replace(piece, begin=begin, end=end))
            at = end
    if ended_s > at:
        filled.append(Slice(at, ended_s, "outside"))
    return filled
