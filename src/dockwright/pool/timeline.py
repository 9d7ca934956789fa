"""What happened to each copy and when, and the advice that follows from it."""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial

from dockwright._text import counted, format_size, listed
from dockwright.model import Trace
from dockwright.pool.copies import Copy, State
from dockwright.pool.lease import Lease
from dockwright.recording import UNAWAITED, RunningCopy, StackTimeline
from dockwright.stack import Listener, ServiceReset, UnitEvent

_FEW_RESETS = 3
_LITTLE_S = 1.0
"""Below this, the time that recreation takes in a whole run is not worth a hint."""


class Advice:
    """Collects hints and warnings for the end of a run; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._silent: list[str] = []
        self._sole: dict[str, str] = {}
        # By stack; a reset that replaces several services reports each, with the same beginning.
        self._replaced: defaultdict[str, dict[float, float]] = defaultdict(dict)
        self._services: defaultdict[str, set[str]] = defaultdict(set)
        # By stack and service: why, and what its resets took since the last call of `drain`.
        self._ways: dict[str, str] = {}
        self._gave_way: dict[tuple[str, str], str] = {}
        self._costs: dict[tuple[str, str], list[float]] = {}
        self._healed: list[tuple[str, Sequence[Trace], Sequence[str]]] = []
        self._differed: defaultdict[tuple[str, str], list[tuple[str, float]]] = defaultdict(list)

    def silent(self, stack: str, service: str, ports: Collection[int]) -> None:
        """Note that nothing listened on ports that a service declares."""
        port = f"port {' and '.join(map(str, ports))}"
        text = (
            f"warning: stack {stack}: nothing listened on {port} of {service} within "
            "dockwright_listen_timeout; the tests went on without\n"
            f"  hint: declare a health check for {service}, or x-dockwright: {{ready: running}}; "
            "or declare only ports that it serves"
        )
        with self._lock:
            self._silent.append(text)

    def resets(self, stack: str, resets: Mapping[str, ServiceReset]) -> None:
        """Note how each service of a stack comes back."""
        in_place = [
            f"{name} ({each.recognised})" if each.recognised else name
            for name, each in resets.items()
            if each.manner == "in place"
        ]
        stay = [name for name, each in resets.items() if each.may_stay]
        new = [name for name, each in resets.items() if each.manner == "recreate"]
        new = [name for name in new if name not in stay]
        if in_place:
            text = f"stack {stack}: {listed(in_place)} {_are(in_place)} reset in place"
            text += f"; {listed(new)} {_get(new)} a new container" if new else ""
            if stay:
                text += (
                    f"; {listed(stay)} {_are(stay)} kept while it writes no file and no test fails "
                    "(x-dockwright: {reset: recreate} replaces it after each test)"
                )
            with self._lock:
                self._ways[stack] = text

    def sole(self, stack: str, reason: str) -> None:
        """Note that a second copy of a stack would have helped, and why there is none."""
        with self._lock:
            self._sole[stack] = (
                f"hint: stack {stack} had one copy only, so that tests waited for each other: "
                f"{reason}"
            )

    def no_memory(self, stack: str, needs_bytes: int, limit_bytes: int) -> None:
        """Note that another copy of a stack would have helped, and did not fit."""
        needs, limit = format_size(needs_bytes), format_size(limit_bytes)
        with self._lock:
            self._sole[stack] = (
                f"hint: stack {stack} had fewer copies than its tests could use: a copy needs "
                f"{needs}, and dockwright_max_memory is {limit}"
            )

    def ran_out_of_memory(self, stack: str, copies: int) -> None:
        """Note that the host's memory did not hold all copies of a stack, and how many stay."""
        with self._lock:
            self._sole[stack] = (
                f"warning: the host ran out of memory, which ended a service of stack {stack}; "
                f"from then on it had {counted(copies, 'copy', 'copies')} at most\n"
                f"  hint: set dockwright_max_stacks to {copies}, or dockwright_max_memory"
            )

    def replaced(self, stack: str, service: str, began_s: float, seconds: float) -> None:
        """Note that a reset replaced a service's container, because no strategy fits."""
        with self._lock:
            self._services[stack].add(service)
            self._replaced[stack][began_s] = seconds

    def gave_way(self, stack: str, service: str, why: str) -> None:
        """Note that the strategy of a service does not work."""
        with self._lock:
            if self._gave_way.get((stack, service)) != why:
                self._gave_way[stack, service] = why
                self._costs.setdefault((stack, service), [])

    def replaced_after_all(self, stack: str, service: str, seconds: float) -> None:
        """Note how long it took to replace a service whose strategy does not work."""
        with self._lock:
            self._costs.setdefault((stack, service), []).append(seconds)

    def differed(self, stack: str, service: str, why: str, seconds: float) -> None:
        """Note that a reset replaced a container because a test changed more than its data."""
        with self._lock:
            self._differed[stack, service].append((why, seconds))

    def healed(self, stack: str, traces: Sequence[Trace], shared_by: Sequence[str]) -> None:
        """Note that tests changed a stack that they shared."""
        with self._lock:
            self._healed.append((stack, traces, shared_by))

    def drain(self) -> tuple[str, ...]:
        """Return the hints and warnings since the last call."""
        with self._lock:
            slow = [self._slow_way(*key, costs) for key, costs in self._costs.items()]
            hints = [*self._sole.values(), *map(self._hint, self._replaced)]
            texts = [*self._ways.values(), *self._silent, *slow, *hints]
            texts += [_replaced_for(*each) for each in self._differed.items()]
            self._ways.clear()
            texts += [_healed(*each) for each in self._healed]
            self._healed.clear()
            self._silent.clear()
            self._sole.clear()
            self._costs.clear()
            self._differed.clear()
            self._replaced.clear()
            self._services.clear()
        return tuple(text for text in texts if text)

    def _slow_way(self, stack: str, service: str, costs: Sequence[float]) -> str:
        cost = (
            f"{len(costs)} {'reset' if len(costs) == 1 else 'resets'} gave it a new container, "
            f"{sum(costs) / len(costs):.2f} s each time"
            if costs
            else "each reset gives it a new container"
        )
        return (
            f"warning: stack {stack}: {service} is not reset in place: "
            f"{self._gave_way[stack, service]}\n"
            f"  {cost}; x-dockwright: {{reset: recreate}} silences this"
        )

    def _hint(self, stack: str) -> str:
        times = self._replaced[stack].values()
        if len(times) < _FEW_RESETS or sum(times) < _LITTLE_S:
            return ""
        services = listed(sorted(self._services[stack]))
        return (
            f"hint: {len(times)} resets of stack {stack} gave {services} a new container, "
            f"{sum(times) / len(times):.2f} s each time\n"
            "  a service without state of its own is spared that by x-dockwright: {reset: none}"
        )


