"""What tests and stacks cost in the recorded runs, those of the same kind of machine first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from dockwright.recording.record import Machine, RunRecord, StackRecord, TestRecord
from dockwright.recording.store import PastTest, RunStore
from dockwright.schedule import Costs, Resources, StackCost, StackModel, Test, typical

_RUNS = 5
"""How many runs count: more would keep what tests cost before they were changed."""

_ENDED = ("passed", "xfailed", "xpassed", "failed", "skipped")
"""Attempts with other outcomes say little about what a test costs; failed ones are used last."""

_SURE = ("passed", "xfailed", "xpassed")


def recorded_costs(store: RunStore, machine: Machine) -> Costs:
    """Return the costs of the tests and stacks of a project.

    Only the last runs count: those on a machine with the same processor and as many cores, or, if
    there are none, those of all machines.

    Args:
        store: the recorded runs.
        machine: where the costs will be used.

    Raises:
        StoreError: the store cannot be read.
    """
    runs = store.machines()
    same = [run for run, other in runs if _kind(other) == _kind(machine)]
    chosen = (same or [run for run, _ in runs])[:_RUNS]
    if not chosen:
        return Costs()
    tests = _tests(store.history(len(runs)), set(chosen))
    documents = [document for run in chosen[:2] if (document := store.document(run))]
    between_s = typical(map(_between_s, documents))
    return Costs(
        tests={name: seconds + between_s for name, seconds in tests.items()},
        stacks=dict(_stacks(documents)),
        starting_s=typical(_gaps_s(each, "starting", "collection") for each in documents),
        closing_s=typical(_gaps_s(each, "closing", "ending") for each in documents),
        fixtures_s=typical(map(_fixtures_s, documents)),
        runs=len(chosen),
    )


def measured_tests(record: RunRecord) -> list[Test]:
    """Return the tests of a run as the planner sees them, with what each took without waiting.

    Shared fixtures are not part of it. Which tests had to stay together is not recorded, except
    for those that shared the lease of a module.
    """
    names = {stack.project: stack.name for stack in record.stacks}
    return [_measured(test, names) for test in record.tests]


def _measured(test: TestRecord, names: Mapping[str, str]) -> Test:
    queue_s = sum(span.seconds for span in test.spans if span.phase == "queue" and not span.shared)
    return _as_planned(
        test.nodeid, max(0.0, test.wall_s - queue_s), test.lane, names.get(test.stack, "")
    )


def _as_planned(nodeid: str, seconds: float, lane: str, stack: str) -> Test:
    if lane == "none" or not stack:
        return Test(nodeid, seconds)
    lease = f"{nodeid.partition('::')[0]} {stack}" if lane == "module" else ""
    return Test(nodeid, seconds, stack, lane != "stateless", lease)


def recorded_tests(store: RunStore, costs: Costs) -> list[Test]:
    """Return the tests of the last recorded run as the planner sees them; none without a run.

    Raises:
        StoreError: the store cannot be read.
    """
    runs = store.runs(1)
    document = store.document(runs[0].id) if runs else {}
    names = {stack["project"]: stack["name"] for stack in _list(document, "stacks")}
    lanes = {
        test["nodeid"]: (test.get("lane", "none"), names.get(test.get("stack", ""), ""))
        for test in _list(document, "tests")
    }
    return [
        _as_planned(nodeid, costs.seconds(nodeid), lane, stack)
        for nodeid, (lane, stack) in lanes.items()
    ]


def measured_resources(record: RunRecord) -> Resources:
    """Return what the tests of a run could use."""
    of_name: dict[str, list[StackRecord]] = {}
    for stack in record.stacks:
        of_name.setdefault(stack.name, []).append(stack)
    return Resources(
        max(1, len(record.workers)),
        {
            name: StackModel(
                len(copies),
                typical(_whole_s(copies, "start")),
                typical(_whole_s(copies, "reset")),
            )
            for name, copies in of_name.items()
        },
    )


def _whole_s(copies: Iterable[StackRecord], phase: str) -> Iterator[float]:
    for copy in copies:
        yield from (each.seconds for each in copy.spans if each.phase == phase and not each.name)


def _kind(machine: Machine | Mapping[str, Any]) -> tuple[object, object]:
    if isinstance(machine, Machine):
        return machine.cpu, machine.cores
    return machine.get("cpu"), machine.get("cores")


def _tests(history: Iterable[PastTest], runs: set[str]) -> dict[str, float]:
    """Return what each test cost without waiting: the median of its attempts that passed."""
    attempts: dict[str, list[PastTest]] = {}
    for test in history:
        if test.run in runs and test.outcome in _ENDED:
            attempts.setdefault(test.nodeid, []).append(test)
    found = {}
    for nodeid, tests in attempts.items():
        sure = [test for test in tests if test.outcome in _SURE] or tests
        found[nodeid] = typical(max(0.0, test.wall_s - test.queue_s) for test in sure)
    return found


def _stacks(documents: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, StackCost]]:
    names = {stack["name"]: None for document in documents for stack in _list(document, "stacks")}
    for name in names:
        of_runs = [
            [stack for stack in _list(document, "stacks") if stack["name"] == name]
            for document in documents
        ]
        copies = [copy for of_run in of_runs for copy in of_run]
        yield (
            name,
            StackCost(
                boot_s=typical(_spans_s(copies, "start")) or StackCost().boot_s,
                reset_s=typical(_spans_s(copies, "reset")) or StackCost().reset_s,
                memory_bytes=max(map(_memory, copies), default=0),
                copies=max(map(len, of_runs), default=0),
            ),
        )


def _spans_s(copies: Iterable[Mapping[str, Any]], phase: str) -> Iterator[float]:
    """Yield the durations of whole starts or resets; those of single services have names."""
    for copy in copies:
        for span in _list(copy, "spans"):
            if span["phase"] == phase and not span.get("name"):
                yield span["seconds"]


def _memory(copy: Mapping[str, Any]) -> int:
    """Return the highest memory of a copy: of a service with several containers, the highest."""
    peaks: dict[str, int] = {}
    for unit in _list(copy, "units"):
        peak = unit.get("peak_memory_bytes") or 0
        peaks[unit["unit"]] = max(peak, peaks.get(unit["unit"], 0))
    return sum(peaks.values())


def _gaps_s(document: Mapping[str, Any], *names: str) -> float:
    """Return how long the workers were in some gaps, on average."""
    workers = _list(document, "workers")
    gaps = [gap for worker in workers for gap in _list(worker, "gaps") if gap["name"] in names]
    return _sum_s(gaps) / max(1, len(workers))


def _between_s(document: Mapping[str, Any]) -> float:
    """Return the time between two tests of a worker, on average."""
    workers, tests = len(_list(document, "workers")), len(_list(document, "tests"))
    return _gaps_s(document, "between") * workers / max(1, tests)


def _fixtures_s(document: Mapping[str, Any]) -> float:
    """Return what each worker spent on fixtures that several tests shared, on average."""
    shared = [cost for cost in _list(document, "shared") if cost["phase"] == "fixture"]
    return _sum_s(shared) / max(1, len(_list(document, "workers")))


def _sum_s(parts: Iterable[Mapping[str, Any]]) -> float:
    return sum(float(part["seconds"]) for part in parts)


def _list(document: Mapping[str, Any], name: str) -> Sequence[Mapping[str, Any]]:
    found: Sequence[Mapping[str, Any]] = document.get(name, ())
    return found
