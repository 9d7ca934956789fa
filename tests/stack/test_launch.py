"""Units start as soon as their own dependencies hold, and one failure ends the rest."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from dockwright.errors import StackError, WaitCancelledError
from dockwright.model import Dependency
from dockwright.stack.graph import Graph
from dockwright.stack.start import Launch, StartProgress, Unit, UnitEvent
from dockwright.wait import CancelToken


class Recorder:
    """Units that note the order of what is done with them."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.steps: list[str] = []
        self.events: list[UnitEvent] = []
        self.cancel = CancelToken()
        self._units: dict[str, Unit] = {}

    def add(
        self,
        name: str,
        *,
        start: Callable[[], None] = lambda: None,
        ready: Callable[[], None] = lambda: None,
        completed: Callable[[], None] = lambda: None,
    ) -> None:
        def step(kind: str, action: Callable[[], None]) -> Callable[[], None]:
            def run() -> None:
                self.steps.append(f"{kind} {name}")
                action()

            return run

        self._units[name] = Unit(
            name, step("start", start), step("await", ready), step("complete", completed)
        )

    def run(self) -> None:
        Launch(
            self.graph,
            self._units.values(),
            cancel=self.cancel,
            progress=StartProgress(self.events.append),
        ).run()


def test_a_unit_waits_for_health_only_where_it_asks_for_it() -> None:
    started = threading.Event()
    recorder = Recorder(
        Graph(
            {
                "eager": (Dependency("db", "service_started"),),
                "patient": (Dependency("db", "service_healthy"),),
                "db": (),
            }
        )
    )
    recorder.add("eager", start=started.set)
    # db gets ready only once eager has started: eager cannot have waited for its health.
    recorder.add("db", ready=lambda: None if started.wait(10) else pytest.fail("never started"))
    recorder.add("patient")
    recorder.run()
    assert recorder.steps.index("await db") < recorder.steps.index("start patient")
    assert recorder.steps.index("start eager") < recorder.steps.index("start patient")


def test_completion_is_awaited_before_a_unit_that_asks_for_it() -> None:
    recorder = Recorder(
        Graph({"web": (Dependency("migrate", "service_completed_successfully"),), "migrate": ()})
    )
    recorder.add("web")
    recorder.add("migrate")
    recorder.run()
    assert recorder.steps == ["start migrate", "complete migrate", "start web", "await web"]


def test_a_failure_is_raised_itself_and_its_dependents_do_not_start() -> None:
    recorder = Recorder(Graph({"web": (Dependency("db", "service_healthy"),), "db": ()}))

    def fail() -> None:
        raise StackError("db exited with code 3")

    recorder.add("db", ready=fail)
    recorder.add("web")
    with pytest.raises(StackError, match="db exited with code 3"):
        recorder.run()
    assert "start web" not in recorder.steps
    ends = {event.unit: event.state for event in recorder.events}
    assert ends == {"db": "failed", "web": "called off"}


def test_a_failure_calls_the_other_waits_off() -> None:
    recorder = Recorder(Graph({"slow": (), "broken": ()}))
    called_off = threading.Event()

    def wait_until_cancelled() -> None:
        with recorder.cancel.waking(called_off):
            assert called_off.wait(10)
        raise WaitCancelledError("called off")

    def fail() -> None:
        raise StackError("broken")

    recorder.add("slow", ready=wait_until_cancelled)
    recorder.add("broken", start=fail)
    with pytest.raises(StackError, match="broken"):
        recorder.run()
    assert recorder.cancel.reason == "broken failed"


def test_an_optional_dependency_that_fails_does_not_hold_its_dependent_back() -> None:
    recorder = Recorder(
        Graph({"web": (Dependency("extra", "service_started", required=False),), "extra": ()})
    )

    def fail() -> None:
        raise StackError("extra is not there")

    recorder.add("web")
    recorder.add("extra", start=fail)
    with pytest.raises(StackError, match="extra is not there"):
        recorder.run()
    assert "start web" in recorder.steps


def test_every_unit_reports_its_states_in_order() -> None:
    recorder = Recorder(Graph({"only": ()}))
    recorder.add("only")
    recorder.run()
    assert [event.state for event in recorder.events] == ["start", "wait", "ready"]