def _are(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"


def _get(names: Sequence[str]) -> str:
    return "gets" if len(names) == 1 else "get"


def _replaced_for(where: tuple[str, str], resets: Sequence[tuple[str, float]]) -> str:
    """Return a hint: how often a service was replaced, why, and how long it took."""
    (stack, service), count = where, len(resets)
    seconds = sum(each for _, each in resets) / count
    [(why, _)] = Counter(why for why, _ in resets).most_common(1)
    times = "1 reset" if count == 1 else f"{count} resets"
    return (
        f"hint: {times} of stack {stack} gave {service} a new container, {seconds:.2f} s each, "
        f"because its tests change more than its data: {why}\n"
        "  a test that undoes this itself saves that time; "
        "the reset strategies' reference has what is looked at"
    )


_NAMED = 10
"""How many changes to a shared stack are named, and how many tests; more are counted."""


def _healed(stack: str, traces: Sequence[Trace], shared_by: Sequence[str]) -> str:
    """Return a warning: what tests changed that shared a stack, and which tests those were."""
    shown = list(dict.fromkeys(map(str, traces)))
    more = [f"and {len(shown) - _NAMED} more"] if len(shown) > _NAMED else []
    changes = "; ".join([*shown[:_NAMED], *more])
    tests = list(dict.fromkeys(holder.partition(" ")[2] or holder for holder in shared_by))
    named = [f"    {test}" for test in tests[:_NAMED]]
    if len(tests) > _NAMED:
        named.append(f"    and {len(tests) - _NAMED} more")
    return "\n".join(
        [
            f"warning: stack {stack}: tests marked stateless changed it ({changes}); "
            "it was reset before the next test used it",
            f"  {'this test' if len(tests) == 1 else 'one or more of these tests'} "
            "should be marked stateful:",
            *named,
        ]
    )


class PoolTimeline:
    """Records what happens to the pool's copies.

    Args:
        journal: stores what happened to each copy.
        look: called with a copy before its containers are removed, for a last sample.
        advice: collects what cost time needlessly.
    """

    def __init__(
        self,
        journal: StackTimeline | None = None,
        look: Callable[[RunningCopy], None] = lambda _: None,
        advice: Advice | None = None,
    ) -> None:
        self._journal = journal or StackTimeline()
        self._look = look
        self._advice = advice or Advice()
        self._started: set[str] = set()
        self._removed: set[str] = set()

    def made(self, copy: Copy) -> None:
        """Note that a copy is about to be started."""
        project = copy.stack.identity.project
        self._journal.knows(project, copy.stack.identity.ownership.stack)
        copy.baseline.on_reset = partial(self._reset_service, copy)

    def waits_of(self, copy: Copy) -> Listener:
        """Return a listener for a copy's start that records the wait for each service."""
        project, since = copy.stack.identity.project, dict[str, float]()

        def listen(event: UnitEvent) -> None:
            if event.state == "wait":
                since[event.unit] = time.monotonic()
            elif event.state in ("ready", "failed") and event.unit in since:
                began = since.pop(event.unit)
                self._journal.add(project, "wait", event.unit, began, time.monotonic() - began)

        return listen

    def _reset_service(
        self, copy: Copy, service: str, manner: str, why: str, began: float, seconds: float
    ) -> None:
        identity, spec = copy.stack.identity, copy.stack.spec
        stack = identity.ownership.stack
        if manner == "kept":
            return  # nothing happened
        label = f"{service}: {manner}" + (f" ({why})" if why else "")
        self._journal.add(identity.project, "reset", label, began, seconds)
        unasked = service in spec.services and spec.services[service].reset is None
        if manner == "recreate" and service in copy.baseline.gave_way:
            self._advice.replaced_after_all(stack, service, seconds)
        elif manner == "recreate" and unasked:
            self._advice.replaced(stack, service, began, seconds)
        if why:
            self._advice.differed(stack, service, why, seconds)

    def usable(self, copy: Copy) -> None:
        """Note that the start of a copy has ended: it can be leased, or it failed."""
        identity = copy.stack.identity
        self._note_start(copy, time.monotonic())
        self._advice.resets(identity.ownership.stack, copy.baseline.resets)
        for service, why in copy.baseline.gave_way.items():
            self._advice.gave_way(identity.ownership.stack, service, why)

    def _note_start(self, copy: Copy, ended: float) -> None:
        project = copy.stack.identity.project
        if project not in self._started:
            self._started.add(project)
            self._journal.add(project, "start", "", copy.made_s, ended - copy.made_s)

    def released(self, lease: Lease) -> None:
        """Note that a lease has ended."""
        client, _, holder = lease.requirement.holder.partition(" ")
        began = lease.since_s
        self._journal.add(
            lease.stack.identity.project, "lease", holder or client, began, time.monotonic() - began
        )

    def healed(self, copy: Copy, traces: Sequence[Trace], shared_by: Sequence[str]) -> None:
        """Note that tests changed a copy that they shared."""
        self._advice.healed(copy.stack.identity.ownership.stack, traces, shared_by)

    @contextmanager
    def resetting(self, copy: Copy) -> Iterator[None]:
        """Record the time of a reset; sample first the containers that it may replace."""
        self._look(living(copy))
        project = copy.stack.identity.project
        with self._journal.noted(project, "reset"):
            yield

    def removal_begins(self, copy: Copy) -> None:
        """Note that a copy is about to be removed, and that nobody waits for the end of it."""
        project = copy.stack.identity.project
        self._journal.add(project, "cleanup", UNAWAITED, time.monotonic(), 0.0)

    @contextmanager
    def removing(self, copy: Copy) -> Iterator[None]:
        """Record the time of a removal, after a last sample.

        Every copy has one start and one removal, so that their numbers add up: also one whose start
        was called off, or that waited for a seed which nobody needed.
        """
        self._look(living(copy))
        project = copy.stack.identity.project
        self._note_start(copy, copy.since_s if copy.state is State.UNSEEDED else time.monotonic())
        if project in self._removed:  # once more, as the first removal did not get everything
            yield
            return
        self._removed.add(project)
        with self._journal.noted(project, "cleanup"):
            yield


def living(copy: Copy) -> RunningCopy:
    """Return the containers and processes of a copy that run now."""
    stack = copy.stack
    processes = {name: each.pid for name, each in stack.processes.items()}
    return RunningCopy(
        stack.identity.project,
        dict(stack.containers),
        {name: pid for name, pid in processes.items() if pid is not None},
        {name: image.id for name, image in stack.ready_images.items()},
    )
